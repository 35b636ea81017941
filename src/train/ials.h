/* ials.h -- implicit alternating least squares over the two tables of a model.
 *
 * Serves: stage 5. ials.c is the loop over epochs; ials_sides.c what an epoch is made of. */
#ifndef TD_TRAIN_IALS_H
#define TD_TRAIN_IALS_H

#include "model/model.h"
#include "train/ials_lists.h"
#include "train/ials_solve.h"

typedef enum td__ials_which { TD__IALS_CANDIDATES, TD__IALS_QUERIES } td__ials_which;

/* One side: its vectors, and what they are to explain. */
typedef struct td__ials_side {
    float *table; /* [rows, dim] weights of the model */
    uint32_t rows;
    td__ials_lists lists; /* [rows] */
    float *gram;          /* [dim, dim] of `table`, once this side stands still */
} td__ials_side;

/* Progress of an epoch, told to the caller's hook. */
typedef struct td__ials_progress {
    const td_progress_hook *hook; /* or NULL */
    uint32_t epoch, epochs;
    uint64_t done;            /* vectors solved in this epoch */
    double loss;              /* per row, at the end of the epoch before; 0: none yet */
    double started, reported; /* td__seconds */
} td__ials_progress;

typedef struct td__ials {
    td_context *context;
    td_model *model;
    td_ials_options options;
    uint64_t rows;          /* of the training part */
    double unobserved_weight;
    td__ials_side sides[2]; /* by td__ials_which */
    td__ials_scratch *scratch; /* [threads] */
    uint32_t threads;
    double *mean; /* [dim] scratch */
} td__ials;

/* ARGUMENT if the model is not one of dot products. The model and `train` are borrowed; on failure
 * clear it all the same. */
TD_MUST_CHECK td_status td__ials_init(td__ials *ials, td_model *model, const td_dataset *train,
                                      const td_ials_options *options, td_error *err);
void td__ials_clear(td__ials *ials); /* zeroed is fine */

/* Half an epoch: solve one side. Rows without training rows become zero. */
TD_MUST_CHECK td_status td__ials_solve_side(td__ials *ials, td__ials_which which,
                                            td__ials_progress *progress, td_error *err);

/* The loss of tandem.h, summed over everything. Makes both sums of outer products anew. */
TD_MUST_CHECK td_status td__ials_loss(td__ials *ials, double *loss, td_error *err);

/* Rows without training rows: queries become the mean of the others, or, for the next half epoch, when
 * they must have no say, zero. */
void td__ials_fill_queries(td__ials *ials);
void td__ials_empty_queries(td__ials *ials);

/* That of the options or, if it is 0, that which fits the training rows the model was made from. */
double td__ials_unobserved_weight(const td_model *model, const td_ials_options *options);

/* ARGUMENT unless vectors of the model are compared by dot product, one a query. */
TD_MUST_CHECK td_status td__ials_check_model(const td_model *model, td_error *err);

#endif
