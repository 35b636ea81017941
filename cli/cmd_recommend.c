/* cmd_recommend.c -- tandem recommend: the best candidates for users, with titles.
 *
 * In: a model and ids. Out: for each user a ranked list without what the user has seen. Users that
 * the model does not know get the most popular candidates, and are told so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "history.h"
#include "output.h"
#include "ranking.h"

typedef struct recommend_own {
    const char *user; /* read from the list of given flags */
    const char *users;
    const char *history;       /* these two are read from the list of given flags */
    const char *history_title;
    const char *history_file;
    uint32_t k;
    bool with_seen;
    const char *exclude; /* likewise */
    const char *exclude_file;
} recommend_own;

typedef struct recommend_arguments {
    cli_common common;
    recommend_own own;
} recommend_arguments;

static const td_option own_rows[] = {
    TD__OPTION_TEXT(recommend_own, user, "user", NULL, "ID",
                    "whom to recommend to (-u ID); may be given several times"),
    TD__OPTION_TEXT(recommend_own, users, "users", NULL, "FILE",
                    "file with one user id a line, - for standard input"),
    TD__OPTION_TEXT(recommend_own, history, "history", NULL, "ID,...",
                    "instead of a user: candidates that a new user took, by id"),
    TD__OPTION_TEXT(recommend_own, history_title, "history-title", NULL, "TITLE",
                    "one more of them, by title or a part of it; may be given several times"),
    TD__OPTION_TEXT(recommend_own, history_file, "history-file", NULL, "FILE",
                    "file with one more of them a line, by id; - for standard input"),
    TD__OPTION_U32(recommend_own, k, "k", "10", 1, 1000000, "N", "how many candidates (-k N)"),
    TD__OPTION_BOOL(recommend_own, with_seen, "with-seen", "false",
                    "recommend also what the user had in the training part"),
    TD__OPTION_TEXT(recommend_own, exclude, "exclude", NULL, "ID",
                    "candidate never to recommend; may be given several times"),
    TD__OPTION_TEXT(recommend_own, exclude_file, "exclude-file", NULL, "FILE",
                    "file with one such candidate id a line"),
};

static const td_option_table *own_table(void)
{
    static const td_option_table table =
        TD__OPTION_TABLE("recommend-own", recommend_own, own_rows);
    return &table;
}

static const cli_group groups[] = {
    {"Whom and what", own_table, offsetof(recommend_arguments, own)},
    {"Everywhere", cli_common_option_table, offsetof(recommend_arguments, common)},
};

/* All that one run needs. */
typedef struct recommend_session {
    const cli_call *call;
    const recommend_own *own;
    cli_engine engine;
    cli_ids users, excluded_ids;
    uint32_t *excluded; /* [excluded_ids.count] their positions */
    cli_lists exclude; /* one list a user */
    uint32_t *rows;    /* [users.count] position of each user, TD_NONE: not known */
    float *vectors;    /* [users.count, heads, dim] */
    cli_hits hits;
    cli_history history; /* if one was given; there are no users then */
} recommend_session;

static void session_clear(recommend_session *session)
{
    td_context *context = session->call->context;
    cli_hits_clear(&session->hits);
    cli_history_clear(&session->history);
    cli_lists_clear(&session->exclude);
    cli_ids_clear(&session->users);
    cli_ids_clear(&session->excluded_ids);
    td__free(context, session->excluded);
    td__free(context, session->rows);
    td__free(context, session->vectors);
    cli_engine_free(&session->engine);
}

/* Positions of the --exclude ids. An unknown one would change nothing, and is most likely a slip.
 */
static td_status find_excluded(recommend_session *session, td_error *err)
{
    td_status status = TD_OK;
    const cli_ids *ids = &session->excluded_ids;
    const td_vocab *vocab = td_model_candidates(session->engine.model);
    TD_TRY(td__alloc(&session->excluded, session->call->context, ids->count,
                     sizeof *session->excluded, err));
    for (uint32_t i = 0; i < ids->count; i++) {
        TD_TRY(cli_find(&session->excluded[i], vocab, ids->ids[i], "candidate", err));
    }
done:
    return status;
}

static td_status find_users(recommend_session *session, td_error *err)
{
    td_status status = TD_OK;
    const td_model *model = session->engine.model;
    const td_vocab *queries = td_model_queries(model);
    const cli_ids *users = &session->users;
    td_context *context = session->call->context;
    TD_TRY(td__alloc(&session->rows, context, users->count, sizeof *session->rows, err));
    for (uint32_t u = 0; u < users->count; u++) {
        uint32_t seen_count = 0;
        const uint32_t *seen = NULL;
        session->rows[u] = td_vocab_find(queries, users->ids[u], strlen(users->ids[u]));
        if (session->rows[u] != TD_NONE && !session->own->with_seen) {
            seen = td_model_seen(model, session->rows[u], &seen_count);
        }
        TD_TRY(cli_lists_add(&session->exclude, context, seen, seen_count,
                             session->excluded, session->excluded_ids.count, err));
    }
done:
    return status;
}

