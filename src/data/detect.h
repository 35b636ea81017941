/* detect.h -- what a text file is: its format, its header line, which column is which.
 *
 * Serves: stage 1. Pure functions over the first bytes of a file, with rules a person can foresee:
 *
 *   format   of tab, "::", comma and bar the one that cuts most of the first lines into as many
 * fields as the first one, two at least; the one with more fields if two do. Else blanks: up to
 *            four fields a line are SPACE, more or a varying number are LISTS. Else one column:
 * CSV. header   the first line is one if none of its fields is a number, and one of them is a usual
 * name or stands above numbers only. LISTS have none. */
#ifndef TD_DATA_DETECT_H
#define TD_DATA_DETECT_H

#include "data/record.h"
#include "tandem/tandem.h"

/* The dialect of a format other than AUTO. */
td__dialect td__dialect_of(td_text_format format);

/* `bytes` [count] are the first of a file, all of them if `last`. */
td_text_format td__detect_format(const char *bytes, size_t count, bool last);
bool td__detect_header(td__dialect dialect, const char *bytes, size_t count, bool last);

typedef enum td__column_use {
    TD__COLUMN_QUERY,
    TD__COLUMN_CANDIDATE,
    TD__COLUMN_RATING,
    TD__COLUMN_TIMESTAMP,
    TD__COLUMN_ITEM, /* the id column of an item file */
    TD__COLUMN_TITLE
} td__column_use;

/* How usual this name is for such a column: 1 the most, 0 not at all. Case, and all but letters and
 * digits, do not count; nor does what follows a colon ("user_id:token", as RecBole has it). */
uint32_t td__column_rank(td__column_use use, const char *name, size_t bytes);

#endif
