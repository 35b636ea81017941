/* crossentropy_rows.c -- the loss of one row as tf-keras 2 defines it, and its gradient.
 *
 * Serves: stage 4. In: predictions and label of a row. Out: its loss, scale * gradient.
 *
 * Sums are double. But what Keras rounds to float32 before a comparison or a logarithm (the
 * quotient of the renormalisation, 1 - 1e-7, p + 1e-7) is rounded here too: near the clip the
 * logarithm turns the last bit into per cents. Gradients pass a clip where the value is inside,
 * borders included. */
#include "train/crossentropy_rows.h"

#include <math.h>

#include "base/poison.h"

/* Keras' epsilon, and 1 - epsilon in float32: 1 - 1.19e-7. */
static const float low = 1e-7f;
static const float high = 1.0f - 1e-7f;

static float clip(float p)
{
    return p < low ? low : p > high ? high : p;
}

static bool inside(float p)
{
    return p >= low && p <= high;
}

static const float *prediction_row(const td__crossentropy *job, uint64_t row)
{
    return job->predictions->prediction + row * job->predictions->classes;
}

/* Target c of the row, smoothed: y (1 - e) + e / n. */
static double target_at(const td__crossentropy *job, uint64_t row, uint32_t c)
{
    double smoothing = (double)job->options.label_smoothing;
    uint32_t classes = job->predictions->classes;
    return (double)job->target[row * classes + c] * (1.0 - smoothing) + smoothing / classes;
}

float td__row_sum(const float *row, uint32_t classes)
{
    double sum = 0.0;
    for (uint32_t c = 0; c < classes; c++) sum += (double)row[c];
    return (float)sum;
}

/* ln sum exp, anchored at the largest. row [classes] */
static double log_sum_exp(const float *row, uint32_t classes)
{
    double largest = (double)row[0], sum = 0.0;
    for (uint32_t c = 1; c < classes; c++) largest = fmax(largest, (double)row[c]);
    for (uint32_t c = 0; c < classes; c++) sum += exp((double)row[c] - largest);
    return largest + log(sum);
}

/* loss = sum y (lse - s); gradient = P sum y - y. */
double td__categorical_logits(const td__crossentropy *job, uint64_t row, double scale, float *d_row)
{
    const float *logit = prediction_row(job, row);
    uint32_t classes = job->predictions->classes;
    double lse = log_sum_exp(logit, classes), loss = 0.0, targets = 0.0;
    for (uint32_t c = 0; c < classes; c++) {
        double y = target_at(job, row, c);
        loss += y * (lse - (double)logit[c]);
        targets += y;
    }
    for (uint32_t c = 0; d_row != NULL && c < classes; c++) {
        double gradient = targets * exp((double)logit[c] - lse) - target_at(job, row, c);
        d_row[c] = (float)(scale * gradient);
    }
    return loss;
}

/* q = p / sum p; loss = -sum y ln clip(q). With g = d loss / d q:
 * gradient = (g - sum g q) / sum p. */
double td__categorical_probabilities(const td__crossentropy *job, uint64_t row, double scale,
                                     float *d_row)
{
    const float *probability = prediction_row(job, row);
    uint32_t classes = job->predictions->classes;
    float sum = td__row_sum(probability, classes);
    double loss = 0.0, gradient_times_q = 0.0;
    for (uint32_t c = 0; c < classes; c++) {
        float q = probability[c] / sum;
        double y = target_at(job, row, c);
        loss -= y * log((double)clip(q));
        if (inside(q)) gradient_times_q -= y;
    }
    for (uint32_t c = 0; d_row != NULL && c < classes; c++) {
        float q = probability[c] / sum;
        double gradient = inside(q) ? -target_at(job, row, c) / (double)q : 0.0;
        d_row[c] = (float)(scale * (gradient - gradient_times_q) / (double)sum);
    }
    return loss;
}

/* loss = lse - s[label]; gradient = P - [label]. */
double td__sparse_logits(const td__crossentropy *job, uint64_t row, double scale, float *d_row)
{
    const float *logit = prediction_row(job, row);
    uint32_t classes = job->predictions->classes, label = (uint32_t)job->label[row];
    double lse = log_sum_exp(logit, classes);
    for (uint32_t c = 0; d_row != NULL && c < classes; c++) {
        d_row[c] = (float)(scale * (exp((double)logit[c] - lse) - (c == label ? 1.0 : 0.0)));
    }
    return lse - (double)logit[label];
}

/* The logits are ln clip(p): loss = ln sum clip(p) - ln clip(p[label]). */
double td__sparse_probabilities(const td__crossentropy *job, uint64_t row, double scale,
                                float *d_row)
{
    const float *probability = prediction_row(job, row);
    uint32_t classes = job->predictions->classes, label = (uint32_t)job->label[row];
    double sum = 0.0, chosen = (double)clip(probability[label]);
    for (uint32_t c = 0; c < classes; c++) sum += (double)clip(probability[c]);
    for (uint32_t c = 0; d_row != NULL && c < classes; c++) {
        double gradient = 1.0 / sum - (c == label ? 1.0 / chosen : 0.0);
        d_row[c] = inside(probability[c]) ? (float)(scale * gradient) : 0.0f;
    }
    return log(sum) - log(chosen);
}

/* Target c of the row, smoothed between two classes: y (1 - e) + e / 2. */
static double binary_target_at(const td__crossentropy *job, uint64_t row, uint32_t c)
{
    double smoothing = (double)job->options.label_smoothing;
    return (double)job->target[row * job->predictions->classes + c] * (1.0 - smoothing)
           + 0.5 * smoothing;
}

/* loss = mean of max(s, 0) - s y + ln(1 + exp(-|s|)); gradient = (sigmoid(s) - y) / n. */
double td__binary_logits(const td__crossentropy *job, uint64_t row, double scale, float *d_row)
{
    const float *logit = prediction_row(job, row);
    uint32_t classes = job->predictions->classes;
    double loss = 0.0;
    for (uint32_t c = 0; c < classes; c++) {
        double s = (double)logit[c], y = binary_target_at(job, row, c), tail = exp(-fabs(s));
        double sigmoid = s >= 0.0 ? 1.0 / (1.0 + tail) : tail / (1.0 + tail);
        loss += fmax(s, 0.0) - s * y + log1p(tail);
        if (d_row != NULL) d_row[c] = (float)(scale * (sigmoid - y) / classes);
    }
    return loss / classes;
}

/* p clipped; loss = mean of -(y ln(p + 1e-7) + (1 - y) ln(1 - p + 1e-7)). */
double td__binary_probabilities(const td__crossentropy *job, uint64_t row, double scale,
                                float *d_row)
{
    const float *probability = prediction_row(job, row);
    uint32_t classes = job->predictions->classes;
    double loss = 0.0;
    for (uint32_t c = 0; c < classes; c++) {
        float p = clip(probability[c]);
        float one = 1.0f - p;
        double yes = (double)(p + low), no = (double)(one + low), y = binary_target_at(job, row, c);
        double gradient = inside(probability[c]) ? (1.0 - y) / no - y / yes : 0.0;
        loss -= y * log(yes) + (1.0 - y) * log(no);
        if (d_row != NULL) d_row[c] = (float)(scale * gradient / classes);
    }
    return loss / classes;
}
