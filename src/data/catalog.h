/* catalog.h -- the columns of an item file. The rest of the interface is public.
 *
 * Serves: stages 1 and 3 (features of candidates). */
#ifndef TD_DATA_CATALOG_H
#define TD_DATA_CATALOG_H

#include "base/status.h"

/* Columns, the id column among them. Without a header line their names are "1", "2", ... */
uint32_t td__catalog_columns(const td_catalog *catalog);
const char *td__catalog_column_name(const td_catalog *catalog, uint32_t column);
uint32_t td__catalog_find_column(const td_catalog *catalog, const char *name); /* or TD_NONE */

/* Text of an item in a column: UTF-8, NUL-terminated, "" if it is empty. Borrowed. */
const char *td__catalog_cell(const td_catalog *catalog, uint32_t position, uint32_t column);

#endif
