/* retrieval_reference.h -- one row of the retrieval task, step by step: the specification.
 *
 * Serves: stage 4. In: a checked batch. Out: a row's scores, loss and gradients. */
#ifndef TD_TRAIN_RETRIEVAL_REFERENCE_H
#define TD_TRAIN_RETRIEVAL_REFERENCE_H

#include "base/context.h"
#include "base/status.h"

struct td__kernels;

/* Score of a column that left. All other scores are finite. */
#define TD__LEFT (-HUGE_VAL)

/* What all rows share. */
typedef struct td__reference {
    const struct td__kernels *kernels;
    const td_retrieval_options *options;
    const td_retrieval_batch *batch; /* checked, heads at least 1 */
    const float *panels;             /* the candidates, packed: [panels, D, TD__PANEL] */
    const double *log_sampling;      /* [C] ln of the clipped probabilities, or NULL */
} td__reference;

/* One row at work, for one thread. The arrays have room for whole panels. */
typedef struct td__reference_row {
    float *tile;      /* [H, TD__PANEL] */
    float *raw;       /* [C] scores of step 1 */
    uint8_t *head;    /* [C] the head that gave raw */
    double *score;    /* [C] S: steps 3 to 7; TD__LEFT where the column left */
    double *gradient; /* [C] P - y: step 8, without weight and temperature */
    uint32_t *heap;   /* [hard negatives] columns */
} td__reference_row;

/* `row` is zeros before; clear it in every case. */
TD_MUST_CHECK td_status td__reference_row_init(td__reference_row *row, td_context *context,
                                               const td_retrieval_shape *shape,
                                               uint32_t hard_negatives, td_error *err);
void td__reference_row_clear(td__reference_row *row, td_context *context);

/* Steps 1 to 7 for row b. False, with the column, if a score is not finite. */
bool td__reference_score(const td__reference *reference, uint32_t b, td__reference_row *row,
                         uint32_t *bad_column);

/* Step 8 on scores: the loss of row b without weight. Fills `gradient`. */
double td__reference_loss(const td__reference *reference, uint32_t b, td__reference_row *row);

/* After the loss, with w the row's weight. d_query [H, D] is filled, d_candidate [C, D] added to;
 * either may be NULL. Returns the derivative with respect to the temperature. */
double td__reference_gradients(const td__reference *reference, uint32_t b, double w,
                               td__reference_row *row, float *d_query, float *d_candidate);

#endif
