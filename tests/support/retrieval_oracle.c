/* retrieval_oracle.c -- the retrieval task in float64, written from the text of tandem.h. */
#include "support/retrieval_oracle.h"

#include <math.h>

static void *zeros(size_t count, size_t size)
{
    void *block = calloc(count + 1, size);
    if (block == NULL) fail_msg("out of memory");
    return block;
}

static double dot(const float *a, const float *b, uint32_t dim)
{
    double sum = 0;
    for (uint32_t k = 0; k < dim; k++) sum += (double)a[k] * (double)b[k];
    return sum;
}

/* Sorted by score, best first; equal scores by column. */
typedef struct ranked {
    double score;
    uint32_t column;
} ranked;

static int by_rank(const void *left, const void *right)
{
    const ranked *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->column < b->column ? -1 : 1;
}

/* What the functions below share: one row. */
typedef struct oracle_row {
    const td_retrieval_batch *batch;
    const td_retrieval_options *options;
    uint32_t b, positive;
    double *score;  /* [C] */
    double *raw;    /* [C] */
    uint32_t *head; /* [C] */
} oracle_row;

static void note_gap(oracle *out, double gap)
{
    if (gap != 0 && gap < out->closest) out->closest = gap;
}

static void score(const oracle_row *row, oracle *out)
{
    const td_retrieval_batch *batch = row->batch;
    for (uint32_t c = 0; c < batch->candidates; c++) {
        row->raw[c] = -HUGE_VAL;
        for (uint32_t h = 0; h < batch->heads; h++) {
            size_t at = ((size_t)row->b * batch->heads + h) * batch->dim;
            double s = dot(batch->query + at, batch->candidate + (size_t)c * batch->dim,
                           batch->dim);
            if (h > 0) note_gap(out, fabs(s - row->raw[c]));
            if (s > row->raw[c]) {
                row->raw[c] = s;
                row->head[c] = h;
            }
        }
        double p = batch->sampling_probability ? (double)batch->sampling_probability[c] : 1.0;
        p = p < 1e-6 ? 1e-6 : p > 1.0 ? 1.0 : p;
        row->score[c] = row->raw[c] / (double)row->options->temperature - log(p);
    }
}

static void leave(const oracle_row *row)
{
    const td_retrieval_batch *batch = row->batch;
    for (uint32_t c = 0; c < batch->candidates; c++) {
        bool hit = row->options->remove_accidental_hits && c != row->positive
                   && batch->candidate_id[c] == batch->candidate_id[row->positive];
        bool masked = batch->score_mask
                      && batch->score_mask[(size_t)row->b * batch->candidates + c] == 0;
        if (hit || masked) row->score[c] = -HUGE_VAL;
    }
}

static void mine(const oracle_row *row, oracle *out)
{
    uint32_t columns = row->batch->candidates, wanted = row->options->hard_negatives;
    if (wanted == 0 || wanted >= columns) return;
    ranked *order = zeros(columns, sizeof *order);
    for (uint32_t c = 0; c < columns; c++) {
        order[c] = (ranked){c == row->positive ? HUGE_VAL : row->score[c], c};
    }
    qsort(order, columns, sizeof *order, by_rank);
    if (wanted + 1 < columns && order[wanted + 1].score > -HUGE_VAL)
        note_gap(out, order[wanted].score - order[wanted + 1].score);
    for (uint32_t i = wanted + 1; i < columns; i++) row->score[order[i].column] = -HUGE_VAL;
    free(order);
}

