/* negatives.c -- candidates that a batch is measured against beyond its own, and how each of them counts.
 *
 * Serves: stage 5. In: seed and step. Out: rows of the candidate table; weights of columns. */
#include "train/negatives.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/poison.h"

/* The candidates of the batches before, a ring. */
typedef struct memory_bank {
    uint32_t batches, rows_max;
    uint32_t *rows;   /* [batches, rows_max] */
    uint32_t *counts; /* [batches] */
    uint32_t next;    /* slot that is written next */
} memory_bank;

struct td__negatives {
    td_context *context;
    td_negative_options options;
    uint64_t seed;
    uint32_t *catalogue; /* [catalogue_count] rows of the table that may be drawn */
    uint32_t catalogue_count;
    double *cumulative; /* [catalogue_count] shares of the draw, added up; NULL: all alike */
    float *bias;        /* [table_rows] or NULL */
    memory_bank bank;
    uint32_t *drawn; /* [drawn_max] */
};

bool td__negatives_needed(const td_train_options *options)
{
    return options->negatives.kind != TD_NEGATIVES_BATCH || options->negatives.memory > 0;
}

static bool is_drawn(const td_negative_options *options)
{
    return options->kind == TD_NEGATIVES_SAMPLED || options->kind == TD_NEGATIVES_MIXED;
}

/* --- creation */

static td_status check_options(const td_train_options *options, td_error *err)
{
    td_status status = TD_OK;
    const td_negative_options *negatives = &options->negatives;
    TD_FAIL_IF(options->sampling_correction == TD_SAMPLING_STREAMING, err, ERR_ARGUMENT,
               "sampling-correction streaming knows the candidates of the batches only; use counts "
               "or none with these negatives");
    TD_FAIL_IF(negatives->kind == TD_NEGATIVES_ALL && negatives->memory > 0, err, ERR_ARGUMENT,
               "negatives all leaves nothing for memory-batches %u to add", negatives->memory);
    TD_FAIL_IF(is_drawn(negatives) && negatives->count == 0, err, ERR_ARGUMENT,
               "negative-count is 0: nothing to draw; use negatives batch");
done:
    return status;
}

/* Known candidates, and catch-all rows that some training row uses. */
static td_status create_catalogue(td__negatives *n, const td__negatives_source *source, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(td__alloc(&n->catalogue, n->context, source->table_rows, sizeof *n->catalogue, err));
    for (uint32_t row = 0; row < source->table_rows; row++) {
        if (row < source->known || source->counts[row] > 0) n->catalogue[n->catalogue_count++] = row;
    }
done:
    return status;
}

static double drawn_weight(const td__negatives *n, const td__negatives_source *source, uint32_t row)
{
    return n->options.power == 0.0f ? 1.0
                                    : pow((double)source->counts[row], (double)n->options.power);
}

static td_status create_draw(td__negatives *n, const td__negatives_source *source, td_error *err)
{
    td_status status = TD_OK;
    double sum = 0.0;
    if (!is_drawn(&n->options)) return TD_OK;
    TD_TRY(td__alloc(&n->cumulative, n->context, n->catalogue_count, sizeof *n->cumulative, err));
    for (uint32_t i = 0; i < n->catalogue_count; i++) {
        n->cumulative[i] = sum += drawn_weight(n, source, n->catalogue[i]);
    }
done:
    return status;
}

/* -ln of the expected number of times that each candidate comes (see the header). */
static td_status create_bias(td__negatives *n, const td__negatives_source *source, td_error *err)
{
    td_status status = TD_OK;
    double rows = 0.0;
    double batches = (td__negatives_own(n) ? 1.0 : 0.0) + (double)n->options.memory;
    double drawn = is_drawn(&n->options) ? (double)n->options.count : 0.0;
    double draw_sum = n->cumulative == NULL ? 1.0 : n->cumulative[n->catalogue_count - 1];
    TD_TRY(td__alloc(&n->bias, n->context, source->table_rows, sizeof *n->bias, err));
    for (uint32_t row = 0; row < source->table_rows; row++) rows += (double)source->counts[row];
    for (uint32_t row = 0; row < source->table_rows; row++) {
        double expected = batches * source->rows_mean * (double)source->counts[row] / rows;
        if (drawn > 0.0) expected += drawn * drawn_weight(n, source, row) / draw_sum;
        n->bias[row] = (float)-log(fmax(expected, 1e-12));
    }
done:
    return status;
}

static td_status create_rooms(td__negatives *n, const td__negatives_source *source, td_error *err)
{
    td_status status = TD_OK;
    memory_bank *bank = &n->bank;
    *bank = (memory_bank){.batches = n->options.memory, .rows_max = source->rows_max};
    if (bank->batches > 0) {
        TD_TRY(td__alloc(&bank->rows, n->context, (uint64_t)bank->batches * bank->rows_max,
                         sizeof *bank->rows, err));
        TD_TRY(td__alloc_zero(&bank->counts, n->context, bank->batches, sizeof *bank->counts, err));
    }
    uint64_t drawn_max = (uint64_t)bank->batches * bank->rows_max + n->options.count;
    TD_FAIL_IF(drawn_max >= TD_NONE, err, ERR_LIMIT, "%llu negatives a step; at most %u are allowed",
               (unsigned long long)drawn_max, TD_NONE - 1);
    TD_TRY(td__alloc(&n->drawn, n->context, drawn_max, sizeof *n->drawn, err));
done:
    return status;
}

