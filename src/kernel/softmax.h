/* softmax.h -- loss and gradients of a softmax over the scores of rows against columns, without ever
 * holding all scores.
 *
 * Serves: stage 4, and the training step. One rectangular kernel: rows [U, d] (query vectors) against
 * columns [K, d] (candidate vectors) with a bias per column, and entries (row, column, weight), the
 * positives. In-batch, extra negatives, a bank of older vectors, a whole catalogue, users with all
 * their interactions: they only differ in which rows, columns and biases are given.
 *
 *     a[r][k] = <row r, column k> / temperature + bias[k]
 *     loss    = sum over entries b = (r, k) of  weight[b] * (ln Z[b] - a[r][k])
 *
 * De-duplication. `copies[k]` = n says that column k stands for n equal columns of the batch, and the
 * entries of a row may be any number, so rows and columns can be the distinct ones of a batch. Loss
 * and gradients are those of the batch with all its repetitions: Z[b] = sum over k of n[k] exp(a[r][k]),
 * and with `remove_copies` without the n - 1 copies of the entry's own column (accidental hits). The
 * gradient of a column is the sum over its copies.
 *
 * Positives that are no negatives. With `own_bias`, an entry's own score takes that bias in place of its
 * column's, and counts once whatever the copies: Z[b] = exp(a_own) + the sum over all other columns. A
 * column with 0 copies is there for its own entries only (sampled softmax).
 *
 * `partition_power` p: loss = weight * (p ln Z - a). 1 is the softmax; more is the bilateral softmax loss
 * of Wu et al., ICDE 2024 (arXiv 2312.12882), with p = tau_1 / tau_2 of the paper.
 *
 * `decoupled`: Z[b] is without the columns of the row's entries, so that positives do not push each
 * other away, and pull as hard however well they score (decoupled contrastive loss; Yeh et al., ECCV
 * 2022, arXiv 2110.06848). A row adds nothing if all other columns together weigh less than 2^-90 of
 * its positives, or if there are none. `absent_column` names further columns that leave a row, such as
 * positives that it is not asked for now; they get no gradient from it.
 *
 * Heads. A row may have several vectors; its score of a column is then the largest of theirs, plus the
 * bias, and the gradient goes to the vector that gave it (of equal ones the first).
 *
 * Hard negatives. Of an entry's negatives, copy by copy, the best `hard_negatives` stay; of equal scores
 * the lower column's. The other columns leave.
 *
 * Label smoothing e. With N what stays of the columns, copy by copy, and S their scores,
 *     loss = weight * (p ln Z - (1 - e) a - e (sum of S) / N).
 *
 * Precision. With TD_PRECISION_BFLOAT16 rows, columns and the weights of the negatives are rounded to
 * bfloat16 where they are multiplied (softmax_pairs.c); sums, exponentials, Z and losses are as ever. Loss
 * and gradients are those of the rounded vectors, and the loss of a row is off by what their scores are:
 * some 2^-9 of a score. Not for logits that are to be told apart by less.
 *
 * How it works: docs/speed.md, softmax.c. The cost is 3 products of U x K x d and one exp a score; with
 * heads 3 of H x U x K x d; smoothing, heads and hard negatives pass over the scores once more.
 * Same bits for any number of threads, and for all kernel sets; in bfloat16 for all but those with an
 * instruction of their own for it (softmax_bf16.h). */
#ifndef TD_KERNEL_SOFTMAX_H
#define TD_KERNEL_SOFTMAX_H

#include "base/context.h"
#include "base/status.h"
#include "kernel/row_loss.h"

/* Workspace. One thread at a time; the context's threads share the work. */
typedef struct td__softmax td__softmax;

/* The largest batch that will come. */
typedef struct td__softmax_shape {
    uint32_t rows, columns, entries, dim;
    uint32_t heads;          /* 0 means 1 */
    uint32_t hard_negatives; /* 0: all negatives stay */
    td_precision precision;  /* of the factors of the three products */
} td__softmax_shape;

