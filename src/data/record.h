/* record.h -- where a record of a text file ends and where its fields lie.
 *
 * Serves: stage 1. A pure function over bytes: it reads nothing behind `count`, writes nothing but
 * the record, and remembers nothing between calls. So it can be fed a file whole or in pieces of
 * any size and finds the same fields.
 *
 * CSV is RFC 4180 with these additions: lines may end in LF or CRLF, quoted fields may hold either,
 * the last line may lack its end, and blanks belong to the field. The other formats have no
 * quoting. */
#ifndef TD_DATA_RECORD_H
#define TD_DATA_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How fields are separated. */
typedef struct td__dialect {
    unsigned char separator;
    bool doubled; /* the separator is two of these bytes: "::" */
    bool quoted;  /* fields may stand in double quotes */
    bool blanks;  /* runs of blanks and tabs separate; those at either end of a line do not count */
} td__dialect;

/* A field: a piece of the bytes given, without its quotes. */
typedef struct td__field {
    const char *text;
    size_t bytes;
    bool doubled_quotes; /* holds "" for each quote that is meant */
} td__field;

typedef enum td__record_state {
    TD__RECORD_FOUND, /* `count` 0: an empty line */
    TD__RECORD_MORE,  /* the bytes end before the record does */
    TD__RECORD_BAD    /* `reason` says why; `bytes` skips to the next line */
} td__record_state;

typedef struct td__record {
    td__field *fields; /* [capacity] the caller's; those beyond are counted, not kept */
    uint32_t capacity;
    uint32_t count;
    size_t bytes;       /* of the record with its line end */
    uint64_t lines;     /* that end within these bytes; the last line of a file ends with it */
    const char *reason; /* of BAD: static text */
} td__record;

/* Find the first record of `bytes` [count]. `last`: nothing comes behind them. With count 0 the
 * state is MORE. */
td__record_state td__record_parse(td__record *record, td__dialect dialect, const char *bytes,
                                  size_t count, bool last);

/* Copy a field to `text` [field->bytes], each "" as one quote. Returns the bytes written. */
size_t td__field_copy(char *text, const td__field *field);

#endif
