/* model.h -- inside of a model.
 *
 * Serves: stages 3, 5 and 6. model_build.c makes one from a dataset, model_file.c from a file; model.c
 * answers questions; model_encode.c makes vectors; model_history.c gives queries their histories;
 * model_check.c states what holds between the parts. */
#ifndef TD_MODEL_MODEL_H
#define TD_MODEL_MODEL_H

#include "base/limits.h"
#include "model/tower.h"

struct td_model {
    td_context *context;
    td_model_options options;
    td_vocab *queries;    /* owned; position = row of the query tower's table, if it has one a query */
    td_vocab *candidates; /* owned; position = row of the candidate tower's table */
    td__tower query_tower, candidate_tower;
    uint64_t *counts;       /* [candidates] training rows of each */
    uint64_t *seen_offsets; /* [queries + 1] */
    uint32_t *seen;         /* [seen_offsets[queries]] ascending within a query */
    uint64_t *history_offsets; /* [queries + 1] or NULL: no history in the query tower */
    uint32_t *history;         /* [history_offsets[queries]] oldest first, each once in a query */
    uint64_t *title_offsets; /* [candidates + 1]; NULL: no titles at all */
    char *title_bytes;       /* [title_offsets[candidates]] each with its NUL; empty: no title */
    char *training;          /* JSON, see td_model_training; NULL: not trained */
};

/* An empty model of these options, to be filled. The options are checked. */
TD_MUST_CHECK td_status td__model_create_empty(td_model **out, td_context *context,
                                               const td_model_options *options, td_error *err);

/* Towers of the right size for the model's vocabularies; random weights, or as they come, to be
 * loaded. */
TD_MUST_CHECK td_status td__model_create_towers(td_model *model, bool random_weights,
                                                td_error *err);

enum { TD__PARAMETER_NAME_MAX = 48 }; /* leaves room in TD__NAME_MAX for a checkpoint's groups */

/* All weights, query tower first; NULL past the end. `name` [TD__PARAMETER_NAME_MAX] receives the name
 * of the tensor in files, "query_tower/embedding"; may be NULL. */
td__parameter *td__model_parameter(const td_model *model, uint32_t index, char *name);
uint32_t td__model_parameters(const td_model *model); /* how many */

/* What training and encoding call a query: its position, or behind them a number by the hash of an
 * unknown id. It says which queries are one and the same; td__model_query_row is its row of the id table:
 * the same number, or without vectors of their own the one row there is. */
uint32_t td__model_query_number(const td_model *model, const char *id);
uint32_t td__model_query_numbers(const td_model *model); /* how many there are */
uint32_t td__model_query_row(const td_model *model, uint32_t number);

/* The number of each id of `vocab`. `numbers` [td_vocab_count(vocab)] is filled. */
void td__model_number_queries(const td_model *model, const td_vocab *vocab, uint32_t *numbers);

/* Does the query tower add histories? Then, the candidates of a query's, oldest first. */
bool td__model_has_history(const td_model *model);
const uint32_t *td__model_history(const td_model *model, uint32_t number, uint32_t *count);

/* --- model_history.c: the histories of a new model, nothing without them in the query tower */

/* From the dataset's positions to the model's, TD_NONE for what it does not know. */
typedef struct td__history_source {
    const td_dataset *dataset;
    const uint32_t *query, *candidate;
    const td_model *old; /* what it had before comes first; or NULL */
} td__history_source;

TD_MUST_CHECK td_status td__model_build_history(td_model *model, const td__history_source *source,
                                                td_error *err);

/* Row of each id of `vocab` in the table of the candidate tower, unknown ones by their hash. `rows`
 * [td_vocab_count(vocab)] is filled. */
void td__model_candidate_rows(const td_model *model, const td_vocab *vocab, uint32_t *rows);

/* Note how the model is being trained. The options' texts (names of files) should be NULL. */
TD_MUST_CHECK td_status td__model_set_training(td_model *model, const char *trainer,
                                               const td_option_table *table, const void *options,
                                               td_error *err);
/* The same from a file: CORRUPT if it cannot be. */
TD_MUST_CHECK td_status td__model_load_training(td_model *model, const char *text, td_error *err);
/* The options that the model was trained with by this trainer, else the defaults. */
TD_MUST_CHECK td_status td__model_get_training(const td_model *model, const char *trainer,
                                               const td_option_table *table, void *options,
                                               td_error *err);

/* NUMERIC, with the place, if a weight is not finite. */
TD_MUST_CHECK td_status td__model_check_finite(const td_model *model, td_error *err);

#endif
