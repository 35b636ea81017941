/* softmax_strip.h -- what the parts of the softmax engine share: the workspace, one call, one strip of rows.
 *
 * Serves: softmax.c (the whole), softmax_strip.c (a strip from scores to gradients), softmax_weigh.c (its
 * sums and losses), softmax_kept.c (scores that are looked at before they are weighed), softmax_hard.c
 * (hard negatives), softmax_pairs.c (bfloat16).
 *
 * A row with H heads is H score rows of its strip, one below the other. */
#ifndef TD_KERNEL_SOFTMAX_STRIP_H
#define TD_KERNEL_SOFTMAX_STRIP_H

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "kernel/bf16.h"
#include "kernel/softmax.h"
#include "kernel/softmax_tiles.h"
#include "kernel/topk.h"

#define TD__LOG2_E 1.4426950408889634
#define TD__LN_2   0.6931471805599453

enum { TD__STRIP_MAX = 128 }; /* score rows of a strip */

/* Bias of columns that only fill up the last panel, or that nobody drew: they weigh nothing. */
#define TD__PADDING_BIAS -1e30f

/* Kept score of a column that left its row. */
#define TD__SCORE_LEFT -0x1.8p127f

/* What one thread works on. */
typedef struct td__strip {
    uint32_t begin, count; /* first row, rows */
    uint32_t heads;        /* score rows of a row */
    uint32_t height;       /* score rows, padded to whole units */
    size_t step;           /* floats from a panel's weights to the next's: an odd number of cache lines */
    float *rows;           /* [STRIP_MAX, stride] row * log2(e) / temperature */
    float *scaled;         /* the same times alpha, sliced: what the columns' gradients add up */
    float *d_rows;         /* their gradients, sliced */
    float *tile;           /* [STRIP_MAX, TD__PANEL] raw scores */
    float *sums;           /* [STRIP_MAX, TD__SLICE] of row i */
    float *anchor;         /* [STRIP_MAX] of row i */
    float *alpha;          /* [STRIP_MAX] of row i: what its weights are to be multiplied by */
    float *weights;        /* [panels, step] score rows of TD__PANEL */
    bool kept;             /* scores were looked at first: */
    td__pair *pair_rows;   /* bfloat16: [STRIP_MAX, stride / 2] */
    td__pair *pair_scaled; /* [STRIP_MAX / 2, stride] pairs of two rows, sliced */
    td__pair *along, *across; /* a panel's weights as pairs; lie in `tile` */
    uint8_t *winner; /* [rows, panels * TD__PANEL] the head with the best score */
    uint64_t *keys;  /* hard negatives: [td__topk_capacity] */
    td_hit *best;    /* [hard negatives + 1] */
    float *best_weights; /* the same, in whole panels */
    double stay_count, stay_score; /* of the present row: sum of n and of n * score, units of log2 */
} td__strip;

typedef struct td__group_sum {
    double loss, d_temperature;
    uint32_t repeated;
    uint32_t bad_row; /* the first whose scores are not finite, or TD_NONE */
} td__group_sum;

struct td__softmax {
    td_context *context;
    td__softmax_shape shape;
    uint32_t stride;     /* dim in whole registers */
    float *columns;      /* [panels, 48, stride], each panel sliced */
    float *panels;       /* [panels, stride, 48] */
    td__pair *pair_columns; /* bfloat16, instead of both: [panels, 24, stride] pairs of two columns */
    td__pair *pair_panels;  /* [panels, stride / 2, 48] */
    float *bias;         /* [panels * 48], units of log2, with the logarithm of the copies if not hard */
    float *own_bias;     /* [panels * 48], the same for positives, without copies */
    float *count;        /* [panels * 48] copies; 0 for what fills up */
    float *count_log;    /* [panels * 48] their logarithm, units of log2; 0 for none */
    float *partial;      /* [groups, panels, 48, stride] gradients of the columns, each panel sliced */
    double *share;       /* [entries] what the positive's weight loses, in units of the gradient; in
                          * bfloat16 then the weight itself */
    td__loss_entry *loss_entry; /* [entries] of row losses, or NULL */
    float *kept_score;   /* [entries] the positive's score as an entry, where scores are kept */
    float *scratch;      /* [threads, scratch_floats] */
    size_t scratch_floats;
    td__group_sum sums[TD__REDUCTION_GROUPS];
};

