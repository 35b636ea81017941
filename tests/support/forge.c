/* forge.c -- containers that are damaged on purpose, with checksums that are right. */
#include "support/forge.h"

#include "base/container_format.h"

static forged forge(const char *header, size_t header_size, const void *data, size_t data_size)
{
    forged file = {.size = TD__SIZE_BYTES + header_size + data_size};
    void *bytes = NULL;
    if (posix_memalign(&bytes, TD__ALIGNMENT, file.size) != 0) fail_msg("out of memory");
    file.bytes = bytes;
    uint64_t size = header_size;
    memcpy(file.bytes, &size, sizeof size);
    memcpy(file.bytes + TD__SIZE_BYTES, header, header_size);
    if (data_size > 0) memcpy(file.bytes + TD__SIZE_BYTES + header_size, data, data_size);
    return file;
}

forged forge_foreign(const char *header, const void *data, size_t data_size)
{
    return forge(header, strlen(header), data, data_size);
}

void forge_header_checksum(unsigned char *bytes, size_t size)
{
    uint64_t header_size;
    if (size < TD__SIZE_BYTES + TD__DIGITS_AT + TD__DIGITS) return;
    memcpy(&header_size, bytes, sizeof header_size);
    if (header_size > size - TD__SIZE_BYTES || header_size < TD__DIGITS_AT + TD__DIGITS) return;
    char *header = (char *)bytes + TD__SIZE_BYTES;
    td__digits digits = td__header_checksum(header, header_size);
    memcpy(header + TD__DIGITS_AT, digits.text, TD__DIGITS);
}

forged forge_ours(const char *rest, const void *data, size_t data_size)
{
    char header[4096];
    int length = snprintf(header, sizeof header, "%s0000000000000000\"%s", TD__HEADER_START, rest);
    assert_true(length > 0 && (size_t)length < sizeof header - TD__ALIGNMENT);
    size_t size = (size_t)td__aligned(TD__SIZE_BYTES + (uint64_t)length) - TD__SIZE_BYTES;
    memset(header + length, ' ', size - (size_t)length);
    char *mark = memchr(header, '%', size);
    if (mark != NULL) {
        td__digits digits = td__checksum(data, data_size);
        memcpy(mark, digits.text, TD__DIGITS);
    }
    forged file = forge(header, size, data, data_size);
    forge_header_checksum(file.bytes, file.size);
    return file;
}
