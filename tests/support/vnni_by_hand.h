/* vnni_by_hand.h -- the VNNI kernel of products of small integers, run on any x86-64 machine. */
#ifndef TEST_SUPPORT_VNNI_BY_HAND_H
#define TEST_SUPPORT_VNNI_BY_HAND_H

#include "kernel/int8.h"

#if defined(__x86_64__)
extern const td__int8_kernels vnni_by_hand;
#endif

#endif
