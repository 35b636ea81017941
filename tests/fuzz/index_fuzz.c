/* index_fuzz.c -- any bytes are loaded as an index, or refused, without harm; what is loaded can be
 * searched, updated and merged.
 *
 * The bytes are tensors and metadata of a container whose checksums are put right, so that what the
 * loaders of indexes believe is reached: first a byte for the kind, then the tensors' contents. */
#include "support/test.h"

#include "index/update.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ITEMS = 40, DIM = 4, K = 5 };

static td_context *the_context;

static void free_context(void)
{
    td_context_free(the_context);
}

/* An index of some deleted items; its marks, rows and slots are what the bytes make of them. */
static td_index *make_index(td_index_kind kind)
{
    float rows[ITEMS * DIM];
    for (int i = 0; i < ITEMS * DIM; i++) rows[i] = (float)((i * 37) % 19) - 9.0f;
    td_vectors items = {.data = rows, .rows = ITEMS, .dim = DIM};
    td_index_options options;
    td_index_options_init(&options);
    options.kind = kind;
    options.num_leaves = 3;
    const char *const gone[] = {"3", "17"};
    td_index *index;
    if (td_index_build_with(&index, the_context, &items, NULL, &options, NULL, NULL) != TD_OK) abort();
    if (td_index_delete(index, gone, 2, NULL) != TD_OK || td_index_merge(index, NULL) != TD_OK) abort();
    return index;
}

/* XOR the bytes over the parts that a file has. */
static void spoil(td_index *base, const uint8_t *data, size_t size)
{
    unsigned char *live = (unsigned char *)base->live, *drift = (unsigned char *)&base->drift;
    for (size_t i = 0; i + 2 < size; i += 3) {
        uint32_t at = data[i + 1];
        switch (data[i] % 4) {
        case 0: live[at % sizeof(uint64_t)] ^= data[i + 2]; break;
        case 1: drift[at % sizeof base->drift] ^= data[i + 2]; break;
        case 2: base->dead += data[i + 2] % 2; break;
        default:
            if (base->rows != NULL) ((unsigned char *)base->rows)[at] ^= data[i + 2];
            else ((unsigned char *)base->panels)[at] ^= data[i + 2];
        }
    }
}

static void use(td_index *index)
{
    float vector[DIM] = {1, 2, 3, 4};
    td_vectors one = {.data = vector, .rows = 1, .dim = DIM};
    td_search search = {.k = K};
    td_hit hits[K];
    uint32_t count;
    const char *id = "3";
    td_searcher *searcher;
    if (td_searcher_create(&searcher, index, NULL) != TD_OK) abort();
    for (int round = 0; round < 2; round++) {
        if (td_searcher_search(searcher, &one, &search, hits, &count, NULL) != TD_OK) abort();
        for (uint32_t i = 0; i < count; i++) {
            if (hits[i].position >= td_index_count(index)) abort();
        }
        if (td_index_upsert(index, &one, &id, NULL, NULL) != TD_OK) abort();
        if (td_index_merge(index, NULL) != TD_OK) abort();
    }
    td_searcher_free(searcher);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    td_error err = {0};
    td_index *index, *loaded;
    if (size == 0) return 0;
    if (the_context == NULL) {
        the_context = test_context(1);
        atexit(free_context);
    }
    index = make_index(data[0] % 2 == 0 ? TD_INDEX_EXACT : TD_INDEX_TREE);
    td_index *base = td__state_now(index)->base;
    spoil(base, data + 1, size - 1);
    const char *path = test_path("fuzz.tandem");
    td_status status = td_index_save(index, path, &err);
    if (status == TD_OK) {
        status = td_index_load(&loaded, the_context, path, &err);
        if ((status == TD_OK) != (loaded != NULL)) abort();
        if (loaded != NULL && td_index_check(loaded, &err) == TD_OK) use(loaded);
        td_index_free(loaded);
    }
    td_index_free(index);
    return 0;
}
