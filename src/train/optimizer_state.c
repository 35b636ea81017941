/* optimizer_state.c -- the state of an optimizer into a checkpoint and back.
 *
 * Serves: stage 5. In: an optimizer or an open container. Out: the other. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/optimizer.h"
#include "train/optimizer_struct.h"

#include "base/poison.h"

uint64_t td__optimizer_steps(const td_optimizer *optimizer)
{
    return optimizer->steps;
}

float *td__optimizer_slots(td_optimizer *optimizer, uint32_t *width)
{
    *width = optimizer->width;
    return optimizer->slots;
}

typedef struct part_names {
    char slots[TD__NAME_MAX], steps[TD__NAME_MAX];
} part_names;

static part_names make_names(const char *name)
{
    part_names names;
    snprintf(names.slots, sizeof names.slots, "%.80s.slots", name);
    snprintf(names.steps, sizeof names.steps, "%.80s.steps", name);
    return names;
}

td_status td__optimizer_save(const td_optimizer *optimizer, td__container_writer *writer,
                             const char *name, td_error *err)
{
    td_status status = TD_OK;
    part_names names = make_names(name);
    uint64_t slot_rows = optimizer->width == 0 ? 0 : optimizer->rows;
    TD_TRY(td__container_add(writer, names.slots, TD__F32, slot_rows, optimizer->width,
                             optimizer->slots, err));
    TD_TRY(td__container_add(writer, names.steps, TD__U64, 1, 0, &optimizer->steps, err));
done:
    return status;
}

/* Sums and means of squares are never negative; nothing is ever without end or no number. */
static bool is_possible(const td_optimizer *optimizer, float value, uint64_t column)
{
    if (!isfinite(value)) return false;
    switch (optimizer->options.optimizer) {
    case TD_OPTIMIZER_SGD:
        return true;
    case TD_OPTIMIZER_ADAM_LAZY:
        return column < optimizer->dim || value >= 0;
    default:
        return value >= 0;
    }
}

static td_status check_slots(const td_optimizer *optimizer, const td__tensor *slots, td_error *err)
{
    const float *values = slots->data;
    for (uint64_t row = 0; row < slots->rows; row++) {
        for (uint64_t k = 0; k < optimizer->width; k++) {
            float value = values[row * optimizer->width + k];
            if (is_possible(optimizer, value, k)) continue;
            return td__fail(err, TD_ERR_CORRUPT,
                            "tensor \"%s\", row %llu, column %llu: %g cannot be", slots->name,
                            (unsigned long long)row, (unsigned long long)k, (double)value);
        }
    }
    return TD_OK;
}

td_status td__optimizer_load(td_optimizer *optimizer, const td__container *container,
                             const char *name, td_error *err)
{
    td_status status = TD_OK;
    part_names names = make_names(name);
    const td__tensor *slots, *steps;
    uint64_t slot_rows = optimizer->width == 0 ? 0 : optimizer->rows;
    TD_TRY(td__container_require(container, names.slots, TD__F32, slot_rows, optimizer->width,
                                 &slots, err));
    TD_TRY(td__container_require(container, names.steps, TD__U64, 1, 0, &steps, err));
    TD_TRY(check_slots(optimizer, slots, err));
    if (slots->rows > 0) memcpy(optimizer->slots, slots->data, td__tensor_bytes(slots));
    memcpy(&optimizer->steps, steps->data, sizeof optimizer->steps);
done:
    return status;
}
