/* model_file_test.c -- models as files: the same back, and nothing damaged gets in. */
#include <math.h>

#include "base/container.h"
#include "model/model.h"
#include "support/fault.h"
#include "support/tiny_data.h"

static const tiny_shape shape = {.queries = 5, .candidates = 6, .groups = 2, .rows = 25, .seed = 1};

typedef struct fixture {
    td_context *context;
    td_dataset *dataset;
    td_model *model;
} fixture;

static void set_up(fixture *f, bool wide, bool titles)
{
    td_error err;
    f->context = test_context(1);
    f->dataset = tiny_dataset(f->context, &shape);
    td_model_options options;
    td_model_options_init(&options);
    options.dim = 3;
    options.heads = wide ? 2 : 1;
    options.similarity = wide ? TD_SIMILARITY_COSINE : TD_SIMILARITY_DOT;
    td_catalog *catalog = NULL;
    if (titles) {
        const char *path = test_text_file("items.csv", "itemId,title\nc0,Zero\nc1,One\nc5,F\xc3\xbcnf\n");
        assert_ok(td_catalog_read(&catalog, f->context, path, NULL, NULL, &err));
    }
    assert_ok(td_model_create(&f->model, f->context, f->dataset, catalog, &options, &err));
    td_catalog_free(catalog);
}

static void tear_down(fixture *f)
{
    td_model_free(f->model);
    td_dataset_free(f->dataset);
    td_context_free(f->context);
}

/* --- the same back */

static void check_equal(const td_model *a, const td_model *b)
{
    td_error err;
    uint32_t candidates = td_vocab_count(a->candidates), count_a, count_b;
    assert_int_equal(candidates, td_vocab_count(b->candidates));
    assert_int_equal(td_vocab_count(a->queries), td_vocab_count(b->queries));
    for (uint32_t i = 0; i < candidates; i++) {
        const char *title = td_model_title(a, i);
        assert_string_equal(td_vocab_id(a->candidates, i), td_vocab_id(b->candidates, i));
        assert_int_equal(td_model_candidate_count(a, i), td_model_candidate_count(b, i));
        if (title == NULL) assert_null(td_model_title(b, i));
        else assert_string_equal(title, td_model_title(b, i));
    }
    for (uint32_t i = 0; i < td_vocab_count(a->queries); i++) {
        const uint32_t *seen_a = td_model_seen(a, i, &count_a), *seen_b = td_model_seen(b, i, &count_b);
        assert_int_equal(count_a, count_b);
        assert_memory_equal(seen_a, seen_b, count_a * sizeof *seen_a);
    }
    float vectors_a[64], vectors_b[64];
    const char *ids[] = {"q0", "q3", "stranger"};
    size_t width = a->options.heads * a->options.dim;
    assert_ok(td_model_encode_queries(a, ids, 3, vectors_a, &err));
    assert_ok(td_model_encode_queries(b, ids, 3, vectors_b, &err));
    assert_memory_equal(vectors_a, vectors_b, 3 * width * sizeof(float));
    assert_ok(td_model_encode_candidates(a, vectors_a, &err));
    assert_ok(td_model_encode_candidates(b, vectors_b, &err));
    assert_memory_equal(vectors_a, vectors_b, candidates * 3 * sizeof(float));
}

static void a_loaded_model_is_the_saved_one_to_the_byte(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        td_error err;
        fixture f;
        set_up(&f, variant % 2 == 1, variant / 2 == 1);
        const char *first = test_path("first.tandem"), *second = test_path("second.tandem");
        td_model *loaded;
        assert_ok(td_model_save(f.model, first, &err));
        assert_ok(td_model_load(&loaded, f.context, first, &err));
        check_equal(f.model, loaded);
        assert_ok(td_model_save(loaded, second, &err));
        size_t first_size, second_size;
        unsigned char *a = test_read(first, &first_size), *b = test_read(second, &second_size);
        assert_int_equal(first_size, second_size);
        assert_memory_equal(a, b, first_size);
        free(a);
        free(b);
        td_model_free(loaded);
        tear_down(&f);
    }
}

static void any_safetensors_reader_finds_the_tables(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    set_up(&f, true, false);
    const char *path = test_path("foreign.tandem");
    td__container *file;
    assert_ok(td_model_save(f.model, path, &err));
    assert_ok(td__container_open_foreign(&file, f.context, path, &err));
    const td__tensor *table = td__container_find(file, "query_tower/embedding");
    assert_non_null(table);
    assert_int_equal(table->dtype, TD__F32);
    assert_int_equal(table->cols, 6);
    const td__parameter *own = td__model_parameter(f.model, 0, NULL);
    assert_int_equal(table->rows, own->rows);
    assert_memory_equal(table->data, own->weights, own->rows * 6 * sizeof(float));
    assert_non_null(td__container_find(file, "candidate_tower/embedding"));
    td__container_close(file);
    tear_down(&f);
}

/* --- nothing damaged gets in */

static void every_flipped_byte_is_found(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    set_up(&f, false, true);
    const char *path = test_path("whole.tandem");
    assert_ok(td_model_save(f.model, path, &err));
    size_t size;
    unsigned char *bytes = test_read(path, &size);
    for (size_t i = 0; i < size; i++) {
        td_model *loaded;
        bytes[i] ^= (unsigned char)(1u << i % 8);
        const char *damaged = test_file("damaged.tandem", bytes, size);
        td_status status = td_model_load(&loaded, f.context, damaged, &err);
        if (status == TD_OK) fail_msg("byte %zu flipped, and nobody saw it", i);
        assert_true(status == TD_ERR_CORRUPT || status == TD_ERR_VERSION);
        assert_null(loaded);
        bytes[i] ^= (unsigned char)(1u << i % 8);
    }
    free(bytes);
    tear_down(&f);
}

