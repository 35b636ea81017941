/* epoch_order_test.c -- every interaction once an epoch, queries whole, orders that are functions of the
 * epoch. */
#include "support/test.h"

#include "train/epoch_order.h"

enum { ROWS = 300, QUERIES = 40, TABLE = 30 };

typedef struct fixture {
    td_context *context;
    uint32_t query[ROWS], row_of[QUERIES];
    td__order_source source;
    td_train_options options;
} fixture;

/* Queries 25 and beyond share the last rows of the table; rows 27 to 28 have no interactions. */
static void set_up(fixture *f, td_group group, uint32_t batch_size)
{
    uint64_t seed = 3;
    *f = (fixture){.context = test_context(1)};
    for (uint32_t q = 0; q < QUERIES; q++) f->row_of[q] = q < 27 ? q : 29;
    for (uint32_t i = 0; i < ROWS; i++) {
        double skew = test_uniform(&seed, 0, 1);
        f->query[i] = (uint32_t)(skew * skew * QUERIES);
    }
    f->source = (td__order_source){ROWS, f->query, f->row_of, TABLE, 1};
    td_train_options_init(&f->options);
    f->options.group = group;
    f->options.batch_size = batch_size;
}

static td__epoch_order *make(fixture *f)
{
    td_error err;
    td__epoch_order *order;
    assert_ok(td__epoch_order_create(&order, f->context, &f->source, &f->options, &err));
    return order;
}

static uint32_t row_at(const fixture *f, const td__epoch_order *order, uint32_t place)
{
    return f->row_of[f->query[td__epoch_order_at(order, place)]];
}

static void assert_each_once(const td__epoch_order *order)
{
    bool seen[ROWS] = {false};
    for (uint32_t place = 0; place < ROWS; place++) {
        uint32_t at = td__epoch_order_at(order, place);
        assert_true(at < ROWS && !seen[at]);
        seen[at] = true;
    }
    assert_int_equal(td__epoch_order_end(order, td__epoch_order_batches(order) - 1), ROWS);
}

static void every_interaction_comes_once(void **state)
{
    (void)state;
    for (int group = TD_GROUP_ROWS; group <= TD_GROUP_QUERIES; group++) {
        for (int shuffle = TD_SHUFFLE_EPOCH; shuffle <= TD_SHUFFLE_NONE; shuffle++) {
            fixture f;
            set_up(&f, (td_group)group, 7);
            f.options.shuffle = (td_shuffle)shuffle;
            td__epoch_order *order = make(&f);
            for (uint32_t epoch = 0; epoch < 3; epoch++) {
                td__epoch_order_start(order, epoch);
                assert_each_once(order);
            }
            td__epoch_order_free(order);
            td_context_free(f.context);
        }
    }
}

/* A query is in one batch, its interactions stand together and in the order of the dataset; batches have
 * 7 queries each. */
static void queries_stay_whole(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, TD_GROUP_QUERIES, 7);
    td__epoch_order *order = make(&f);
    td__epoch_order_start(order, 5);
    uint32_t start = 0;
    bool seen[TABLE] = {false};
    for (uint32_t batch = 0; batch < td__epoch_order_batches(order); batch++) {
        uint32_t end = td__epoch_order_end(order, batch), queries = 0;
        for (uint32_t place = start; place < end; place++) {
            uint32_t row = row_at(&f, order, place);
            bool same = place > start && row == row_at(&f, order, place - 1);
            if (same) {
                assert_true(td__epoch_order_at(order, place - 1) < td__epoch_order_at(order, place));
                continue;
            }
            assert_false(seen[row]);
            seen[row] = true;
            queries++;
        }
        assert_true(queries == 7 || batch + 1 == td__epoch_order_batches(order));
        assert_true(end - start <= td__epoch_order_rows_max(order));
        start = end;
    }
    assert_int_equal(td__epoch_order_queries_max(order), 7);
    td__epoch_order_free(order);
    td_context_free(f.context);
}

static uint32_t length_of(const fixture *f, uint32_t row)
{
    uint32_t length = 0;
    for (uint32_t i = 0; i < ROWS; i++) length += f->row_of[f->query[i]] == row;
    return length;
}

/* Walk the runs of one query in an epoch of 4 parts: as many runs as parts, of even lengths, no two of a
 * query in the same round of all queries; batches have 7 runs each. */