static td_status search(recommend_session *session, td_error *err)
{
    td_status status = TD_OK;
    const td_model_options *options = td_model_get_options(session->engine.model);
    td_context *context = session->call->context;
    uint64_t each = (uint64_t)options->dim * options->heads;
    uint32_t count = session->users.count;
    TD_TRY(td__alloc(&session->vectors, context, count * each, sizeof *session->vectors, err));
    TD_TRY(td_model_encode_queries(session->engine.model, session->users.ids, count,
                                   session->vectors, err));
    td_vectors queries = {session->vectors, count, options->dim, options->heads};
    TD_TRY(cli_search_index(&session->hits, context, session->engine.index, &queries,
                            session->own->k, &session->exclude, NULL, NULL, err));
done:
    return status;
}

static int by_count_then_position(const void *a, const void *b)
{
    const td_hit *left = a, *right = b;
    if (left->score < right->score) return 1;
    if (left->score > right->score) return -1;
    return left->position < right->position ? -1 : 1;
}

/* The most popular candidates in place of hits for users that are not known; scores are counts. */
static td_status use_popularity(recommend_session *session, td_error *err)
{
    td_status status = TD_OK;
    const td_model *model = session->engine.model;
    uint32_t items = td_vocab_count(td_model_candidates(model)), kept = 0;
    cli_hits *hits = &session->hits;
    td_hit *popular = NULL;
    bool *hidden = NULL;
    TD_TRY(td__alloc(&popular, hits->context, items, sizeof *popular, err));
    TD_TRY(td__alloc_zero(&hidden, hits->context, items, sizeof *hidden, err));
    for (uint32_t i = 0; i < session->excluded_ids.count; i++) hidden[session->excluded[i]] = true;
    for (uint32_t i = 0; i < items; i++) {
        if (hidden[i]) continue;
        popular[kept++] = (td_hit){i, (float)td_model_candidate_count(model, i)};
    }
    if (kept > 0) qsort(popular, kept, sizeof *popular, by_count_then_position);
    for (uint32_t u = 0; u < session->users.count; u++) {
        if (session->rows[u] != TD_NONE) continue;
        hits->counts[u] = kept < hits->k ? kept : hits->k;
        for (uint32_t i = 0; i < hits->counts[u]; i++) {
            hits->hits[(uint64_t)u * hits->k + i] = popular[i];
        }
    }
done:
    td__free(hits->context, popular);
    td__free(hits->context, hidden);
    return status;
}

static bool any_unknown(const recommend_session *session)
{
    for (uint32_t u = 0; u < session->users.count; u++) {
        if (session->rows[u] == TD_NONE) return true;
    }
    return false;
}

static const td_hit *hits_of(const recommend_session *session, uint32_t user)
{
    return session->hits.hits + (uint64_t)user * session->hits.k;
}

static void print(const recommend_session *session)
{
    const td_model *model = session->engine.model;
    cli_names names = {td_model_candidates(model), model};
    for (uint32_t u = 0; u < session->users.count; u++) {
        if (u > 0) putchar('\n');
        if (session->users.count > 1 || session->rows[u] == TD_NONE) {
            fputs("user ", stdout);
            cli_put(stdout, session->users.ids[u]);
            puts(session->rows[u] == TD_NONE
                     ? ": not known; the most popular candidates, scores are their counts" : "");
        }
        cli_hits_print(hits_of(session, u), session->hits.counts[u], &names);
    }
}

static json_t *json(const recommend_session *session)
{
    const td_model *model = session->engine.model;
    cli_names names = {td_model_candidates(model), model};
    json_t *users = json_array();
    for (uint32_t u = 0; u < session->users.count; u++) {
        json_t *hits = cli_hits_json(hits_of(session, u), session->hits.counts[u], &names);
        json_t *id = cli_json_text(session->users.ids[u]);
        const char *by = session->rows[u] == TD_NONE ? "popularity" : "model";
        json_array_append_new(users, json_pack("{s:o, s:b, s:s, s:o}", "user", id, "known",
                                               (int)(session->rows[u] != TD_NONE), "ranked_by", by,
                                               "items", hits));
    }
    return json_pack("{s:o}", "users", users);
}

/* --- a history instead of users */

