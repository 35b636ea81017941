/* ranking.h -- search over the candidates of a model or an index, and its results. */
#ifndef TANDEM_CLI_RANKING_H
#define TANDEM_CLI_RANKING_H

#include <jansson.h>

#include "verb.h"

/* A model with its candidates ready to be searched. */
typedef struct cli_engine {
    td_model *model;
    td_index *index;
} cli_engine;

/* Load a model and index its candidates, exactly; `cosine` divides them by their length first. Undo
 * with cli_engine_free, also after a failure. */
TD_MUST_CHECK td_status cli_engine_load(cli_engine *engine, td_context *context, const char *path,
                                        bool cosine, td_error *err);
/* The same with an index of any kind. */
TD_MUST_CHECK td_status cli_engine_load_with(cli_engine *engine, td_context *context,
                                             const char *path, bool cosine,
                                             const td_index_options *options,
                                             const td_progress_hook *hook, td_error *err);
void cli_engine_free(cli_engine *engine);

/* Divide each of `rows` vectors by its length; vectors of zeros stay. */
void cli_normalize(float *vectors, uint64_t rows, uint32_t dim);

/* Lists of positions, one a query; grows at its end. */
typedef struct cli_lists {
    td_context *context;
    uint32_t queries;
    uint64_t *offsets; /* [queries + 1] */
    uint32_t *values;
} cli_lists;

/* Add a list of two parts (either may be empty). Undo all with cli_lists_clear. */
TD_MUST_CHECK td_status cli_lists_add(cli_lists *lists, td_context *context, const uint32_t *first,
                                      uint32_t first_count, const uint32_t *second,
                                      uint32_t second_count, td_error *err);
void cli_lists_clear(cli_lists *lists);

/* Results of several queries. */
typedef struct cli_hits {
    td_context *context;
    uint32_t queries, k;
    td_hit *hits;     /* [queries, k] */
    uint32_t *counts; /* [queries] */
} cli_hits;

/* Search; `exclude`, `allow` (bitmap) and `effort` may be NULL. k beyond the index is cut to it. */
TD_MUST_CHECK td_status cli_search_index(cli_hits *hits, td_context *context, const td_index *index,
                                         const td_vectors *queries, uint32_t k,
                                         const cli_lists *exclude, const uint64_t *allow,
                                         const td_search_effort *effort, td_error *err);
void cli_hits_clear(cli_hits *hits);

/* How hits are shown: the id of a position, and its title, from what is there. */
typedef struct cli_names {
    const td_vocab *ids;   /* NULL: positions */
    const td_model *model; /* for titles, or NULL */
} cli_names;

/* Rank, score, id, title in columns. */
void cli_hits_print(const td_hit *hits, uint32_t count, const cli_names *names);
/* [{"rank", "id", "score", "title"}] */
json_t *cli_hits_json(const td_hit *hits, uint32_t count, const cli_names *names);

#endif
