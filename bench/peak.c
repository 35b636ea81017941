/* peak.c -- loops that do nothing but multiply-adds or loads.
 *
 * Serves: the benchmarks. Independent chains in inline assembly, so that no compiler can shorten them:
 * more than latency times units, and few enough to stay in registers. */
#include "peak.h"

#include <string.h>

#include "base/pool.h"
#include "measure.h"

enum { PEAK_ROUNDS = 200000, CHAINS = 12, LINE_FLOATS = 16 };

typedef struct reading {
    const float *array;
    uint64_t floats, threads;
    float sum[256];
} reading;

#if defined(__x86_64__)
#define ASM12(line, width)                                                                         \
    line(0, width) line(1, width) line(2, width) line(3, width) line(4, width) line(5, width)      \
    line(6, width) line(7, width) line(8, width) line(9, width) line(10, width) line(11, width)
#define FMA_LINE(n, width) "vfmadd231ps %%" #width "14,%%" #width "15,%%" #width #n "\n\t"
#define ZERO_LINE(n, width) "vxorps %%xmm" #n ",%%xmm" #n ",%%xmm" #n "\n\t"
#define CLOBBERS                                                                                   \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",        \
        "xmm11", "xmm14", "xmm15"
#define FMA_LOOP(width)                                                                            \
    __asm__ volatile(ASM12(ZERO_LINE, xmm) ZERO_LINE(14, xmm) ZERO_LINE(15, xmm) "1:\n\t"          \
                     ASM12(FMA_LINE, width) "sub $1,%0\n\tjnz 1b\n\tvzeroupper"                    \
                     : "+r"(rounds) : : CLOBBERS, "cc")

static void fma_avx2(uint64_t rounds)
{
    FMA_LOOP(ymm);
}

static void fma_avx512(uint64_t rounds)
{
    FMA_LOOP(zmm);
}

/* Pairs of bytes multiplied and added up in 16 bits, as far as registers go: 6 chains. */
#define BYTES_LINE(n, to, width)                                                                   \
    "vpmaddubsw %%" #width "14,%%" #width "15,%%" #width #n "\n\t"                                 \
    "vpaddw %%" #width #n ",%%" #width #to ",%%" #width #to "\n\t"
#define BYTES_LOOP(width)                                                                          \
    __asm__ volatile(ASM12(ZERO_LINE, xmm) ZERO_LINE(14, xmm) ZERO_LINE(15, xmm) "1:\n\t"          \
                     BYTES_LINE(0, 6, width) BYTES_LINE(1, 7, width) BYTES_LINE(2, 8, width)       \
                     BYTES_LINE(3, 9, width) BYTES_LINE(4, 10, width) BYTES_LINE(5, 11, width)     \
                     "sub $1,%0\n\tjnz 1b\n\tvzeroupper"                                          \
                     : "+r"(rounds) : : CLOBBERS, "cc")
#define DOT_LINE(n, width) "vpdpbusd %%" #width "14,%%" #width "15,%%" #width #n "\n\t"

static void bytes_avx2(uint64_t rounds)
{
    BYTES_LOOP(ymm);
}

static void bytes_avx512(uint64_t rounds)
{
    BYTES_LOOP(zmm);
}

static void bytes_avx512vnni(uint64_t rounds)
{
    __asm__ volatile(ASM12(ZERO_LINE, xmm) ZERO_LINE(14, xmm) ZERO_LINE(15, xmm) "1:\n\t"
                     ASM12(DOT_LINE, zmm) "sub $1,%0\n\tjnz 1b\n\tvzeroupper"
                     : "+r"(rounds) : : CLOBBERS, "cc");
}
#endif

#if defined(__x86_64__)
#define PAIRS_LINE(n, width) "vdpbf16ps %%" #width "14,%%" #width "15,%%" #width #n "\n\t"

static void pairs_avx512bf16(uint64_t rounds)
{
    __asm__ volatile(ASM12(ZERO_LINE, xmm) ZERO_LINE(14, xmm) ZERO_LINE(15, xmm) "1:\n\t"
                     ASM12(PAIRS_LINE, zmm) "sub $1,%0\n\tjnz 1b\n\tvzeroupper"
                     : "+r"(rounds) : : CLOBBERS, "cc");
}
#elif defined(__aarch64__)
#define PAIRS_LINE(n) "bfdot v" #n ".4s, v30.8h, v31.8h\n\t"

