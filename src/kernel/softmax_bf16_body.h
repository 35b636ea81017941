/* softmax_bf16_body.h -- the loops of the softmax in bfloat16; included once by each set's file.
 *
 * Serves: softmax_pairs.c. What the file defines is said in softmax_tiles_body.h; here terms, HALVES,
 * load_terms, all_terms and add_products too. */
#include "kernel/softmax_bf16.h"

#define tile_type td__bf16_tile
#define term      td__pair

enum { TERM = 2 };

#include "kernel/softmax_tiles_body.h"

BLOCK void keep_block(const td__bf16_tile *tile, uint32_t row, uint32_t column)
{
    vec y[SCORE_ROWS][SCORE_WIDTH];
    for (uint32_t i = 0; i < SCORE_ROWS; i++) {
        for (uint32_t w = 0; w < SCORE_WIDTH; w++) y[i][w] = load(tile->bias + column + w * LANES);
    }
    multiply_block(tile, row, column, y);
    for (uint32_t i = 0; i < SCORE_ROWS; i++) {
        float *scores = tile->weights + (size_t)(row + i) * TD__PANEL + column;
        for (uint32_t w = 0; w < SCORE_WIDTH; w++) store(scores + w * LANES, y[i][w]);
    }
}

static void keep(const td__bf16_tile *tile)
{
    for (uint32_t row = 0; row < tile->height; row += SCORE_ROWS) {
        UNROLL for (uint32_t slice = 0; slice < SLICES; slice++) {
            keep_block(tile, row, slice * SCORE_WIDTH * LANES);
        }
    }
}
