/* softmax_bf16_round_body.h -- a strip of weights rounded to pairs, where no instruction takes two rows at
 * once; included by the sets that widen.
 *
 * Serves: softmax_pairs.c. The set defines round_columns(weights, along, across): 2 * LANES numbers of two
 * rows. */

static void round_weights(const float *weights, uint32_t height, td__pair *along, td__pair *across)
{
    for (uint32_t r = 0; r < height; r += 2) {
        for (uint32_t j = 0; j < TD__PANEL; j += 2 * LANES) {
            round_columns(weights + (size_t)r * TD__PANEL + j,
                          along + (size_t)r * (TD__PANEL / 2) + j / 2,
                          across + (size_t)(r / 2) * TD__PANEL + j);
        }
    }
}
