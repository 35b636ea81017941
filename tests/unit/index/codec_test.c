/* codec_test.c -- codes are near what they stand for, and tables score them. */
#include "support/test.h"

#include <math.h>

#include "index/codec.h"
#include "kernel/quant.h"

enum { ROWS = 3000, DIM = 13 };

typedef struct fixture {
    td_context *context;
    td__codec codec;
    float *rows; /* items, which are their own residuals: the centre is 0 */
    float *scratch;
} fixture;

static fixture make(uint32_t width, float eta, uint32_t threads)
{
    td_error err = {0};
    fixture f = {.context = test_context(threads), .rows = test_normal_vectors(1, ROWS, DIM)};
    assert_ok(td__codec_create(&f.codec, f.context, DIM, width, eta, &err));
    assert_ok(td__codec_train(&f.codec, f.rows, ROWS, 5, &err));
    f.scratch = malloc(td__codec_scratch(&f.codec) * sizeof *f.scratch);
    return f;
}

static void end(fixture *f)
{
    td__codec_clear(&f->codec);
    td_context_free(f->context);
    free(f->rows);
    free(f->scratch);
}

static void decode(const td__codec *codec, const uint8_t *codes, float *vector)
{
    for (uint32_t k = 0; k < codec->dim; k++) {
        uint32_t b = k / codec->width, j = k % codec->width;
        vector[k] = codec->codewords[((size_t)b * codec->width + j) * 16 + codes[b]];
    }
}

/* The error of a code: squared, and along the item. */
typedef struct code_error {
    double squared, along;
} code_error;

static code_error error_of(const td__codec *codec, const float *item, const uint8_t *codes)
{
    float decoded[DIM];
    code_error out = {0};
    double length = 0.0;
    decode(codec, codes, decoded);
    for (int k = 0; k < DIM; k++) {
        double gap = (double)item[k] - (double)decoded[k];
        out.squared += gap * gap;
        out.along += gap * (double)item[k];
        length += (double)item[k] * (double)item[k];
    }
    out.along /= sqrt(length);
    return out;
}

static double loss_of(const td__codec *codec, const float *item, const uint8_t *codes)
{
    code_error e = error_of(codec, item, codes);
    return e.squared + ((double)codec->eta - 1.0) * e.along * e.along;
}

/* Of the variance of normal numbers, the best 16 values for one number leave 0.0096 (Max 1960), and 4
 * for each of two numbers 0.118; two numbers together do better than that. */
static void codes_are_near(void **state)
{
    (void)state;
    const double most[] = {0, 0.016, 0.11, 0.23};
    for (uint32_t width = 1; width <= 3; width++) {
        fixture f = make(width, 1.0f, 1);
        double error = 0.0;
        for (int i = 0; i < ROWS; i++) {
            uint8_t codes[DIM];
            td__codec_encode(&f.codec, f.rows + i * DIM, f.rows + i * DIM, f.scratch, codes);
            error += error_of(&f.codec, f.rows + i * DIM, codes).squared;
        }
        assert_true(error / (ROWS * DIM) < most[width]);
        end(&f);
    }
}

/* No change of one block makes a code's loss smaller. */
static void codes_are_the_best_within_a_block(void **state)
{
    (void)state;
    const float etas[] = {1.0f, 4.0f, 50.0f};
    for (int e = 0; e < 3; e++) {
        fixture f = make(2, etas[e], 1);
        for (int i = 0; i < 200; i++) {
            const float *item = f.rows + i * DIM;
            uint8_t codes[DIM];
            td__codec_encode(&f.codec, item, item, f.scratch, codes);
            double loss = loss_of(&f.codec, item, codes);
            for (uint32_t b = 0; b < f.codec.blocks; b++) {
                uint8_t kept = codes[b];
                for (uint8_t v = 0; v < 16; v++) {
                    codes[b] = v;
                    assert_true(loss_of(&f.codec, item, codes) >= loss * (1 - 1e-4) - 1e-5);
                }
                codes[b] = kept;
            }
        }
        end(&f);
    }
}

static void weight_moves_the_error_away_from_the_item(void **state)
{
    (void)state;
    double along[2] = {0}, squared[2] = {0};
    for (int e = 0; e < 2; e++) {
        fixture f = make(2, e == 0 ? 1.0f : 10.0f, 1);
        for (int i = 0; i < 1000; i++) {
            uint8_t codes[DIM];
            td__codec_encode(&f.codec, f.rows + i * DIM, f.rows + i * DIM, f.scratch, codes);
            code_error error = error_of(&f.codec, f.rows + i * DIM, codes);
            along[e] += error.along * error.along;
            squared[e] += error.squared;
        }
        end(&f);
    }
    assert_true(along[1] < 0.5 * along[0]);
    assert_true(squared[1] > squared[0]);
}

