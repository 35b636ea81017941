/* recommend_ials.c -- settings of iALS that are worth a try on data of which only the size is known.
 *
 * Serves: stage 5. In: numbers of rows, queries, candidates. Out: options, one set after the other.
 * Weight and regularization go together: less of the one wants more of the other, and along that line quality
 * changes slowly. So a few points of it, and a validation part to choose with, are enough (docs/quality.md).
 * More numbers want less of both, and are solved in small blocks: else the time grows with their cube. */
#include "train/recommend.h"

#include "base/poison.h"

typedef struct setting {
    float unobserved_weight, regularization;
    uint32_t dim, block;
} setting;

/* Few rows a candidate: their validation parts are too small to tell settings apart (that of the bundled set
 * prefers by chance what seven others do not), so the one that is best on the mean of several parts. */
static const setting sparse[] = {{0.5f, 0.005f, 256, 32}};
static const setting dense[] = {{0.3f, 0.008f, 64, 128}, {0.3f, 0.015f, 64, 128}, {0.5f, 0.008f, 64, 128}};

uint32_t td_ials_recommend(const td_data_size *size, uint32_t number, td_model_options *model,
                           td_ials_options *options)
{
    if (!td__data_is_small(size)) return 0;
    bool is_dense = td__data_is_dense(size);
    const setting *settings = is_dense ? dense : sparse;
    uint32_t count = is_dense ? sizeof dense / sizeof dense[0] : sizeof sparse / sizeof sparse[0];
    if (number < count) {
        options->unobserved_weight = settings[number].unobserved_weight;
        options->regularization = settings[number].regularization;
        options->block = settings[number].block;
        model->dim = settings[number].dim;
    }
    return count;
}
