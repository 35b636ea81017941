/* tour.c -- the whole path on one page: file, dataset, model, loss, optimizer, evaluation, index.
 *
 * Run from the top of the source tree:  build/examples/example_tour
 * Trains on the bundled MovieLens ratings and recommends films to one user. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tandem/tandem.h>

enum { TOP = 10 };

/* A program may give up where a library may not. */
static void must(td_status status, const td_error *err)
{
    if (status == TD_OK) return;
    fprintf(stderr, "tour: %s\n", err->message);
    exit(td_status_exit_code(status));
}

/* 1 file, 2 dataset: ratings of 3.5 and more are the interactions; each user's newest tenth is held
 * out. */
static void read_and_split(td_context *context, td_dataset **train, td_dataset **test)
{
    td_error err;
    td_read_options read;
    td_read_options_init(&read);
    read.rating_column = "rating";
    read.rating_min = 3.5f;
    read.timestamp_column = "timestamp";
    td_split_options split;
    td_split_options_init(&split);
    split.kind = TD_SPLIT_TIME_QUERY;
    split.fraction = 0.1;
    const char *path = "data/ml-latest-small/ratings.csv";
    td_dataset *all;
    must(td_dataset_read(&all, context, &path, 1, &read, NULL, NULL, &err), &err);
    must(td_dataset_split(train, test, all, &split, &err), &err);
    td_dataset_free(all);
    printf("dataset     %llu rows to train on, %llu held out\n",
           (unsigned long long)td_dataset_rows(*train).count,
           (unsigned long long)td_dataset_rows(*test).count);
}

/* 3 model, 4 loss, 5 optimizer: the defaults. */
static td_model *train_model(td_context *context, const td_dataset *train)
{
    td_error err;
    td_catalog *catalog;
    td_model *model;
    td_train_report report;
    const char *movies = "data/ml-latest-small/movies.csv";
    must(td_catalog_read(&catalog, context, movies, NULL, NULL, &err), &err);
    must(td_model_create(&model, context, train, catalog, NULL, &err), &err);
    must(td_model_train(model, train, NULL, NULL, NULL, &report, &err), &err);
    printf("train       %u epochs, loss %.3f -> %.3f\n", report.epochs, report.first_loss,
           report.last_loss);
    td_catalog_free(catalog);
    return model;
}

/* 6 evaluation, beside the list of the most popular. */
static void evaluate(td_context *context, const td_model *model, const td_dataset *train,
                     const td_dataset *test)
{
    td_error err;
    td_metrics ours, popularity;
    must(td_evaluate_model(&ours, model, train, test, NULL, NULL, &err), &err);
    must(td_evaluate_popularity(&popularity, context, train, test, NULL, NULL, &err), &err);
    for (uint32_t i = 0; i < ours.count; i++) {
        printf("evaluate    recall@%-3u %.4f  popularity %.4f\n", ours.at[i].k, ours.at[i].recall,
               popularity.at[i].recall);
    }
}

/* 7 index: all candidates, ready to be searched. */
static td_index *index_candidates(td_context *context, const td_model *model)
{
    td_error err;
    td_index *index;
    uint32_t dim = td_model_get_options(model)->dim;
    uint32_t count = td_vocab_count(td_model_candidates(model));
    float *items = malloc((size_t)count * dim * sizeof *items);
    if (items == NULL) exit(1);
    must(td_model_encode_candidates(model, items, &err), &err);
    td_vectors vectors = {.data = items, .rows = count, .dim = dim};
    must(td_index_build(&index, context, &vectors, td_model_candidates(model), &err), &err);
    free(items);
    return index;
}

/* The best for one user, without what she has seen. */
static void recommend(const td_model *model, const td_index *index, const char *user)
{
    td_error err;
    td_searcher *searcher;
    td_hit hits[TOP];
    uint32_t seen_count = 0, count = 0, dim = td_index_dim(index);
    uint32_t row = td_vocab_find(td_model_queries(model), user, strlen(user));
    const uint32_t *seen = row == TD_NONE ? NULL : td_model_seen(model, row, &seen_count);
    uint64_t offsets[2] = {0, seen_count};
    float *query = malloc(dim * sizeof *query);
    if (query == NULL) exit(1);
    must(td_model_encode_queries(model, &user, 1, query, &err), &err);
    td_vectors vectors = {.data = query, .rows = 1, .dim = dim};
    td_search search = {.k = TOP, .exclude_offsets = offsets, .exclude = seen};
    must(td_searcher_create(&searcher, index, &err), &err);
    must(td_searcher_search(searcher, &vectors, &search, hits, &count, &err), &err);
    for (uint32_t i = 0; i < count; i++) {
        printf("recommend   %2u  %7.3f  %s\n", i + 1, (double)hits[i].score,
               td_model_title(model, hits[i].position));
    }
    td_searcher_free(searcher);
    free(query);
}

int main(void)
{
    td_error err;
    td_context *context;
    td_dataset *train, *test;
    must(td_context_create(&context, NULL, &err), &err);
    read_and_split(context, &train, &test);
    td_model *model = train_model(context, train);
    evaluate(context, model, train, test);
    td_index *index = index_candidates(context, model);
    recommend(model, index, "414");
    td_index_free(index);
    td_model_free(model);
    td_dataset_free(test);
    td_dataset_free(train);
    td_context_free(context);
    return 0;
}
