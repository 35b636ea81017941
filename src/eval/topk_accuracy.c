/* topk_accuracy.c -- share of rows whose label is among the k best classes, over many batches.
 *
 * Serves: stage 6. In: predictions and labels. Out: a weighted mean.
 *
 * As tf-keras TopKCategoricalAccuracy and TensorFlow's in_top_k: by value, never by position, so
 * all classes that tie at the border are in. */
#include <math.h>

#include "tandem/tandem.h"

#include "base/poison.h"

/* row [classes] */
static bool hit(const float *row, uint32_t classes, int64_t label, uint32_t k)
{
    if (label < 0 || label >= (int64_t)classes) return false;
    uint32_t higher = 0;
    for (uint32_t c = 0; c < classes; c++) {
        if (!isfinite(row[c])) return false;
        if (row[c] > row[label]) higher++;
    }
    return higher < k;
}

/* row [classes] */
static int64_t first_maximum(const float *row, uint32_t classes)
{
    uint32_t best = 0;
    for (uint32_t c = 1; c < classes; c++) {
        if (row[c] > row[best]) best = c;
    }
    return best;
}

static void add_row(td_topk_accuracy *metric, const td_predictions *predictions, uint64_t row,
                    int64_t label)
{
    const float *prediction = predictions->prediction + row * predictions->classes;
    double weight = predictions->weight != NULL ? (double)predictions->weight[row] : 1.0;
    if (hit(prediction, predictions->classes, label, metric->k)) metric->hits += weight;
    metric->weights += weight;
}

void td_topk_accuracy_init(td_topk_accuracy *metric, uint32_t k)
{
    *metric = (td_topk_accuracy){.k = k};
}

void td_topk_accuracy_update(td_topk_accuracy *metric, const td_predictions *predictions,
                             const float *target)
{
    for (uint64_t row = 0; row < predictions->rows; row++) {
        const float *labels = target + row * predictions->classes;
        add_row(metric, predictions, row, first_maximum(labels, predictions->classes));
    }
}

void td_topk_accuracy_update_sparse(td_topk_accuracy *metric, const td_predictions *predictions,
                                    const int64_t *label)
{
    for (uint64_t row = 0; row < predictions->rows; row++)
        add_row(metric, predictions, row, label[row]);
}

double td_topk_accuracy_result(const td_topk_accuracy *metric)
{
    return metric->weights != 0.0 ? metric->hits / metric->weights : 0.0;
}

void td_topk_accuracy_reset(td_topk_accuracy *metric)
{
    td_topk_accuracy_init(metric, metric->k);
}
