/* split.c -- a dataset cut in two.
 *
 * Serves: stage 2. In: a dataset. Out: the rows to train on, and those held out.
 *
 * Each kind only marks rows in a bitmap; one function deals them out. "Newest" is by (time, place
 * in the file), so that there are no ties and the result is one and the same everywhere. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "data/dataset.h"
#include "base/poison.h"

typedef struct splitter {
    const td_dataset *dataset;
    const td_split_options *options;
    uint64_t *marks; /* bit i: row i is held out */
    uint64_t *
        offsets; /* [queries + 1] rows of query q: order[offsets[q]] .. order[offsets[q + 1] - 1] */
    uint64_t *order; /* [rows] */
} splitter;

static void mark(splitter *s, uint64_t row)
{
    s->marks[row / 64] |= UINT64_C(1) << (row % 64);
}

static bool marked(const splitter *s, uint64_t row)
{
    return (s->marks[row / 64] >> (row % 64)) & 1;
}

static uint64_t share_of(double fraction, uint64_t rows)
{
    return (uint64_t)round(fraction * (double)rows);
}

/* How many rows of the whole are held out, for the kinds that count the whole. */
static td_status count_held_out(const splitter *s, uint64_t *count, td_error *err)
{
    uint64_t rows = s->dataset->rows;
    *count = s->options->count > 0 ? s->options->count : share_of(s->options->fraction, rows);
    if (*count <= rows) return TD_OK;
    return td__fail(err, TD_ERR_ARGUMENT, "%llu rows cannot be held out of %llu",
                    (unsigned long long)*count, (unsigned long long)rows);
}

/* Mark `wanted` of `rows` [count], or of the rows 0 to count - 1 if it is NULL. Selection sampling (Knuth,
 * TAOCP 2, 3.4.2 S): each row with the chance that is left, so exactly that many of them, and every set of
 * that size is equally likely. */
static void mark_some_of(splitter *s, const uint64_t *rows, uint64_t count, uint64_t wanted,
                         td__random draws)
{
    for (uint64_t i = 0; wanted > 0; i++) {
        if (td__random_below(draws, i, count - i) >= wanted) continue;
        mark(s, rows == NULL ? i : rows[i]);
        wanted--;
    }
}

static td_status mark_random(splitter *s, td_error *err)
{
    uint64_t wanted;
    td_status status = count_held_out(s, &wanted, err);
    if (status != TD_OK) return status;
    td__random draws = td__random_stream(s->options->seed, TD__STREAM_SPLIT, 0);
    mark_some_of(s, NULL, s->dataset->rows, wanted, draws);
    return TD_OK;
}

/* Times as unsigned numbers in the same order. */
static uint64_t time_key(int64_t timestamp)
{
    return (uint64_t)timestamp ^ (UINT64_C(1) << 63);
}

/* The time of the wanted-th newest row, found 16 bits at a time from the top: each pass counts the
 * rows that agree with the bits known so far. *wanted becomes how many rows of just this time are
 * held out. `counts` [65536]. */
static uint64_t find_threshold(const td_dataset *dataset, uint64_t *counts, uint64_t *wanted)
{
    uint64_t known = 0;
    for (int shift = 48; shift >= 0; shift -= 16) {
        memset(counts, 0, 65536 * sizeof *counts);
        for (uint64_t i = 0; i < dataset->rows; i++) {
            uint64_t digits = time_key(dataset->timestamp[i]) >> shift;
            if (digits >> 16 == known) counts[digits & 0xFFFF]++;
        }
        uint64_t digit = 65535;
        for (; counts[digit] < *wanted; digit--) *wanted -= counts[digit];
        known = known << 16 | digit;
    }
    return known;
}

static td_status mark_newest(splitter *s, td_error *err)
{
    td_status status = TD_OK;
    const td_dataset *dataset = s->dataset;
    uint64_t *counts = NULL, wanted;
    TD_TRY(count_held_out(s, &wanted, err));
    if (wanted == 0) return TD_OK;
    TD_TRY(td__alloc(&counts, dataset->context, 65536, sizeof *counts, err));
    uint64_t threshold = find_threshold(dataset, counts, &wanted);
    for (uint64_t i = dataset->rows; i-- > 0;) {
        uint64_t key = time_key(dataset->timestamp[i]);
        if (key < threshold || (key == threshold && wanted == 0)) continue;
        if (key == threshold) wanted--;
        mark(s, i);
    }
done:
    td__free(dataset->context, counts);
    return status;
}

/* --- by query */

static bool is_newer(const td_dataset *dataset, uint64_t a, uint64_t b)
{
    if (dataset->has_timestamp && dataset->timestamp[a] != dataset->timestamp[b]) {
        return dataset->timestamp[a] > dataset->timestamp[b];
    }
    return a > b;
}

/* Restore the heap (the newest on top) below `at`. */
static void sift_down(const td_dataset *dataset, uint64_t *heap, uint64_t count, uint64_t at)
{
    for (uint64_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && is_newer(dataset, heap[child + 1], heap[child])) child++;
        if (!is_newer(dataset, heap[child], heap[at])) return;
        uint64_t row = heap[at];
        heap[at] = heap[child];
        heap[child] = row;
    }
}

/* Mark the `wanted` newest of `rows` [count], which lose their order. */
static void mark_newest_of(splitter *s, uint64_t *rows, uint64_t count, uint64_t wanted)
{
    for (uint64_t i = count / 2; i-- > 0;) sift_down(s->dataset, rows, count, i);
    for (; wanted > 0; wanted--) {
        mark(s, rows[0]);
        rows[0] = rows[--count];
        sift_down(s->dataset, rows, count, 0);
    }
}

