/* container_fuzz.c -- any bytes are opened as a container, or refused, without harm.
 *
 * As a file of anyone, as a file of ours, and as one of ours with the header's checksum put right,
 * so that what lies behind that check is reached. Tensors are read to their last byte. */
#include "support/forge.h"

#include "base/container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static td_context *the_context;

static void free_context(void)
{
    td_context_free(the_context);
}

static unsigned look_at(const td__container *container)
{
    unsigned sum = 0;
    for (uint32_t i = 0; i < td__container_count(container); i++) {
        const td__tensor *tensor = td__container_at(container, i);
        const unsigned char *bytes = tensor->data;
        for (uint64_t k = 0; k < td__tensor_bytes(tensor); k++) sum += bytes[k];
    }
    return sum;
}

static void check(td_status status, td__container *container, const td_error *err)
{
    static volatile unsigned sink;
    if ((status == TD_OK) != (container != NULL)) abort();
    if (status != TD_OK && (err->status != status || err->message[0] == '\0')) abort();
    if (container == NULL) return;
    sink = look_at(container);
    (void)sink;
    td_vocab *vocab;
    td_status loaded = td__container_load_vocab(container, "v", the_context, &vocab, NULL);
    if ((loaded == TD_OK) != (vocab != NULL)) abort();
    td_vocab_free(vocab);
    td__container_close(container);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    td_error err = {0};
    td__container *container;
    void *bytes = NULL;
    if (the_context == NULL) {
        the_context = test_context(1);
        atexit(free_context);
    }
    if (posix_memalign(&bytes, 64, size + 1) != 0) return 0;
    if (size > 0) memcpy(bytes, data, size);
    td_status status = td__container_open_foreign_bytes(&container, the_context, bytes, size, &err);
    check(status, container, &err);
    status = td__container_open_bytes(&container, the_context, bytes, size, NULL, 1, &err);
    check(status, container, &err);
    forge_header_checksum(bytes, size);
    status = td__container_open_bytes(&container, the_context, bytes, size, NULL, 1, &err);
    check(status, container, &err);
    free(bytes);
    return 0;
}