static void queries_come_in_parts(void **state)
{
    (void)state;
    enum { PARTS = 4, SIZE = 7 };
    fixture f;
    set_up(&f, TD_GROUP_QUERIES, SIZE);
    f.source.parts = PARTS;
    td__epoch_order *order = make(&f);
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        uint32_t parts[TABLE] = {0}, runs = 0, place = 0;
        td__epoch_order_start(order, epoch);
        assert_each_once(order);
        for (uint32_t batch = 0; batch < td__epoch_order_batches(order); batch++) {
            uint32_t end = td__epoch_order_end(order, batch), in_batch = 0;
            assert_true(end - place <= td__epoch_order_rows_max(order));
            while (place < end) {
                uint32_t row = row_at(&f, order, place), length = length_of(&f, row);
                uint32_t all = length < PARTS ? length : PARTS, part = parts[row]++;
                uint32_t count = length * (part + 1) / all - length * part / all;
                for (uint32_t i = 0; i < count; i++) {
                    assert_int_equal(row_at(&f, order, place + i), row);
                }
                for (uint32_t other = 0; other < TABLE; other++) {
                    uint32_t most = length_of(&f, other) < PARTS ? length_of(&f, other) : PARTS;
                    assert_true(parts[other] >= (part < most ? part : most));
                }
                place += count;
                in_batch++;
                runs++;
            }
            assert_int_equal(place, end);
            assert_true(in_batch == SIZE || batch + 1 == td__epoch_order_batches(order));
        }
        for (uint32_t row = 0; row < TABLE; row++) {
            uint32_t length = length_of(&f, row);
            assert_int_equal(parts[row], length < PARTS ? length : PARTS);
        }
        assert_int_equal(td__epoch_order_batches(order), (runs + SIZE - 1) / SIZE);
    }
    td__epoch_order_free(order);
    td_context_free(f.context);
}

/* What makes a part is new each epoch. */
static void parts_are_dealt_anew(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, TD_GROUP_QUERIES, 7);
    f.source.parts = 2;
    td__epoch_order *order = make(&f);
    bool first[2][ROWS] = {{false}};
    uint32_t differ = 0;
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        td__epoch_order_start(order, epoch);
        for (uint32_t place = 0; place < ROWS / 2; place++) {
            first[epoch][td__epoch_order_at(order, place)] = true;
        }
    }
    for (uint32_t i = 0; i < ROWS; i++) differ += first[0][i] != first[1][i];
    assert_true(differ > ROWS / 4);
    td__epoch_order_free(order);
    td_context_free(f.context);
}

/* More parts than interactions: each row by itself. */
static void many_parts_are_single_rows(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, TD_GROUP_QUERIES, 16);
    f.source.parts = UINT32_MAX;
    td__epoch_order *order = make(&f);
    assert_each_once(order);
    assert_int_equal(td__epoch_order_rows_max(order), 16);
    assert_int_equal(td__epoch_order_batches(order), (ROWS + 15) / 16);
    td__epoch_order_free(order);
    td_context_free(f.context);
}

/* Any epoch can be arranged after any other. */
static void an_epoch_is_a_function_of_its_number(void **state)
{
    (void)state;
    for (int variant = 0; variant < 3; variant++) {
        fixture f;
        set_up(&f, variant == 0 ? TD_GROUP_ROWS : TD_GROUP_QUERIES, 11);
        f.source.parts = variant == 2 ? 3 : 1;
        td__epoch_order *here = make(&f), *there = make(&f);
        uint32_t moved = 0;
        td__epoch_order_start(here, 4);
        for (uint32_t epoch = 0; epoch <= 4; epoch++) td__epoch_order_start(there, epoch);
        for (uint32_t i = 0; i < ROWS; i++) {
            assert_int_equal(td__epoch_order_at(here, i), td__epoch_order_at(there, i));
        }
        td__epoch_order_start(there, 5);
        for (uint32_t i = 0; i < ROWS; i++) {
            moved += td__epoch_order_at(here, i) != td__epoch_order_at(there, i);
        }
        assert_true(moved > ROWS / 2);
        td__epoch_order_free(here);
        td__epoch_order_free(there);
        td_context_free(f.context);
    }
}

/* One batch may be everything. */
static void large_batches_hold_all(void **state)
{
    (void)state;
    for (int group = TD_GROUP_ROWS; group <= TD_GROUP_QUERIES; group++) {
        fixture f;
        set_up(&f, (td_group)group, 5000);
        td__epoch_order *order = make(&f);
        assert_int_equal(td__epoch_order_batches(order), 1);
        assert_int_equal(td__epoch_order_end(order, 0), ROWS);
        assert_int_equal(td__epoch_order_rows_max(order), ROWS);
        td__epoch_order_free(order);
        td_context_free(f.context);
    }
}

static td_status create_and_free(void *state, td_context *context, td_error *err)
{
    fixture *f = state;
    td__epoch_order *order;
    td_status status = td__epoch_order_create(&order, context, &f->source, &f->options, err);
    td__epoch_order_free(order);
    return status;
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, TD_GROUP_QUERIES, 7);
    test_every_allocation(create_and_free, &f);
    td_context_free(f.context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_interaction_comes_once),
        cmocka_unit_test(queries_stay_whole),
        cmocka_unit_test(queries_come_in_parts),
        cmocka_unit_test(parts_are_dealt_anew),
        cmocka_unit_test(many_parts_are_single_rows),
        cmocka_unit_test(an_epoch_is_a_function_of_its_number),
        cmocka_unit_test(large_batches_hold_all),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
