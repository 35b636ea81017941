/* kernel_select.c -- which kernels this machine can run, and the choice among them.
 *
 * Serves: stages 4, 6 and 7. In: a name, or nothing. Out: a table of functions. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "kernel/kernel.h"

#include "base/poison.h"

#if defined(__AVX__)
#error "kernel_select.c must be compiled for the base machine: it runs before anything is known"
#endif

static const td__kernels *const sets[] = {
    &td__kernels_ref,
#if defined(__x86_64__)
    &td__kernels_avx2,
    &td__kernels_avx512,
    &td__kernels_avx512vnni,
    &td__kernels_avx512bf16,
#elif defined(__aarch64__)
    &td__kernels_neon,
    &td__kernels_neondot,
    &td__kernels_neonbf16,
#endif
};

enum { SET_COUNT = sizeof sets / sizeof sets[0] };

const td__kernels *td__kernels_at(uint32_t index)
{
    return index < SET_COUNT ? sets[index] : NULL;
}

bool td_kernel_describe(uint32_t index, const char **name, bool *available)
{
    const td__kernels *set = td__kernels_at(index);
    if (set == NULL) return false;
    *name = set->name;
    *available = set->available();
    return true;
}

static void list_available(char *text, size_t capacity)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < SET_COUNT && used < capacity; i++) {
        if (!sets[i]->available()) continue;
        int more = snprintf(text + used, capacity - used, "%s%s", used > 0 ? ", " : "", sets[i]->name);
        if (more < 0) return;
        used += (size_t)more;
    }
}

td_status td__kernels_select(const td__kernels **out, const char *name, td_error *err)
{
    bool best = name == NULL || strcmp(name, "auto") == 0;
    *out = NULL;
    for (uint32_t i = SET_COUNT; i-- > 0;) {
        if (!best && strcmp(name, sets[i]->name) != 0) continue;
        if (!sets[i]->available()) continue;
        *out = sets[i];
        return TD_OK;
    }
    char known[128];
    list_available(known, sizeof known);
    return td__fail(err, TD_ERR_UNSUPPORTED, "kernel set \"%s\" cannot run here; this machine has %s",
                    name, known);
}

uint64_t td__panel_count(uint64_t count)
{
    return count / TD__PANEL + (count % TD__PANEL != 0);
}

void td__pack_panels(const float *vectors, uint64_t count, uint32_t dim, float *panels)
{
    for (uint64_t p = 0; p < td__panel_count(count); p++) {
        float *panel = panels + p * dim * TD__PANEL;
        for (uint32_t j = 0; j < TD__PANEL; j++) {
            uint64_t row = p * TD__PANEL + j;
            const float *vector = vectors + row * dim;
            for (uint32_t k = 0; k < dim; k++) {
                panel[(size_t)k * TD__PANEL + j] = row < count ? vector[k] : 0.0f;
            }
        }
    }
}
