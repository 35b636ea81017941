/* softmax_pairs.h -- the softmax in bfloat16: the steps of a strip that differ from float32.
 *
 * Serves: softmax.c, softmax_strip.c. */
#ifndef TD_KERNEL_SOFTMAX_PAIRS_H
#define TD_KERNEL_SOFTMAX_PAIRS_H

#include "kernel/softmax_strip.h"

/* A column to both layouts; columns of a panel come in rising order. vector [dim], zeros behind it. */
void td__pairs_pack_column(const td__softmax_call *c, uint32_t column, const float *vector, uint32_t dim);

/* Round the rows of the strip. */
void td__pairs_load_rows(const td__softmax_call *c, td__strip *s);

/* <score row r, column>, from the rounded numbers. */
float td__pairs_dot(const td__softmax_call *c, const td__strip *s, uint32_t r, uint32_t column);

/* Scores of the strip against panel p: weighed, or to `out` [height, TD__PANEL] as they are. */
void td__pairs_score(const td__softmax_call *c, td__strip *s, uint32_t p);
void td__pairs_keep(const td__softmax_call *c, const td__strip *s, uint32_t p, float *out);

/* From weights and scaled rows to gradients; `first` strip of its group. */
void td__pairs_gradients(const td__softmax_call *c, td__strip *s, float *partial, bool first);

#endif
