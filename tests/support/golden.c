/* golden.c -- cases of golden files. */
#include "support/golden.h"

#include <math.h>

golden golden_open(const char *stem)
{
    td_error err = {0};
    char name[64];
    golden opened = {.context = test_context(1)};
    snprintf(name, sizeof name, "%s.safetensors", stem);
    assert_ok(td__container_open_foreign(&opened.tensors, opened.context, test_golden(name), &err));
    const char *cases = td__container_get(opened.tensors, "cases");
    opened.cases = cases == NULL ? NULL : json_loads(cases, 0, NULL);
    if (!json_is_array(opened.cases)) fail_msg("%s: no list of cases", name);
    return opened;
}

void golden_close(golden *file)
{
    json_decref(file->cases);
    td__container_close(file->tensors);
    td_context_free(file->context);
}

size_t golden_count(const golden *file)
{
    return json_array_size(file->cases);
}

golden_case golden_case_named(const golden *file, const char *name)
{
    golden_case one = {.file = file, .name = name};
    const char *options = td__container_get(file->tensors, name);
    one.options = options == NULL ? NULL : json_loads(options, 0, NULL);
    if (!json_is_object(one.options)) fail_msg("case %s: no options", name);
    return one;
}

golden_case golden_case_begin(const golden *file, size_t index)
{
    return golden_case_named(file, json_string_value(json_array_get(file->cases, index)));
}

void golden_case_end(golden_case *one)
{
    json_decref(one->options);
}

static const void *find(const golden_case *one, const char *tensor, td__dtype dtype,
                        uint64_t *count)
{
    char name[96];
    snprintf(name, sizeof name, "%s/%s", one->name, tensor);
    const td__tensor *found = td__container_find(one->file->tensors, name);
    if (count != NULL) *count = 0;
    if (found == NULL) return NULL;
    if (found->dtype != dtype) fail_msg("%s has another type", name);
    if (count != NULL) *count = found->rows * (found->cols == 0 ? 1 : found->cols);
    return found->data;
}

const float *golden_f32(const golden_case *one, const char *tensor, uint64_t *count)
{
    return find(one, tensor, TD__F32, count);
}

const int64_t *golden_i64(const golden_case *one, const char *tensor, uint64_t *count)
{
    return find(one, tensor, TD__I64, count);
}

const uint8_t *golden_u8(const golden_case *one, const char *tensor, uint64_t *count)
{
    return find(one, tensor, TD__U8, count);
}

double golden_number(const golden_case *one, const char *option, double otherwise)
{
    json_t *value = json_object_get(one->options, option);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

bool golden_true(const golden_case *one, const char *option)
{
    return json_is_true(json_object_get(one->options, option));
}

const char *golden_text(const golden_case *one, const char *option)
{
    return json_string_value(json_object_get(one->options, option));
}

double golden_error(const float *ours, const float *theirs, uint64_t count)
{
    double worst = 0, largest = 0;
    for (uint64_t i = 0; i < count; i++) {
        double gap = fabs((double)ours[i] - (double)theirs[i]);
        if (!(gap <= worst)) worst = gap; /* NaN stays */
        largest = fmax(largest, fabs((double)theirs[i]));
    }
    return largest > 0 ? worst / largest : worst;
}