static void a_file_cut_anywhere_is_found(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    set_up(&f, false, true);
    const char *path = test_path("whole.tandem");
    assert_ok(td_model_save(f.model, path, &err));
    size_t size;
    unsigned char *bytes = test_read(path, &size);
    for (size_t cut = 0; cut < size; cut += 7) {
        td_model *loaded;
        const char *damaged = test_file("cut.tandem", bytes, cut);
        assert_true(td_model_load(&loaded, f.context, damaged, &err) != TD_OK);
        assert_null(loaded);
    }
    free(bytes);
    tear_down(&f);
}

/* Save a model that breaks a rule, in a file whose checksums are right; undo nothing. */
static void check_refused(fixture *f, td_status expected, const char *part)
{
    td_error err;
    td_model *loaded;
    const char *path = test_path("broken.tandem");
    assert_fails(td_model_check(f->model, &err), expected, part);
    assert_ok(td_model_save(f->model, path, &err));
    assert_fails(td_model_load(&loaded, f->context, path, &err), expected, part);
    assert_non_null(strstr(err.message, "broken.tandem"));
    assert_null(loaded);
    tear_down(f);
    set_up(f, false, true);
}

static void every_broken_rule_is_named(void **state)
{
    (void)state;
    fixture f;
    set_up(&f, false, true);
    f.model->seen[0] = 1000;
    check_refused(&f, TD_ERR_CORRUPT, "has seen candidate 1000");
    f.model->seen[1] = f.model->seen[0];
    check_refused(&f, TD_ERR_CORRUPT, "do not ascend");
    f.model->seen_offsets[0] = 1;
    check_refused(&f, TD_ERR_CORRUPT, "do not start at 0");
    f.model->seen_offsets[1] = UINT64_C(1) << 60;
    check_refused(&f, TD_ERR_CORRUPT, "ends before it starts");
    f.model->counts[f.model->seen[0]] = 0;
    check_refused(&f, TD_ERR_CORRUPT, "no training rows");
    f.model->title_offsets[0] = 2;
    check_refused(&f, TD_ERR_CORRUPT, "titles do not start");
    f.model->title_offsets[1] = 0;
    check_refused(&f, TD_ERR_CORRUPT, "of the titles");
    f.model->title_bytes[f.model->title_offsets[1] - 1] = 'x';
    check_refused(&f, TD_ERR_CORRUPT, "has no end");
    td__model_parameter(f.model, 1, NULL)->weights[7] = NAN;
    check_refused(&f, TD_ERR_NUMERIC, "candidate_tower/embedding: weight 1 of row 2");
    tear_down(&f);
}

static void parts_that_do_not_fit_together_are_refused(void **state)
{
    (void)state;
    td_error err;
    fixture f;
    td_model *loaded;
    const char *path = test_path("misfit.tandem");
    set_up(&f, false, true);
    f.model->options.dim = 4; /* the table has 3 */
    assert_fails(td_model_check(f.model, &err), TD_ERR_CORRUPT, "table of the query tower");
    assert_ok(td_model_save(f.model, path, &err));
    assert_fails(td_model_load(&loaded, f.context, path, &err), TD_ERR_CORRUPT, "query_tower/embedding");
    f.model->options.dim = 3;
    f.model->query_tower.known++;
    assert_fails(td_model_check(f.model, &err), TD_ERR_CORRUPT, "rows for 5 ids");
    tear_down(&f);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    td_error err;
    td_context *context = test_context(1);
    td_model *model;
    assert_fails(td_model_load(&model, context, test_path("nowhere"), &err), TD_ERR_NOT_FOUND, "nowhere");
    const char *path = test_path("other.tandem");
    td__container_writer *writer;
    assert_ok(td__container_writer_create(&writer, context, "index", 1, &err));
    assert_ok(td__container_commit(writer, path, &err));
    td__container_writer_free(writer);
    assert_fails(td_model_load(&model, context, path, &err), TD_ERR_VERSION, "index");
    assert_null(model);
    td_context_free(context);
}

static td_status save_and_load(void *state, td_context *context, td_error *err)
{
    (void)state;
    td_dataset *dataset = NULL;
    td_model *model = NULL, *loaded = NULL;
    const char *path = test_path("memory.tandem");
    td_status status = tiny_dataset_build(&dataset, context, &shape, err);
    if (status == TD_OK) status = td_model_create(&model, context, dataset, NULL, NULL, err);
    if (status == TD_OK) status = td_model_save(model, path, err);
    if (status == TD_OK) status = td_model_load(&loaded, context, path, err);
    td_model_free(model);
    td_model_free(loaded);
    td_dataset_free(dataset);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    test_every_allocation(save_and_load, NULL);
}

static td_status only_save(void *state, td_context *context, td_error *err)
{
    td_dataset *dataset = tiny_dataset(context, &shape);
    td_model *model = NULL;
    td_status status = td_model_create(&model, context, dataset, NULL, NULL, err);
    if (status == TD_OK) status = td_model_save(model, state, err);
    td_model_free(model);
    td_dataset_free(dataset);
    return status;
}

static void survives_every_failed_write(void **state)
{
    (void)state;
    char *path = (char *)(uintptr_t)test_path("written.tandem");
    test_every_write(only_save, path, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loaded_model_is_the_saved_one_to_the_byte),
        cmocka_unit_test(any_safetensors_reader_finds_the_tables),
        cmocka_unit_test(every_flipped_byte_is_found),
        cmocka_unit_test(a_file_cut_anywhere_is_found),
        cmocka_unit_test(every_broken_rule_is_named),
        cmocka_unit_test(parts_that_do_not_fit_together_are_refused),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(survives_every_failed_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
