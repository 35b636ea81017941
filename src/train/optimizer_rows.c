/* optimizer_rows.c -- one step of one row of weights, for each kind of optimizer.
 *
 * Serves: stage 5. In: a row of weights, its state and its gradient. Out: both moved on.
 *
 * Plain loops, which the compiler turns into vector instructions (-O3 -fno-math-errno, see
 * CMakeLists.txt). Each element is computed alone with single-precision operations that IEEE 754
 * defines to the bit, so every machine gives the same bits. The one sum, in the row-wise Adagrad,
 * has a fixed order. */
#include "train/optimizer_rows.h"

#include <math.h>

#include "base/poison.h"

/* w -= lr g */
static void step_sgd(const td__row_rule *rule, float *restrict w, float *restrict slots,
                     const float *restrict g)
{
    const float rate = rule->rate;
    (void)slots;
    for (uint32_t k = 0; k < rule->dim; k++) w[k] -= rate * g[k];
}

/* v = m v - lr g; w += v: Keras. With a few rows touched, only their v decays, as in Keras' legacy
 * SGD. */
static void step_momentum(const td__row_rule *rule, float *restrict w, float *restrict slots,
                          const float *restrict g)
{
    const float rate = rule->rate, momentum = rule->momentum;
    for (uint32_t k = 0; k < rule->dim; k++) {
        slots[k] = momentum * slots[k] - rate * g[k];
        w[k] += slots[k];
    }
}

/* a += g^2; w -= lr g / sqrt(a + eps): Duchi et al. 2011 as in tf-keras. */
static void step_adagrad(const td__row_rule *rule, float *restrict w, float *restrict slots,
                         const float *restrict g)
{
    const float rate = rule->rate, epsilon = rule->epsilon;
    for (uint32_t k = 0; k < rule->dim; k++) {
        slots[k] += g[k] * g[k];
        w[k] -= rate * g[k] / sqrtf(slots[k] + epsilon);
    }
}

/* a += g^2; w -= lr g / (sqrt(a) + eps): as in torch, and Keras' legacy Adagrad. */
static void step_adagrad_torch(const td__row_rule *rule, float *restrict w, float *restrict slots,
                               const float *restrict g)
{
    const float rate = rule->rate, epsilon = rule->epsilon;
    for (uint32_t k = 0; k < rule->dim; k++) {
        slots[k] += g[k] * g[k];
        w[k] -= rate * g[k] / (sqrtf(slots[k]) + epsilon);
    }
}

/* Element k goes to sum k % LANES; the sums are added in pairs. */
static float sum_of_squares(const float *g, uint32_t dim)
{
    enum { LANES = 16 };
    float sum[LANES] = {0};
    uint32_t k = 0;
    for (; k + LANES <= dim; k += LANES) {
        for (uint32_t lane = 0; lane < LANES; lane++) sum[lane] += g[k + lane] * g[k + lane];
    }
    for (uint32_t lane = 0; k + lane < dim; lane++) sum[lane] += g[k + lane] * g[k + lane];
    for (uint32_t half = LANES / 2; half > 0; half /= 2) {
        for (uint32_t lane = 0; lane < half; lane++) sum[lane] += sum[lane + half];
    }
    return sum[0];
}

/* a += mean(g^2); w -= lr g / (sqrt(a) + eps), one a for the row: FBGEMM. */
static void step_adagrad_rowwise(const td__row_rule *rule, float *restrict w, float *restrict slots,
                                 const float *restrict g)
{
    slots[0] += sum_of_squares(g, rule->dim) / (float)rule->dim;
    const float scale = rule->rate / (sqrtf(slots[0]) + rule->epsilon);
    for (uint32_t k = 0; k < rule->dim; k++) w[k] -= scale * g[k];
}

/* m += (1 - b1) (g - m); v += (1 - b2) (g^2 - v); w -= rate m / (sqrt(v) + eps): Kingma & Ba 2015
 * in the form before section 2.1, where the rate carries the corrections. */
static void step_adam(const td__row_rule *rule, float *restrict w, float *restrict slots,
                      const float *restrict g)
{
    const float rate = rule->rate, epsilon = rule->epsilon;
    const float rest1 = rule->beta1_rest, rest2 = rule->beta2_rest;
    float *restrict m = slots;
    float *restrict v = slots + rule->dim;
    for (uint32_t k = 0; k < rule->dim; k++) {
        m[k] += (g[k] - m[k]) * rest1;
        v[k] += (g[k] * g[k] - v[k]) * rest2;
        w[k] -= rate * m[k] / (sqrtf(v[k]) + epsilon);
    }
}

td__row_update *td__row_update_of(const td_optimizer_options *options)
{
    switch (options->optimizer) {
    case TD_OPTIMIZER_SGD:
        return options->momentum > 0 ? step_momentum : step_sgd;
    case TD_OPTIMIZER_ADAGRAD:
        return step_adagrad;
    case TD_OPTIMIZER_ADAGRAD_TORCH:
        return step_adagrad_torch;
    case TD_OPTIMIZER_ADAGRAD_ROWWISE:
        return step_adagrad_rowwise;
    case TD_OPTIMIZER_ADAM_LAZY:
        return step_adam;
    }
    return step_sgd;
}

uint32_t td__row_slots_of(const td_optimizer_options *options, uint32_t dim)
{
    switch (options->optimizer) {
    case TD_OPTIMIZER_SGD:
        return options->momentum > 0 ? dim : 0;
    case TD_OPTIMIZER_ADAGRAD:
        return dim;
    case TD_OPTIMIZER_ADAGRAD_TORCH:
        return dim;
    case TD_OPTIMIZER_ADAGRAD_ROWWISE:
        return 1;
    case TD_OPTIMIZER_ADAM_LAZY:
        return 2 * dim;
    }
    return 0;
}