td_status td__negatives_create(td__negatives **out, td_context *context,
                               const td__negatives_source *source, const td_train_options *options,
                               td_error *err)
{
    td_status status = TD_OK;
    td__negatives *n = NULL;
    TD_TRY(check_options(options, err));
    TD_TRY(td__alloc_zero(&n, context, 1, sizeof *n, err));
    *n = (td__negatives){.context = context, .options = options->negatives, .seed = options->seed};
    TD_TRY(create_catalogue(n, source, err));
    TD_TRY(create_draw(n, source, err));
    bool corrected = options->sampling_correction == TD_SAMPLING_COUNTS;
    if (corrected && n->options.kind != TD_NEGATIVES_ALL) TD_TRY(create_bias(n, source, err));
    TD_TRY(create_rooms(n, source, err));
    *out = n;
    return TD_OK;
done:
    td__negatives_free(n);
    *out = NULL;
    return status;
}

void td__negatives_free(td__negatives *n)
{
    if (n == NULL) return;
    td__free(n->context, n->catalogue);
    td__free(n->context, n->cumulative);
    td__free(n->context, n->bias);
    td__free(n->context, n->bank.rows);
    td__free(n->context, n->bank.counts);
    td__free(n->context, n->drawn);
    td__free(n->context, n);
}

/* --- a batch */

uint32_t td__negatives_columns_max(const td__negatives *n)
{
    uint64_t most = (uint64_t)n->bank.batches * n->bank.rows_max;
    if (is_drawn(&n->options)) most += n->options.count;
    bool all = n->options.kind == TD_NEGATIVES_ALL || most > n->catalogue_count;
    return all ? n->catalogue_count : (uint32_t)most;
}

/* The first place whose cumulative share lies above `at`. */
static uint32_t find_share(const td__negatives *n, double at)
{
    uint32_t low = 0, high = n->catalogue_count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (n->cumulative[middle] > at) high = middle;
        else low = middle + 1;
    }
    return low;
}

static uint32_t draw(td__negatives *n, uint32_t count, uint64_t step)
{
    td__random numbers = td__random_stream(n->seed, TD__STREAM_NEGATIVES, step);
    double sum = n->cumulative[n->catalogue_count - 1];
    for (uint32_t i = 0; i < n->options.count; i++) {
        uint32_t place = n->options.power == 0.0f
                             ? (uint32_t)td__random_below(numbers, i, n->catalogue_count)
                             : find_share(n, td__random_unit(numbers, i) * sum);
        n->drawn[count++] = n->catalogue[place];
    }
    return count;
}

/* What is remembered, the oldest batch first. */
static uint32_t recall(const td__negatives *n, uint32_t count)
{
    const memory_bank *bank = &n->bank;
    for (uint32_t i = 0; i < bank->batches; i++) {
        uint32_t slot = (bank->next + i) % bank->batches;
        const uint32_t *rows = bank->rows + (size_t)slot * bank->rows_max;
        memcpy(n->drawn + count, rows, bank->counts[slot] * sizeof *rows);
        count += bank->counts[slot];
    }
    return count;
}

td__drawn td__negatives_draw(td__negatives *n, uint32_t epoch, uint32_t batch)
{
    uint32_t count = 0;
    if (n->options.kind == TD_NEGATIVES_ALL) {
        return (td__drawn){.count = n->catalogue_count, .rows = n->catalogue};
    }
    if (batch == 0 && n->bank.batches > 0) {
        memset(n->bank.counts, 0, n->bank.batches * sizeof *n->bank.counts);
        n->bank.next = 0;
    }
    count = recall(n, count);
    if (is_drawn(&n->options)) count = draw(n, count, (uint64_t)epoch << 32 | batch);
    return (td__drawn){.count = count, .rows = n->drawn};
}

void td__negatives_remember(td__negatives *n, const uint64_t *candidate_id, uint32_t count)
{
    memory_bank *bank = &n->bank;
    if (bank->batches == 0) return;
    uint32_t *rows = bank->rows + (size_t)bank->next * bank->rows_max;
    for (uint32_t i = 0; i < count; i++) rows[i] = (uint32_t)candidate_id[i];
    bank->counts[bank->next] = count;
    bank->next = (bank->next + 1) % bank->batches;
}

/* --- how a candidate counts */

bool td__negatives_own(const td__negatives *n)
{
    return n->options.kind == TD_NEGATIVES_BATCH || n->options.kind == TD_NEGATIVES_MIXED;
}

bool td__negatives_are_all(const td__negatives *n)
{
    return n->options.kind == TD_NEGATIVES_ALL;
}

bool td__negatives_separate(const td__negatives *n)
{
    return n->options.kind == TD_NEGATIVES_SAMPLED;
}

const float *td__negatives_bias(const td__negatives *n)
{
    return n->bias;
}