/* One call of compute. */
typedef struct td__softmax_call {
    td__softmax *softmax;
    const td__softmax_batch *batch;
    td__softmax_result *result;
    const td__kernels *kernels;
    uint32_t heads;
    uint32_t panels;     /* of this batch */
    double copies;       /* of all columns; for a row loss */
    uint32_t group_rows; /* rows of a group, the last may have fewer */
    uint32_t groups;
} td__softmax_call;

/* --- asking */

static inline uint32_t td__round_up(uint32_t value, uint32_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static inline uint32_t td__copies_of(const td__softmax_batch *batch, uint32_t column)
{
    return batch->copies == NULL ? 1 : batch->copies[column];
}

/* Entries of row r: [first, first of r + 1). */
static inline uint32_t td__first_entry(const td__softmax_batch *batch, uint32_t row)
{
    return batch->entry_offset == NULL ? row : batch->entry_offset[row];
}

static inline uint32_t td__entry_column(const td__softmax_batch *batch, uint32_t entry)
{
    return batch->entry_column == NULL ? entry : batch->entry_column[entry];
}

/* Must scores be looked at before they are weighed? */
static inline bool td__scores_kept(const td__softmax_batch *batch)
{
    return batch->row_loss != NULL || batch->heads > 1 || batch->hard_negatives > 0
           || batch->label_smoothing > 0.0;
}

/* A unit of the scores: those of the softmax are in log2. */
static inline double td__score_unit(const td__softmax_batch *batch)
{
    return batch->row_loss != NULL ? 1.0 : TD__LN_2;
}

/* Does an entry's own column count once in its row, whatever the copies? */
static inline bool td__counts_once(const td__softmax_batch *batch)
{
    return batch->own_bias != NULL || batch->remove_copies;
}

/* Weights of row i in a panel: those of its first head. */
static inline float *td__weights_of(const td__strip *s, uint32_t i, uint32_t panel)
{
    return s->weights + panel * s->step + (size_t)i * s->heads * TD__PANEL;
}

static inline float *td__cell(const td__strip *s, uint32_t i, uint32_t column)
{
    return td__weights_of(s, i, column / TD__PANEL) + column % TD__PANEL;
}

static inline bool td__in_pairs(const td__softmax *softmax)
{
    return softmax->shape.precision == TD_PRECISION_BFLOAT16;
}

/* Several heads: the one whose score of a column is the row's. */
static inline uint8_t *td__winner_of(const td__softmax_call *c, const td__strip *s, uint32_t i,
                                     uint32_t column)
{
    return s->winner + (size_t)i * c->panels * TD__PANEL + column;
}

/* --- numbers */

/* Natural logarithm of a positive, normal number to 1e-12, from basic operations only: the same bits
 * with any C library. x = m 2^e, m in [1/sqrt 2, sqrt 2), ln m = 2 artanh((m - 1) / (m + 1)). */
static inline double td__logarithm(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t shifted = bits - UINT64_C(0x3FE6A09E667F3BCD);
    int64_t exponent = (int64_t)shifted >> 52;
    bits -= (uint64_t)exponent << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    double s = (m - 1.0) / (m + 1.0), q = s * s;
    double p = q * (1.0 / 15) + 1.0 / 13;
    p = p * q + 1.0 / 11;
    p = p * q + 1.0 / 9;
    p = p * q + 1.0 / 7;
    p = p * q + 1.0 / 5;
    p = p * q + 1.0 / 3;
    return 2.0 * s * (p * q + 1.0) + (double)exponent * TD__LN_2;
}

/* 2^x for |x| < 1000 to 1e-14, in the same way: x = n + f, |f| <= 1/2, the series of e^(f ln 2). */
static inline double td__power_of_2(double x)
{
    double n = floor(x + 0.5), t = (x - n) * TD__LN_2, sum = 1.0;
    for (int k = 13; k > 0; k--) sum = sum * t / k + 1.0;
    return ldexp(sum, (int)n);
}

static inline float td__sum_lanes(const float *sums)
{
    float tree[TD__SLICE];
    memcpy(tree, sums, sizeof tree);
    for (uint32_t width = TD__SLICE / 2; width > 0; width /= 2) {
        for (uint32_t i = 0; i < width; i++) tree[i] += tree[i + width];
    }
    return tree[0];
}

/* --- vectors */

/* One vector of a sliced array (or of a plain one: step TD__SLICE). Sums over slices are written in
 * plain C, each product and each sum rounded on its own, so they are the same for all kernel sets. */
typedef struct td__sliced {
    float *at;
    size_t step; /* from a slice to the next */
} td__sliced;

static inline td__sliced td__plain_vector(float *array, size_t i, uint32_t stride)
{
    return (td__sliced){.at = array + i * stride, .step = TD__SLICE};
}

static inline td__sliced td__sliced_vector(float *array, uint32_t i, uint32_t count)
{
    return (td__sliced){.at = array + (size_t)i * TD__SLICE, .step = (size_t)count * TD__SLICE};
}

/* Columns lie panel by panel, each panel sliced. */
static inline td__sliced td__column_vector(float *columns, uint32_t column, uint32_t stride)
{
    size_t panel = (size_t)(column / TD__PANEL) * TD__PANEL * stride;
    return td__sliced_vector(columns + panel, column % TD__PANEL, TD__PANEL);
}

static inline void td__copy_out(float *to, td__sliced from, uint32_t dim)
{
    for (uint32_t k = 0; k < dim; k += TD__SLICE, from.at += from.step) {
        uint32_t count = dim - k < TD__SLICE ? dim - k : TD__SLICE;
        memcpy(to + k, from.at, count * sizeof *to);
    }
}

static inline const float *td__vector_of(const td__softmax_side *side, uint32_t i, size_t width)
{
    return side->data + (size_t)(side->index == NULL ? i : side->index[i]) * width;
}

/* --- softmax_strip.c */

/* The strips of one thread lie in so many floats. */
size_t td__strip_floats(const td__softmax_shape *shape);
td__strip td__strip_of(const td__softmax *softmax, uint32_t worker);

/* Rows begin .. begin + count - 1 from vectors to gradients, `first` of its group. */
void td__strip_run(const td__softmax_call *c, td__strip *s, uint32_t group, bool first);

/* Scores against panel p as they are, to out [height, TD__PANEL]. */
void td__strip_keep(const td__softmax_call *c, const td__strip *s, uint32_t p, float *out);

/* Score of a positive, from its vectors. Units of log2. */
float td__strip_score(const td__softmax_call *c, const td__strip *s, uint32_t i, uint32_t column);

/* --- softmax_weigh.c */

/* Sums, losses, alpha, and the positives' part of the gradients. */
void td__strip_weigh_row(const td__softmax_call *c, td__strip *s, uint32_t i, td__group_sum *group);

/* Does column k take part in row i? */
bool td__strip_stays(const td__softmax_call *c, const td__strip *s, uint32_t i, uint32_t column);

/* --- softmax_kept.c */

/* From the vectors of a strip to its weights, for several heads, smoothed labels, hard negatives and row
 * losses. */
void td__strip_weigh_kept(const td__softmax_call *c, td__strip *s, td__group_sum *group);

/* --- softmax_hard.c */

/* From the kept scores of row i to the gradients with respect to them. */
void td__strip_pick_row(const td__softmax_call *c, td__strip *s, uint32_t i, td__group_sum *group);

#endif
