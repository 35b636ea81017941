/* dropout.c -- numbers of vectors left out at random while training.
 *
 * Serves: stage 5. In: vectors of a batch. Out: the same with zeros in them. */
#include "train/dropout.h"

#include "base/random.h"
#include "base/poison.h"

void td__dropout_apply(const td__dropout *dropout, uint64_t step, const td__distinct *rows,
                       uint32_t width, const float *from, float *to)
{
    td__random numbers = td__random_stream(dropout->seed, TD__STREAM_DROPOUT, step);
    double rate = (double)dropout->rate;
    float scale = 1.0f / (1.0f - dropout->rate);
    for (uint32_t i = 0; i < rows->count; i++) {
        uint64_t first = (uint64_t)rows->rows[i] * width;
        for (uint32_t k = 0; k < width; k++) {
            size_t at = (size_t)i * width + k;
            to[at] = td__random_unit(numbers, first + k) < rate ? 0.0f : from[at] * scale;
        }
    }
}
