/* cpu.h -- what the processor and the operating system let us run.
 *
 * Serves: kernel_select.c, through the tables. Compiled for the base machine: it runs first. */
#ifndef TD_KERNEL_CPU_H
#define TD_KERNEL_CPU_H

#include <stdbool.h>

#if defined(__x86_64__)
bool td__cpu_has_avx2(void);   /* AVX2 and FMA */
bool td__cpu_has_avx512(void); /* F, DQ, BW, VL, and FMA */
bool td__cpu_has_avx512vnni(void); /* and VNNI */
bool td__cpu_has_avx512bf16(void); /* and BF16 */
#elif defined(__aarch64__)
bool td__cpu_has_neondot(void);  /* SDOT of ARMv8.2 */
bool td__cpu_has_neonbf16(void); /* and BFDOT of ARMv8.6 */
#endif

#endif
