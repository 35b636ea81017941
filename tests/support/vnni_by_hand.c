/* vnni_by_hand.c -- the VNNI kernel of products of small integers, run on any x86-64 machine.
 *
 * The kernel's own source, with its register and its four instructions done step by step in plain C, as
 * Intel's manual defines them. So its loops, offsets and masks are tested where no processor has VNNI; that
 * the compiler and the processor do these four right is not. */
#include "support/vnni_by_hand.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#undef _mm512_cmpgt_epi32_mask
#define TD__VNNI_BY_HAND
#define td__int8_avx512vnni vnni_by_hand
#define __m512i lanes
#define _mm512_set1_epi32 set_all
#define _mm512_load_si512 load
#define _mm512_cmpgt_epi32_mask greater

typedef struct lanes {
    int32_t lane[16];
} lanes;

static inline lanes set_all(int32_t number)
{
    lanes out;
    for (int i = 0; i < 16; i++) out.lane[i] = number;
    return out;
}

static inline lanes load(const void *from)
{
    lanes out;
    memcpy(&out, from, sizeof out);
    return out;
}

static inline uint32_t greater(lanes a, lanes b)
{
    uint32_t mask = 0;
    for (int i = 0; i < 16; i++) mask |= (uint32_t)(a.lane[i] > b.lane[i]) << i;
    return mask;
}

/* VPDPBUSD with the second operand broadcast: 4 unsigned bytes times 4 signed ones, added up in 32 bits
 * that may wrap. */
static inline lanes add_products(lanes sum, lanes items, const int8_t *row)
{
    for (int i = 0; i < 16; i++) {
        uint8_t four[4];
        memcpy(four, &items.lane[i], sizeof four);
        for (int j = 0; j < 4; j++) {
            sum.lane[i] = (int32_t)((uint32_t)sum.lane[i] + (uint32_t)(four[j] * row[j]));
        }
    }
    return sum;
}

#include "../../src/kernel/int8_avx512vnni.c"

#endif