/* d loss / d score of one row, into gradient [C]; returns the loss, without weight. */
static double crossentropy(const oracle_row *row, double *gradient)
{
    uint32_t columns = row->batch->candidates;
    double largest = -HUGE_VAL, sum = 0, loss = 0, e = (double)row->options->label_smoothing;
    uint32_t kept = 0;
    for (uint32_t c = 0; c < columns; c++) largest = fmax(largest, row->score[c]);
    for (uint32_t c = 0; c < columns; c++) {
        sum += exp(row->score[c] - largest);
        if (row->score[c] > -HUGE_VAL) kept++;
    }
    for (uint32_t c = 0; c < columns; c++) {
        gradient[c] = 0;
        if (row->score[c] == -HUGE_VAL) continue;
        double label = e / kept + (c == row->positive ? 1 - e : 0);
        double log_probability = row->score[c] - largest - log(sum);
        loss -= label * log_probability;
        gradient[c] = exp(log_probability) - label;
    }
    return loss;
}

static void add_gradients(const oracle_row *row, const double *gradient, double weight, oracle *out)
{
    const td_retrieval_batch *batch = row->batch;
    double t = (double)row->options->temperature;
    for (uint32_t c = 0; c < batch->candidates; c++) {
        double g = weight * gradient[c];
        size_t q = ((size_t)row->b * batch->heads + row->head[c]) * batch->dim;
        size_t d = (size_t)c * batch->dim;
        out->d_temperature -= g * row->raw[c] / (t * t);
        for (uint32_t k = 0; k < batch->dim; k++) {
            out->d_query[q + k] += g / t * (double)batch->candidate[d + k];
            out->d_candidate[d + k] += g / t * (double)batch->query[q + k];
        }
    }
}

oracle oracle_retrieval(const td_retrieval_batch *batch, const td_retrieval_options *options)
{
    size_t columns = batch->candidates;
    double scale = options->reduction == TD_REDUCTION_MEAN ? 1.0 / batch->queries : 1.0;
    oracle out = {.closest = HUGE_VAL};
    out.row_loss = zeros(batch->queries, sizeof(double));
    out.d_query = zeros((size_t)batch->queries * batch->heads * batch->dim, sizeof(double));
    out.d_candidate = zeros(columns * batch->dim, sizeof(double));
    out.score = zeros(batch->queries * columns, sizeof(double));
    oracle_row row = {.batch = batch, .options = options};
    row.raw = zeros(columns, sizeof(double));
    row.head = zeros(columns, sizeof(uint32_t));
    double *gradient = zeros(columns, sizeof(double));
    for (row.b = 0; row.b < batch->queries; row.b++) {
        row.positive = batch->positive ? batch->positive[row.b] : row.b;
        row.score = out.score + row.b * columns;
        score(&row, &out);
        leave(&row);
        mine(&row, &out);
        double weight = batch->sample_weight ? (double)batch->sample_weight[row.b] : 1.0;
        out.row_loss[row.b] = weight * crossentropy(&row, gradient);
        out.loss += scale * out.row_loss[row.b];
        add_gradients(&row, gradient, weight * scale, &out);
    }
    free(row.raw);
    free(row.head);
    free(gradient);
    return out;
}

void oracle_free(oracle *out)
{
    free(out->row_loss);
    free(out->d_query);
    free(out->d_candidate);
    free(out->score);
}

/* --- random batches */

static uint32_t below(uint64_t *seed, uint32_t bound)
{
    return (uint32_t)test_uniform(seed, 0, bound);
}

static uint32_t random_columns(uint64_t *seed, uint32_t rows, unsigned with)
{
    if (with & WITH_EXTRA) return rows + 1 + below(seed, 2 * rows);
    return with & WITH_POSITIVES ? 1 + below(seed, rows) : rows;
}

static void random_options(td_retrieval_options *options, uint64_t *seed, uint32_t columns,
                           unsigned with)
{
    td_retrieval_options_init(options);
    if (with & WITH_TEMPERATURE) options->temperature = (float)exp(test_uniform(seed, -2, 1));
    if (with & WITH_HITS) options->remove_accidental_hits = true;
    if (with & WITH_HARD) options->hard_negatives = 1 + below(seed, columns + 2);
    if (with & WITH_SMOOTHING) options->label_smoothing = (float)test_uniform(seed, 0.01, 1);
    if (with & WITH_MEAN) options->reduction = TD_REDUCTION_MEAN;
}