static td_status group_by_query(splitter *s, td_error *err)
{
    td_status status = TD_OK;
    const td_dataset *dataset = s->dataset;
    uint32_t queries = td_vocab_count(dataset->queries);
    TD_TRY(td__alloc_zero(&s->offsets, dataset->context, (uint64_t)queries + 2, sizeof *s->offsets,
                          err));
    TD_TRY(td__alloc(&s->order, dataset->context, dataset->rows, sizeof *s->order, err));
    /* Counted two places ahead, the offsets end up one ahead, and dealing out moves them into
     * place. */
    for (uint64_t i = 0; i < dataset->rows; i++) s->offsets[(uint64_t)dataset->query[i] + 2]++;
    for (uint64_t q = 0; q < queries; q++) s->offsets[q + 2] += s->offsets[q + 1];
    for (uint64_t i = 0; i < dataset->rows; i++) {
        s->order[s->offsets[(uint64_t)dataset->query[i] + 1]++] = i;
    }
done:
    return status;
}

/* Mark what is held out of `rows` [count], those of query q; they may lose their order. */
static void mark_rows_of(splitter *s, uint32_t q, uint64_t *rows, uint64_t count)
{
    const td_split_options *options = s->options;
    uint64_t wanted = options->kind == TD_SPLIT_LAST ? options->count
                                                     : share_of(options->fraction, count);
    if (options->kind != TD_SPLIT_TIME_QUERY && wanted >= count) wanted = count - 1;
    if (options->kind != TD_SPLIT_QUERY) {
        mark_newest_of(s, rows, count, wanted);
        return;
    }
    mark_some_of(s, rows, count, wanted,
                 td__random_stream(options->seed, TD__STREAM_SPLIT_QUERY, q));
}

static td_status mark_by_query(splitter *s, td_error *err)
{
    td_status status = group_by_query(s, err);
    if (status != TD_OK) return status;
    uint32_t queries = td_vocab_count(s->dataset->queries);
    for (uint32_t q = 0; q < queries; q++) {
        uint64_t start = s->offsets[q], rows = s->offsets[q + 1] - start;
        if (rows == 0) continue;
        mark_rows_of(s, q, s->order + start, rows);
    }
    return TD_OK;
}

/* --- the two parts */

static td_status take_part(td_dataset **out, const splitter *s, bool held_out, uint64_t rows,
                           td_error *err)
{
    td_status status = TD_OK;
    const td_dataset *whole = s->dataset;
    td_dataset *part;
    TD_TRY(td__dataset_create(&part, whole->context, whole->queries, whole->candidates, err));
    part->has_weight = whole->has_weight;
    part->has_timestamp = whole->has_timestamp;
    TD_TRY(td__dataset_reserve(part, rows, err));
    for (uint64_t i = 0; i < whole->rows; i++) {
        if (marked(s, i) != held_out) continue;
        td__row row = td__dataset_row(whole, i);
        TD_TRY(td__dataset_append(part, &row, err));
    }
    *out = part;
    return TD_OK;
done:
    td_dataset_free(part);
    return status;
}

static uint64_t count_marks(const splitter *s)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i <= s->dataset->rows / 64; i++) {
        count += (uint64_t)__builtin_popcountll(s->marks[i]);
    }
    return count;
}

static td_status mark_rows(splitter *s, td_error *err)
{
    bool by_time = s->options->kind == TD_SPLIT_TIME || s->options->kind == TD_SPLIT_TIME_QUERY;
    if (by_time && !s->dataset->has_timestamp) {
        return td__fail(err, TD_ERR_ARGUMENT,
                        "a split by time needs times; name the timestamp column when reading");
    }
    switch (s->options->kind) {
    case TD_SPLIT_RANDOM:
        return mark_random(s, err);
    case TD_SPLIT_TIME:
        return mark_newest(s, err);
    case TD_SPLIT_TIME_QUERY:
    case TD_SPLIT_QUERY:
        return mark_by_query(s, err);
    case TD_SPLIT_LAST:
        break;
    }
    if (s->options->count > 0) return mark_by_query(s, err);
    return td__fail(err, TD_ERR_ARGUMENT,
                    "a split of the last rows needs their number, at least 1, in split-count");
}

td_status td_dataset_split(td_dataset **kept, td_dataset **held_out, const td_dataset *dataset,
                           const td_split_options *options, td_error *err)
{
    td_status status = TD_OK;
    td_split_options defaults;
    splitter s = {.dataset = dataset};
    *kept = *held_out = NULL;
    td_split_options_init(&defaults);
    s.options = options == NULL ? &defaults : options;
    TD_TRY(td_options_check(td_split_option_table(), s.options, err));
    TD_TRY(
        td__alloc_zero(&s.marks, dataset->context, dataset->rows / 64 + 1, sizeof *s.marks, err));
    TD_TRY(mark_rows(&s, err));
    uint64_t marks = count_marks(&s);
    TD_TRY(take_part(kept, &s, false, dataset->rows - marks, err));
    TD_TRY(take_part(held_out, &s, true, marks, err));
done:
    td__free(dataset->context, s.marks);
    td__free(dataset->context, s.offsets);
    td__free(dataset->context, s.order);
    if (status != TD_OK) {
        td_dataset_free(*kept);
        *kept = NULL;
    }
    return status;
}
