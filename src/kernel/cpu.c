/* cpu.c -- what the processor and the operating system let us run.
 *
 * Serves: kernel_select.c. In: nothing. Out: yes or no for each instruction set.
 * A processor that has wide registers is not enough: the operating system must save them when it
 * switches threads. CPUID says the first, XGETBV the second (Intel SDM vol. 1, 13.3). */
#include "kernel/cpu.h"

#include <stdint.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "base/poison.h"

#if defined(__x86_64__)

enum {
    LEAF1_ECX_FMA = 1 << 12,
    LEAF1_ECX_OSXSAVE = 1 << 27,
    LEAF1_ECX_AVX = 1 << 28,
    LEAF7_EBX_AVX2 = 1 << 5,
    LEAF7_ECX_VNNI = 1 << 11,
    LEAF7_1_EAX_BF16 = 1 << 5
};
#define LEAF7_EBX_AVX512 (1u << 16 | 1u << 17 | 1u << 30 | 1u << 31) /* F, DQ, BW, VL */

enum {
    XCR0_YMM = 0x06, /* SSE and AVX state */
    XCR0_ZMM = 0xE6  /* and mask registers, upper halves, registers 16 to 31 */
};

static bool system_saves(uint32_t state)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & state) == state;
}

static bool has_fma_and(uint32_t leaf7_ebx, uint32_t state)
{
    const uint32_t base = LEAF1_ECX_FMA | LEAF1_ECX_OSXSAVE | LEAF1_ECX_AVX;
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & base) != base) return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & leaf7_ebx) != leaf7_ebx) return false;
    return system_saves(state);
}

bool td__cpu_has_avx2(void)
{
    return has_fma_and(LEAF7_EBX_AVX2, XCR0_YMM);
}

bool td__cpu_has_avx512(void)
{
    return has_fma_and(LEAF7_EBX_AVX2 | LEAF7_EBX_AVX512, XCR0_ZMM);
}

bool td__cpu_has_avx512vnni(void)
{
    uint32_t a, b, c, d;
    if (!td__cpu_has_avx512()) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & LEAF7_ECX_VNNI) != 0;
}

bool td__cpu_has_avx512bf16(void)
{
    uint32_t a, b, c, d;
    if (!td__cpu_has_avx512vnni()) return false;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & LEAF7_1_EAX_BF16) != 0;
}

#elif defined(__aarch64__)

enum {
    HWCAP_SDOT = 1 << 20,  /* HWCAP_ASIMDDP of Linux */
    HWCAP2_BFDOT = 1 << 14 /* HWCAP2_BF16 */
};

bool td__cpu_has_neondot(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_SDOT) != 0;
}

bool td__cpu_has_neonbf16(void)
{
    return td__cpu_has_neondot() && (getauxval(AT_HWCAP2) & HWCAP2_BFDOT) != 0;
}

#endif
