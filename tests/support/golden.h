/* golden.h -- cases of a golden file: what the real TFRS or Keras got, with what it was given.
 *
 * tests/golden/README.md has the naming. Pointers are borrowed from the file until golden_close. */
#ifndef TANDEM_TESTS_GOLDEN_H
#define TANDEM_TESTS_GOLDEN_H

#include <jansson.h>

#include "support/test.h"

#include "base/container.h"

typedef struct golden {
    td_context *context;
    td__container *tensors;
    json_t *cases; /* array of names */
} golden;

/* One case. */
typedef struct golden_case {
    const golden *file;
    const char *name;
    json_t *options; /* owned: golden_case_end */
} golden_case;

/* "retrieval" opens tests/golden/retrieval.safetensors. A missing file fails the test. */
golden golden_open(const char *stem);
void golden_close(golden *file);
size_t golden_count(const golden *file);

golden_case golden_case_begin(const golden *file, size_t index);
golden_case golden_case_named(const golden *file, const char *name);
void golden_case_end(golden_case *one);

/* The tensor, or NULL if the case has none of that name; it must have the type. `count` (may be
 * NULL) is its number of elements. */
const float *golden_f32(const golden_case *one, const char *tensor, uint64_t *count);
const int64_t *golden_i64(const golden_case *one, const char *tensor, uint64_t *count);
const uint8_t *golden_u8(const golden_case *one, const char *tensor, uint64_t *count);

/* An option, or `otherwise` if it is not set. */
double golden_number(const golden_case *one, const char *option, double otherwise);
bool golden_true(const golden_case *one, const char *option);
const char *golden_text(const golden_case *one, const char *option); /* or NULL */

/* Error of an array against the real thing's, as a share of the largest value; both in float32. */
double golden_error(const float *ours, const float *theirs, uint64_t count);

#endif
