/* bf16_by_hand.h -- the AVX512_BF16 loops of the softmax, for any machine with AVX-512. */
#ifndef TEST_SUPPORT_BF16_BY_HAND_H
#define TEST_SUPPORT_BF16_BY_HAND_H

#include <stdbool.h>

#include "kernel/softmax_bf16.h"

#if defined(__x86_64__)
extern const td__bf16_kernels bf16_by_hand;
bool bf16_by_hand_available(void);
#endif

#endif
