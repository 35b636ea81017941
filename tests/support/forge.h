/* forge.h -- containers that are damaged on purpose, with checksums that are right. */
#ifndef TANDEM_TESTS_FORGE_H
#define TANDEM_TESTS_FORGE_H

#include "support/test.h"

/* Bytes aligned to 64, as mapped files are. Free with free. */
typedef struct forged {
    unsigned char *bytes;
    size_t size;
} forged;

/* A safetensors file of anyone: size, `header`, `data`. */
forged forge_foreign(const char *header, const void *data, size_t data_size);

/* A file of ours: `rest` is what follows the checksum's closing quote in the header, from the comma
 * on, in which the 16 characters from the first '%' on become the checksum of `data`. The header is
 * padded and its own checksum is right. */
forged forge_ours(const char *rest, const void *data, size_t data_size);

/* Put the right checksum into the header of a file of ours, if it is long enough to have one. */
void forge_header_checksum(unsigned char *bytes, size_t size);

#endif