/* Vectors as they lie in memory: vector i is data[i], or data[index[i]] of a table; with heads a row is
 * data[i] [heads, dim]. */
typedef struct td__softmax_side {
    const float *data;     /* [count or more, heads of rows, dim] */
    const uint32_t *index; /* [count] or NULL */
    uint32_t count;
} td__softmax_side;

typedef struct td__softmax_batch {
    td__softmax_side rows, columns;
    float temperature;
    const float *bias;            /* [columns.count] or NULL: 0; finite */
    const float *own_bias;        /* [columns.count] or NULL: bias; finite */
    const uint32_t *copies;       /* [columns.count] or NULL: 1; 0 needs own_bias */
    const uint32_t *entry_offset; /* [rows.count + 1]: entries of row r; or NULL: one a row */
    const uint32_t *entry_column; /* [entries]; or NULL: entry b is column b */
    const float *entry_weight;    /* [entries] or NULL: 1; of any sign */
    double weight_scale;          /* of all weights: 1 for a sum, 1 / B for a mean */
    double partition_power;       /* 0 means 1 */
    uint32_t heads;               /* vectors of a row, up to TD__HEADS_MAX; 0 means 1 */
    uint32_t hard_negatives;      /* as in the shape or less; 0: all negatives stay */
    double label_smoothing;       /* [0, 1] */
    /* Another loss than the softmax, or NULL. Needs entry_column; copies 0 and heads are fine, biases,
     * remove_copies, ring_next, mask and the options of the softmax are not for it. */
    const td__row_loss *row_loss;
    bool decoupled;               /* Z[b] is without the row's entries; not with hard negatives
                                   * or smoothed labels */
    /* Decoupled: columns that leave row r as its entries do are absent_column[absent_offset[r]] ..
     * [absent_offset[r + 1] - 1]. Twice, or an entry's, is the same as once. NULL: none. */
    const uint32_t *absent_offset; /* [rows.count + 1] */
    const uint32_t *absent_column;
    bool remove_copies;
    /* Columns that are the same candidate without having been made one: next[k] is the next of column
     * k's ring, k itself if it is alone. The others of the ring leave the rows whose entry k is. For
     * rows with one entry each. NULL: none. */
    const uint32_t *ring_next; /* [columns.count] */
    /* 0: the column leaves the row; never a row's own entry. NULL: all stay. */
    const uint8_t *mask; /* [rows.count, columns.count] */
} td__softmax_batch;

typedef struct td__softmax_result {
    double loss;
    double d_temperature;
    float *entry_loss; /* [entries] or NULL, filled: weight * loss, without weight_scale */
    float *d_rows;     /* [rows.count, heads, dim] or NULL, filled */
    float *d_columns;  /* [columns.count, dim] or NULL, filled */
    uint32_t repeated; /* strips whose scores were far above their positives: scored again */
} td__softmax_result;

/* Everything compute needs is allocated here: td__softmax_bytes. */
TD_MUST_CHECK td_status td__softmax_create(td__softmax **out, td_context *context,
                                           const td__softmax_shape *shape, td_error *err);
void td__softmax_free(td__softmax *softmax);

/* Make room for batches with a row loss: 32 bytes an entry. */
TD_MUST_CHECK td_status td__softmax_reserve_row_losses(td__softmax *softmax, td_error *err);

/* Bytes of workspace, up to a few kilobytes: 40 K d for columns, panels and partial gradients,
 * 512 K T for the strips of T threads, 12 for each entry; in bfloat16 36 K d in place of 40 K d; with several heads 64 K T more, with hard
 * negatives some 28 for each of them and thread. There is no U x K term. */
uint64_t td__softmax_bytes(const td__softmax_shape *shape, uint32_t threads);

/* NUMERIC, with the row, if a score is not finite. Results may be infinite where weights or vectors
 * are huge: the caller checks. Allocates nothing. */
TD_MUST_CHECK td_status td__softmax_compute(td__softmax *softmax, const td__softmax_batch *batch,
                                            td__softmax_result *result, td_error *err);

#endif