/* Sum of table entries / scale + offset is the product with the decoded vector, to half a step a block. */
static void tables_score_codes(void **state)
{
    (void)state;
    for (uint32_t width = 1; width <= 3; width++) {
        fixture f = make(width, 4.0f, 1);
        float *queries = test_normal_vectors(8, 20, DIM), entries[DIM * 17], decoded[DIM];
        uint8_t tables[(DIM + 3) * 16], codes[DIM];
        for (int q = 0; q < 20; q++) {
            const float *query = queries + q * DIM;
            td__code_scale scale = td__codec_tables(&f.codec, query, 1e30f, entries, tables);
            for (uint32_t i = f.codec.blocks * 16; i < f.codec.blocks_padded * 16; i++) {
                assert_int_equal(tables[i], 0);
            }
            for (int i = 0; i < 50; i++) {
                double product = 0.0;
                uint32_t sum = 0;
                td__codec_encode(&f.codec, f.rows + i * DIM, f.rows + i * DIM, f.scratch, codes);
                decode(&f.codec, codes, decoded);
                for (int k = 0; k < DIM; k++) product += (double)query[k] * (double)decoded[k];
                for (uint32_t b = 0; b < f.codec.blocks; b++) sum += tables[b * 16 + codes[b]];
                assert_true(sum <= scale.most);
                assert_true(fabs(sum - (double)scale.mean) < 6.0 * (double)scale.deviation);
                assert_close(sum / (double)scale.scale + (double)scale.offset, product, 1e-4,
                             0.51 * f.codec.blocks / (double)scale.scale);
            }
        }
        free(queries);
        end(&f);
    }
}

static void tables_of_odd_queries_are_sound(void **state)
{
    (void)state;
    fixture f = make(2, 4.0f, 1);
    float entries[DIM * 17], query[DIM] = {0};
    uint8_t tables[DIM * 16];
    td__code_scale scale = td__codec_tables(&f.codec, query, 1e30f, entries, tables);
    assert_true(scale.scale == 0.0f);
    assert_int_equal(scale.most, 0);
    query[0] = 1e-44f;
    scale = td__codec_tables(&f.codec, query, 1000.0f, entries, tables);
    assert_true(scale.scale <= 1000.0f);
    query[0] = 1.0f;
    scale = td__codec_tables(&f.codec, query, 1e30f, entries, tables);
    assert_true(scale.most == TD__ENTRY_MAX); /* one block has a range, and it takes all steps */
    end(&f);
}

/* Of all 16^blocks sums. */
static void mean_and_deviation_are_those_of_the_tables(void **state)
{
    (void)state;
    fixture f = make(2, 4.0f, 1);
    float entries[DIM * 17], *query = test_normal_vectors(8, 1, DIM);
    uint8_t tables[(DIM + 3) * 16];
    double mean = 0.0, variance = 0.0;
    td__code_scale scale = td__codec_tables(&f.codec, query, 1e30f, entries, tables);
    for (uint32_t b = 0; b < f.codec.blocks; b++) {
        double sum = 0.0, squares = 0.0;
        for (uint32_t v = 0; v < 16; v++) {
            sum += tables[b * 16 + v] / 16.0;
            squares += (double)tables[b * 16 + v] * tables[b * 16 + v] / 16.0;
        }
        mean += sum;
        variance += squares - sum * sum;
    }
    assert_close((double)scale.mean, mean, 1e-5, 0);
    assert_close((double)scale.deviation, sqrt(variance), 1e-5, 0);
    free(query);
    end(&f);
}

/* Widths with more blocks than a 16-bit sum of bytes has room for. */
static void many_blocks_take_smaller_entries(void **state)
{
    (void)state;
    enum { WIDE = 2200 };
    td_context *context = test_context(1);
    td_error err = {0};
    td__codec codec;
    float *rows = test_normal_vectors(3, 64, WIDE), *entries = malloc(WIDE * 17 * sizeof *entries);
    uint8_t *tables = malloc(WIDE * 16);
    assert_ok(td__codec_create(&codec, context, WIDE, 1, 1.0f, &err));
    assert_ok(td__codec_train(&codec, rows, 64, 1, &err));
    td__code_scale scale = td__codec_tables(&codec, rows, 1e30f, entries, tables);
    assert_in_range(scale.most, 1, 65535);
    for (int i = 0; i < WIDE * 16; i++) assert_true(tables[i] <= 65535 / WIDE);
    td__codec_clear(&codec);
    td_context_free(context);
    free(rows);
    free(entries);
    free(tables);
}

static void same_codewords_for_any_threads(void **state)
{
    (void)state;
    fixture one = make(2, 4.0f, 1), seven = make(2, 4.0f, 7);
    assert_memory_equal(one.codec.codewords, seven.codec.codewords,
                        (size_t)one.codec.blocks * 2 * 16 * sizeof(float));
    end(&one);
    end(&seven);
}

static void equal_and_zero_items_do_no_harm(void **state)
{
    (void)state;
    td_context *context = test_context(1);
    td_error err = {0};
    td__codec codec;
    float rows[3 * DIM] = {0}, scratch[DIM * 40];
    uint8_t codes[DIM];
    assert_ok(td__codec_create(&codec, context, DIM, 2, 4.0f, &err));
    assert_ok(td__codec_train(&codec, rows, 3, 1, &err));
    assert_true(td__codec_scratch(&codec) <= sizeof scratch / sizeof scratch[0]);
    td__codec_encode(&codec, rows, rows, scratch, codes);
    for (uint32_t b = 0; b < codec.blocks; b++) assert_int_equal(codes[b], 0);
    td__codec_clear(&codec);
    td_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_near),
        cmocka_unit_test(codes_are_the_best_within_a_block),
        cmocka_unit_test(weight_moves_the_error_away_from_the_item),
        cmocka_unit_test(tables_score_codes),
        cmocka_unit_test(tables_of_odd_queries_are_sound),
        cmocka_unit_test(mean_and_deviation_are_those_of_the_tables),
        cmocka_unit_test(many_blocks_take_smaller_entries),
        cmocka_unit_test(same_codewords_for_any_threads),
        cmocka_unit_test(equal_and_zero_items_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
