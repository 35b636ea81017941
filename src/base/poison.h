/* poison.h -- names the library must not call. Last include of every src/ .c file but those that
 * wrap the name in question.
 *
 * Memory goes through memory.h, errors through status.h, random numbers through random.h. A slip does
 * not compile. */
#ifndef TD_BASE_POISON_H
#define TD_BASE_POISON_H

#if defined(__GNUC__) && !defined(TD_NO_POISON)
#pragma GCC poison malloc calloc realloc free strdup strndup aligned_alloc posix_memalign
#pragma GCC poison printf puts putchar fprintf perror
#pragma GCC poison exit abort _Exit system getenv setenv rand srand random drand48 time
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets
#endif

#endif
