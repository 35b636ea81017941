/* container_format.h -- what the writer and the reader of containers agree on; see docs/format.md.
 *
 * Serves: container_write.c and container_read.c, nobody else. */
#ifndef TD_BASE_CONTAINER_FORMAT_H
#define TD_BASE_CONTAINER_FORMAT_H

#include "base/container.h"
#include "base/file.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "containers are little-endian and mapped as they are"
#endif

/* Keys of __metadata__. */
#define TD__KEY_HEADER    "tandem.header"
#define TD__KEY_KIND      "tandem.kind"
#define TD__KEY_VERSION   "tandem.version"
#define TD__KEY_LIBRARY   "tandem.library"
#define TD__KEY_CHECKSUMS "tandem.checksums"

/* How the header of every container starts: so its checksum is always at the same place, and can be
 * verified before anything is parsed. */
#define TD__HEADER_START "{\"__metadata__\":{\"" TD__KEY_HEADER "\":\""

#define TD__PAD_NAME "~pad."

enum {
    TD__SIZE_BYTES = 8,                          /* the header's size, in front of it */
    TD__DIGITS = 16,                             /* of a checksum in hexadecimal */
    TD__DIGITS_AT = sizeof TD__HEADER_START - 1, /* of the header's own, from its start */
};

_Static_assert(TD__SIZE_BYTES + TD__DIGITS_AT == 42, "docs/format.md says 42");

/* The checksum as text: 16 lower-case digits and a NUL. */
typedef struct td__digits {
    char text[TD__DIGITS + 1];
} td__digits;

td__digits td__checksum(const void *bytes, uint64_t size);

/* Of a header [size], taken with zeros at its own digits. size >= TD__DIGITS_AT + TD__DIGITS. */
td__digits td__header_checksum(const char *header, uint64_t size);

bool td__dtype_find(const char *name, td__dtype *dtype);

/* The next multiple of TD__ALIGNMENT. */
static inline uint64_t td__aligned(uint64_t offset)
{
    return (offset + TD__ALIGNMENT - 1) / TD__ALIGNMENT * TD__ALIGNMENT;
}

struct td__container {
    td_context *context;
    td__mapping mapping;        /* empty if the bytes are the caller's */
    const unsigned char *bytes; /* [size] */
    uint64_t size;
    uint64_t data_at; /* where the tensors start */
    struct json_t *header;
    struct json_t *metadata; /* borrowed from the header; NULL: a foreign file has none */
    const char *kind;        /* borrowed from the metadata; "" if foreign */
    uint32_t version;
    uint32_t count;      /* without padding, once opened */
    td__tensor *tensors; /* in the order of the file */
};

#endif
