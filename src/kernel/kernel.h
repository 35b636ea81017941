/* kernel.h -- the few loops that take the time, one table of them per instruction set.
 *
 * Serves: stages 4, 6 and 7. kernel_ref.c is plain C and the specification; every other file fills
 * a copy of its table and overwrites what it does better. kernel_select.c chooses once per context.
 *
 * Arithmetic. Every score is one chain of fused multiply-adds over k = 0 .. dim - 1, starting from
 * `start`: s = start; s = fma(q[k], c[k], s). No set splits or reorders the chain, so all sets give the
 * same bits, and a positive's own score equals the one found for it in a tile. Training in bfloat16, if
 * asked for, has chains of its own (softmax_bf16.h). */
#ifndef TD_KERNEL_KERNEL_H
#define TD_KERNEL_KERNEL_H

#include "base/context.h"
#include "base/status.h"

enum {
    /* Candidates per packed panel: 3 registers of 16, 6 of 8 or 12 of 4 floats. */
    TD__PANEL = 48,
    /* Vectors of score_rows: as many chains as hide the latency of 4 cycles at 2 fma a cycle. */
    TD__ROWS = 8
};

struct td__softmax_kernels; /* softmax_tiles.h */
struct td__bf16_kernels;    /* softmax_bf16.h */
struct td__quant_kernels;   /* quant.h */
struct td__int8_kernels;    /* int8.h */
struct td__gemm_kernels;    /* gemm_tiles.h */

/* A panel as a scan meets it, and what comes behind it in memory. Bytes that the scan will want next are
 * fetched one by one between the products: asked for all at once, they hold up the loads of these. */
typedef struct td__scan_panel {
    const float *items; /* [dim, TD__PANEL], aligned to 64 bytes */
    const float *start; /* [TD__PANEL], or NULL: zeros */
    const char *next;   /* may be beyond the end of anything: it is never read */
    size_t next_bytes;  /* 0: none */
    uint32_t dim;
} td__scan_panel;

typedef struct td__kernels {
    const char *name;
    bool (*available)(void); /* processor and operating system */

    /* <a, b> as one chain. a, b [dim]. */
    float (*dot)(const float *a, const float *b, uint32_t dim);

    /* y += alpha x, each element one fma. x, y [dim]. */
    void (*axpy)(float alpha, const float *x, float *y, uint32_t dim);

    /* Scores of some rows against one panel: out[r][j] = start[j] + <row r, panel column j>.
     * rows [row_count, dim] contiguous; panel [dim, TD__PANEL]; start [TD__PANEL] or NULL: zeros;
     * out [row_count, TD__PANEL] contiguous. Panel and out aligned to 64 bytes. */
    void (*score_panel)(const float *rows, uint32_t row_count, const float *panel, uint32_t dim,
                        const float *start, float *out);

    /* Scores of vectors that lie anywhere: out[i] = start[i] + <query, rows[i]>. query, rows[i] [dim];
     * start [TD__ROWS] or NULL: zeros. */
    void (*score_rows)(const float *query, const float *const rows[TD__ROWS], uint32_t dim,
                       const float *start, float out[TD__ROWS]);

    /* Which scores of some rows are above their row's threshold: bit j of masks[r] is set unless
     * scores[r][j] <= thresholds[r]. So a threshold of NaN lets everything through, and a score of NaN
     * always passes: the slow path behind decides. scores [row_count, TD__PANEL] aligned to 64 bytes;
     * thresholds, masks [row_count]. */
    void (*above)(const float *scores, uint32_t row_count, const float *thresholds, uint64_t *masks);

    /* score_panel and above in one, without scores that nobody wants: out[r][j] is a score where bit j of
     * masks[r] is set, and anything elsewhere. rows [row_count, dim]; thresholds, masks [row_count]. */
    void (*scan_panel)(const td__scan_panel *panel, const float *rows, uint32_t row_count,
                       const float *thresholds, float *out, uint64_t *masks);

    /* scan_panel of one row and of two panels, one behind the other in memory, which is the limit then.
     * items [2, dim, TD__PANEL], row [dim], out [2, TD__PANEL], masks [2]. NULL: no faster than one by one,
     * or never seen to be. */
    void (*scan_two)(const float *items, uint32_t dim, const float *row, float threshold, float *out,
                     uint64_t masks[2]);

    const struct td__softmax_kernels *softmax; /* the loops of the training engine */
    const struct td__bf16_kernels *bf16;       /* the same in bfloat16 */
    const struct td__quant_kernels *quant;     /* compressed vectors */
    const struct td__key_kernels *keys;        /* choosing the best */
    const struct td__int8_kernels *int8;       /* the filter in front of exact scores */
    const struct td__gemm_kernels *gemm;       /* dense layers */
} td__kernels;

/* Sets compiled into this library, weakest first; the first is always available. */
const td__kernels *td__kernels_at(uint32_t index); /* NULL past the end */

/* The best available set, or the one called `name`. UNSUPPORTED if it is unknown or this machine
 * cannot run it; the sentence names those it can. */
TD_MUST_CHECK td_status td__kernels_select(const td__kernels **out, const char *name, td_error *err);

/* Packed panels of `count` vectors [count, dim]: panels [ceil(count / 48), dim, 48], the tail zeros. */
uint64_t td__panel_count(uint64_t count);
void td__pack_panels(const float *vectors, uint64_t count, uint32_t dim, float *panels);

extern const td__kernels td__kernels_ref;
#if defined(__x86_64__)
extern const td__kernels td__kernels_avx2;
extern const td__kernels td__kernels_avx512;
extern const td__kernels td__kernels_avx512vnni;
extern const td__kernels td__kernels_avx512bf16;
#elif defined(__aarch64__)
extern const td__kernels td__kernels_neon;
extern const td__kernels td__kernels_neondot;
extern const td__kernels td__kernels_neonbf16;
#endif

#endif