static void random_arrays(random_batch *random, uint64_t *seed, unsigned with)
{
    static const float odd[] = {0.0f, 1e-9f, 1e-6f, 0.5f, 1.0f, 7.0f};
    td_retrieval_batch *batch = &random->batch;
    uint32_t rows = batch->queries, columns = batch->candidates;
    for (uint32_t b = 0; b < rows; b++) {
        random->positive[b] = with & WITH_POSITIVES ? below(seed, columns) : b;
        random->weight[b] = below(seed, 3) == 0 ? 0.0f : (float)test_uniform(seed, 0, 3);
    }
    for (uint32_t c = 0; c < columns; c++) {
        random->id[c] = below(seed, columns / 2 + 1) + (UINT64_C(1) << 40);
        random->probability[c] = below(seed, 4) == 0 ? odd[below(seed, 6)]
                                                     : (float)exp(test_uniform(seed, -8, 0));
    }
    for (size_t i = 0; i < (size_t)rows * columns; i++) random->mask[i] = below(seed, 3) > 0;
    for (uint32_t b = 0; b < rows; b++) random->mask[(size_t)b * columns + random->positive[b]] = 1;
}

random_batch random_batch_make(uint64_t seed, uint32_t rows, uint32_t dim, unsigned with)
{
    random_batch random;
    uint32_t columns = random_columns(&seed, rows, with), heads = with & WITH_HEADS ? 3 : 1;
    random_options(&random.options, &seed, columns, with);
    random.query = test_normal_vectors(seed, (uint64_t)rows * heads, dim);
    random.candidate = test_normal_vectors(seed + 1, columns, dim);
    random.weight = zeros(rows, sizeof(float));
    random.positive = zeros(rows, sizeof(uint32_t));
    random.probability = zeros(columns, sizeof(float));
    random.id = zeros(columns, sizeof(uint64_t));
    random.mask = zeros((size_t)rows * columns, 1);
    random.batch = (td_retrieval_batch){.queries = rows,
                                        .candidates = columns,
                                        .heads = heads,
                                        .dim = dim,
                                        .query = random.query,
                                        .candidate = random.candidate};
    random_arrays(&random, &seed, with);
    if (with & WITH_POSITIVES) random.batch.positive = random.positive;
    if (with & WITH_WEIGHTS) random.batch.sample_weight = random.weight;
    if (with & WITH_PROBABILITY) random.batch.sampling_probability = random.probability;
    if (with & WITH_HITS) random.batch.candidate_id = random.id;
    if (with & WITH_MASK) random.batch.score_mask = random.mask;
    return random;
}

void random_batch_free(random_batch *random)
{
    free(random->query);
    free(random->candidate);
    free(random->weight);
    free(random->positive);
    free(random->probability);
    free(random->id);
    free(random->mask);
}

td_retrieval_shape shape_of(const td_retrieval_batch *batch)
{
    return (td_retrieval_shape){.queries_max = batch->queries,
                                .candidates_max = batch->candidates,
                                .heads = batch->heads,
                                .dim = batch->dim};
}

td_retrieval_result result_make(const td_retrieval_batch *batch)
{
    return (td_retrieval_result){
        .row_loss = zeros(batch->queries, sizeof(float)),
        .d_query = zeros((size_t)batch->queries * batch->heads * batch->dim, sizeof(float)),
        .d_candidate = zeros((size_t)batch->candidates * batch->dim, sizeof(float))};
}

void result_free(td_retrieval_result *result)
{
    free(result->row_loss);
    free(result->d_query);
    free(result->d_candidate);
}

double array_error(const float *a, const double *b, size_t count)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        double gap = fabs((double)a[i] - b[i]);
        if (!(gap <= worst)) worst = gap; /* NaN stays */
        largest = fmax(largest, fabs(b[i]));
    }
    return largest > 0 ? worst / largest : worst;
}
