/* recommend_ials.c -- settings of iALS that are worth a try on data of which only the size is known.
 *
 * Serves: stage 5. In: numbers of rows, queries, candidates. Out: options, one set after the other.
 * Weight and regularization go together: less of the one wants more of the other, and along that line quality
 * changes slowly. So a few points of it, and a validation part to choose with, are enough (docs/quality.md). */
#include "train/recommend.h"

#include "base/poison.h"

typedef struct setting {
    float unobserved_weight, regularization;
} setting;

static const setting settings[] = {{0.3f, 0.008f}, {0.5f, 0.008f}, {0.3f, 0.015f}, {0.15f, 0.015f}};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

uint32_t td_ials_recommend(const td_data_size *size, uint32_t number, td_ials_options *options)
{
    if (!td__data_is_small(size)) return 0;
    if (number < SETTINGS) {
        options->unobserved_weight = settings[number].unobserved_weight;
        options->regularization = settings[number].regularization;
    }
    return SETTINGS;
}