static void pairs_neonbf16(uint64_t rounds)
{
    __asm__ volatile(".arch armv8.2-a+bf16\n\tmovi v30.4s, #0\n\tmovi v31.4s, #0\n1:\n\t"
                     PAIRS_LINE(0) PAIRS_LINE(1) PAIRS_LINE(2) PAIRS_LINE(3) PAIRS_LINE(4)
                     PAIRS_LINE(5) PAIRS_LINE(6) PAIRS_LINE(7) PAIRS_LINE(16) PAIRS_LINE(17)
                     PAIRS_LINE(18) PAIRS_LINE(19) "subs %0, %0, #1\n\tb.ne 1b"
                     : "+r"(rounds) : : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17",
                     "v18", "v19", "v30", "v31", "cc");
}
#endif

static void fma_plain(uint64_t rounds)
{
    volatile float keep;
    float sum[CHAINS] = {0}, a = 1.0f, b = 0.5f;
    for (uint64_t i = 0; i < rounds; i++) {
        for (int c = 0; c < CHAINS; c++) sum[c] = __builtin_fmaf(a, b, sum[c]);
    }
    for (int c = 0; c < CHAINS; c++) keep = sum[c];
    (void)keep;
}

/* A loop of independent chains, and its operations a round. */
typedef struct peak_loop {
    void (*run)(uint64_t rounds);
    uint32_t operations;
} peak_loop;

static peak_loop fma_loop(const char *set)
{
#if defined(__x86_64__)
    if (strcmp(set, "avx2") == 0) return (peak_loop){fma_avx2, 2 * CHAINS * 8};
    if (strncmp(set, "avx512", 6) == 0) return (peak_loop){fma_avx512, 2 * CHAINS * 16};
#else
    (void)set;
#endif
    return (peak_loop){fma_plain, 2 * CHAINS};
}

static void bytes_plain(uint64_t rounds)
{
    volatile int32_t keep;
    int32_t sum[CHAINS] = {0};
    for (uint64_t i = 0; i < rounds; i++) {
        for (int c = 0; c < CHAINS; c++) sum[c] += (int8_t)i * (int8_t)(i >> c);
    }
    for (int c = 0; c < CHAINS; c++) keep = sum[c];
    (void)keep;
}

static peak_loop bytes_loop(const char *set)
{
#if defined(__x86_64__)
    if (strcmp(set, "avx2") == 0) return (peak_loop){bytes_avx2, 2 * 6 * 32};
    if (strcmp(set, "avx512") == 0) return (peak_loop){bytes_avx512, 2 * 6 * 64};
    if (strcmp(set, "avx512vnni") == 0) return (peak_loop){bytes_avx512vnni, 2 * CHAINS * 64};
#else
    (void)set;
#endif
    return (peak_loop){bytes_plain, 2 * CHAINS};
}

static void peak_block(void *state, uint64_t block, uint32_t worker)
{
    (void)block;
    (void)worker;
    ((const peak_loop *)state)->run(PEAK_ROUNDS);
}

static double rate_of(td_context *context, peak_loop loop)
{
    uint32_t threads = td_context_threads(context);
    double begin = bench_now();
    td__parallel_for(context, threads, peak_block, &loop);
    return (double)loop.operations * PEAK_ROUNDS * threads / (bench_now() - begin);
}

double bench_fma_rate(td_context *context)
{
    return rate_of(context, fma_loop(td_context_kernel(context)));
}

double bench_bf16_rate(td_context *context)
{
    if (!td_context_bfloat16(context)) return 0.0;
#if defined(__x86_64__)
    return rate_of(context, (peak_loop){pairs_avx512bf16, 2 * CHAINS * 32});
#elif defined(__aarch64__)
    return rate_of(context, (peak_loop){pairs_neonbf16, 2 * CHAINS * 8});
#else
    return 0.0;
#endif
}

double bench_int8_rate(td_context *context)
{
    return rate_of(context, bytes_loop(td_context_kernel(context)));
}

static void read_block(void *state, uint64_t block, uint32_t worker)
{
    reading *r = state;
    (void)worker;
    uint64_t count = r->floats / r->threads / 2;
    const float *at = r->array + block * 2 * count, *other = at + count; /* two places give more than one */
    float sum = 0;
    for (uint64_t i = 0; i + LINE_FLOATS <= count; i += LINE_FLOATS) {
        sum += at[i] + other[i]; /* a line is read whole, or not at all */
    }
    r->sum[block] = sum;
}

double bench_read_rate(td_context *context, const float *array, uint64_t floats)
{
    reading r = {.array = array, .floats = floats, .threads = td_context_threads(context)};
    double begin = bench_now();
    td__parallel_for(context, r.threads, read_block, &r);
    return (double)floats * sizeof(float) / (bench_now() - begin);
}