static json_t *history_json(const recommend_session *session)
{
    const td_model *model = session->engine.model;
    const cli_history *history = &session->history;
    cli_names names = {td_model_candidates(model), model};
    json_t *ids = json_array();
    for (uint32_t i = 0; i < history->count; i++) {
        json_array_append_new(ids, cli_json_text(td_vocab_id(names.ids, history->candidates[i])));
    }
    json_t *user = json_pack("{s:n, s:b, s:s, s:o, s:i, s:o}", "user", "known", 0, "ranked_by",
                             "history", "history", ids, "unknown", (int)history->unknown, "items",
                             cli_hits_json(session->hits.hits, session->hits.counts[0], &names));
    return json_pack("{s:[o]}", "users", user);
}

static td_status search_history(recommend_session *session, td_error *err)
{
    td_status status = TD_OK;
    td_context *context = session->call->context;
    const cli_history *history = &session->history;
    const td_model_options *options = td_model_get_options(session->engine.model);
    uint64_t width = (uint64_t)options->heads * options->dim;
    uint32_t taken = session->own->with_seen ? 0 : history->count;
    TD_TRY(td__alloc(&session->vectors, context, width, sizeof *session->vectors, err));
    TD_TRY(cli_history_vector(session->vectors, history, session->engine.model, err));
    TD_TRY(cli_lists_add(&session->exclude, context, history->candidates, taken, session->excluded,
                         session->excluded_ids.count, err));
    td_vectors query = {session->vectors, 1, options->dim, options->heads};
    TD_TRY(cli_search_index(&session->hits, context, session->engine.index, &query, session->own->k,
                            &session->exclude, NULL, NULL, err));
done:
    return status;
}

static td_status recommend_to_history(recommend_session *session, td_error *err)
{
    td_status status = TD_OK;
    const td_model *model = session->engine.model;
    cli_names names = {td_model_candidates(model), model};
    TD_TRY(cli_history_read(&session->history, session->call, model, session->own->history_file,
                            err));
    TD_TRY(search_history(session, err));
    if (session->call->common->json) TD_TRY(cli_json_print(history_json(session), err));
    else cli_hits_print(session->hits.hits, session->hits.counts[0], &names);
done:
    return status;
}

static td_status recommend_to_users(recommend_session *session, td_error *err)
{
    td_status status = TD_OK;
    TD_TRY(find_users(session, err));
    TD_TRY(search(session, err));
    if (any_unknown(session)) TD_TRY(use_popularity(session, err));
    if (session->call->common->json) TD_TRY(cli_json_print(json(session), err));
    else print(session);
done:
    return status;
}

static td_status run(cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    const recommend_arguments *arguments = call->arguments;
    recommend_session session = {.call = call, .own = &arguments->own};
    TD_TRY(cli_ids_read(&session.users, call, "user", session.own->users, err));
    TD_TRY(cli_ids_read(&session.excluded_ids, call, "exclude", session.own->exclude_file, err));
    bool history = cli_history_given(call), users = session.users.count > 0;
    TD_FAIL_IF(!users && !history, err, ERR_ARGUMENT,
               "for whom? name a user with --user ID, several in a file with --users FILE, or what "
               "a new user took with --history ID,...");
    TD_FAIL_IF(users && history, err, ERR_ARGUMENT,
               "--history is that of a new user; leave it or the users out");
    TD_TRY(cli_engine_load(&session.engine, call->context, call->operands[0], false, err));
    TD_TRY(find_excluded(&session, err));
    TD_TRY(history ? recommend_to_history(&session, err) : recommend_to_users(&session, err));
done:
    session_clear(&session);
    return status;
}

const cli_verb cli_recommend = {
    .name = "recommend",
    .summary = "the best candidates for a user, with titles",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .about = "Ranks all candidates of a model for one or several users and prints the first k, "
             "without those the user had in the training part. The ranking is exact. For a user "
             "that the model does not know it prints the most popular candidates, and says so; "
             "unless --history tells what that user took, oldest first. If the query tower "
             "takes histories (--query-tower), that is all it needs. Else it solves for the "
             "vector under which these are likeliest, by the loss that the model was trained "
             "with: the squares of iALS, or the softmax over all candidates.",
    .example = "tandem recommend movies.tandem --user 7\n"
               "tandem recommend movies.tandem --user 7 --user 42 -k 3 --exclude 318\n"
               "tandem train data/ml-latest-small/ratings.csv \\\n"
               "    --items data/ml-latest-small/movies.csv --trainer ials -o ials.tandem\n"
               "tandem recommend ials.tandem --history 1,260 --history-title Casablanca",
    .output = "One object: users, a list of objects with user, known, ranked_by (model, "
              "popularity or history) and items: a list of objects with rank, id, score, title "
              "(or null); of a history also history (known ids) and unknown (how many were not).",
    CLI_GROUPS(groups),
    .arguments_size = sizeof(recommend_arguments),
    .run = run,
};
