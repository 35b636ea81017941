/* cmd_similar.c -- tandem similar: candidates that are close to a candidate.
 *
 * In: a model and an id or a title. Out: the nearest by cosine. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "ids.h"
#include "output.h"
#include "ranking.h"

typedef struct similar_own {
    const char *item;
    const char *title;
    uint32_t k;
} similar_own;

typedef struct similar_arguments {
    cli_common common;
    similar_own own;
} similar_arguments;

static const td_option own_rows[] = {
    TD__OPTION_TEXT(similar_own, item, "item", NULL, "ID", "the candidate to compare with"),
    TD__OPTION_TEXT(similar_own, title, "title", NULL, "TEXT",
                    "the same by its title, or by a part that only one title has"),
    TD__OPTION_U32(similar_own, k, "k", "10", 1, 1000000, "N", "how many candidates (-k N)"),
};

static const td_option_table *own_table(void)
{
    static const td_option_table table = TD__OPTION_TABLE("similar-own", similar_own, own_rows);
    return &table;
}

static const cli_group groups[] = {
    {"Similar to what", own_table, offsetof(similar_arguments, own)},
    {"Everywhere", cli_common_option_table, offsetof(similar_arguments, common)},
};

static td_status search(cli_hits *hits, const cli_call *call, const cli_engine *engine,
                        uint32_t position, uint32_t k, td_error *err)
{
    td_status status = TD_OK;
    float *vector = NULL;
    cli_lists self = {0};
    uint32_t dim = td_index_dim(engine->index);
    TD_TRY(td__alloc(&vector, call->context, dim, sizeof *vector, err));
    td_index_vector(engine->index, position, vector);
    TD_TRY(cli_lists_add(&self, call->context, &position, 1, NULL, 0, err));
    td_vectors query = {.data = vector, .rows = 1, .dim = dim};
    TD_TRY(cli_search_index(hits, call->context, engine->index, &query, k, &self, NULL, NULL, err));
done:
    cli_lists_clear(&self);
    td__free(call->context, vector);
    return status;
}

static td_status show(const cli_call *call, const cli_engine *engine, uint32_t position,
                      const cli_hits *hits, td_error *err)
{
    const td_vocab *ids = td_model_candidates(engine->model);
    cli_names names = {ids, engine->model};
    const char *id = td_vocab_id(ids, position), *title = td_model_title(engine->model, position);
    if (call->common->json) {
        json_t *items = cli_hits_json(hits->hits, hits->counts[0], &names);
        return cli_json_print(json_pack("{s:o, s:o, s:o}", "id", cli_json_text(id), "title",
                                        cli_json_text(title), "items", items), err);
    }
    fputs("similar to ", stdout);
    cli_put(stdout, id);
    if (title != NULL) fputs("  ", stdout);
    cli_put(stdout, title != NULL ? title : "");
    putchar('\n');
    cli_hits_print(hits->hits, hits->counts[0], &names);
    return TD_OK;
}

static td_status run(cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    const similar_own *own = &((const similar_arguments *)call->arguments)->own;
    cli_engine engine = {0};
    cli_hits hits = {0};
    uint32_t position;
    TD_FAIL_IF((own->item == NULL) == (own->title == NULL), err, ERR_ARGUMENT,
               "similar to what? name one candidate with --item ID or --title TEXT");
    TD_TRY(cli_engine_load(&engine, call->context, call->operands[0], true, err));
    if (own->title != NULL) TD_TRY(cli_find_title(&position, engine.model, own->title, err));
    else
        TD_TRY(cli_find(&position, td_model_candidates(engine.model), own->item, "candidate", err));
    TD_TRY(search(&hits, call, &engine, position, own->k, err));
    TD_TRY(show(call, &engine, position, &hits, err));
done:
    cli_hits_clear(&hits);
    cli_engine_free(&engine);
    return status;
}

const cli_verb cli_similar = {
    .name = "similar",
    .summary = "candidates that are close to a candidate",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .about = "Prints the candidates whose vectors point in nearly the same direction as that of "
             "one candidate; scores are cosines, 1 at most.",
    .example = "tandem similar movies.tandem --title \"Toy Story (1995)\" -k 5",
    .output = "One object: id, title (or null) and items, a list of objects with rank, id, score, "
              "title.",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(similar_arguments),
    .run = run,
};
