/* softmax_f32_body.h -- the loops of the softmax in float32; included once by each set's file.
 *
 * Serves: softmax.c. What the file defines is said in softmax_tiles_body.h. */
#define tile_type td__softmax_tile
#define term      float
#define terms     vec
#define load_terms(at, half)    load(at)
#define all_terms(x, half)      all(x)
#define add_products(a, b, sum) fma(a, b, sum)

enum { TERM = 1, HALVES = 1 };

#include "kernel/softmax_tiles_body.h"

static void weigh(float *scores, float anchor, float *sums)
{
    UNROLL for (uint32_t slice = 0; slice < SLICES; slice++) {
        uint32_t column = slice * SCORE_WIDTH * LANES;
        vec y[SCORE_WIDTH];
        for (uint32_t w = 0; w < SCORE_WIDTH; w++) {
            y[w] = sub(load(scores + column + w * LANES), all(anchor));
        }
        weigh_row(scores, sums, column, y);
    }
}
