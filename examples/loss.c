/* loss.c -- the retrieval loss on bare arrays, for a trainer of your own.
 *
 * Three queries, three candidates, one extra negative; loss and gradients with a temperature and a
 * correction for how often each candidate is sampled. */
#include <stdio.h>
#include <stdlib.h>

#include <tandem/tandem.h>

enum { ROWS = 3, CANDIDATES = 4, DIM = 2 };

static void must(td_status status, const td_error *err)
{
    if (status == TD_OK) return;
    fprintf(stderr, "loss: %s\n", err->message);
    exit(td_status_exit_code(status));
}

int main(void)
{
    static const float query[ROWS * DIM] = {1, 0, 0, 1, 1, 1};
    static const float candidate[CANDIDATES * DIM] = {1, 0.5f, 0, 1, 0.5f, 0.5f, -1, 0};
    static const float probability[CANDIDATES] = {0.4f, 0.3f, 0.2f, 0.1f};

    td_error err;
    td_context *context;
    must(td_context_create(&context, NULL, &err), &err);

    td_retrieval_options options;
    td_retrieval_options_init(&options);
    options.temperature = 0.5f;
    td_retrieval *task;
    td_retrieval_shape shape = {
        .queries_max = ROWS, .candidates_max = CANDIDATES, .heads = 1, .dim = DIM};
    must(td_retrieval_create(&task, context, &shape, &options, &err), &err);

    float d_query[ROWS * DIM], d_candidate[CANDIDATES * DIM];
    td_retrieval_batch batch = {.queries = ROWS,
                                .candidates = CANDIDATES,
                                .dim = DIM,
                                .query = query,
                                .candidate = candidate,
                                .sampling_probability = probability};
    td_retrieval_result result = {.d_query = d_query, .d_candidate = d_candidate};
    must(td_retrieval_compute(task, &batch, &result, &err), &err);

    printf("loss %.6f, d loss / d temperature %.6f\n", result.loss, result.d_temperature);
    for (int i = 0; i < CANDIDATES; i++) {
        printf("d candidate %d: %9.6f %9.6f\n", i, (double)d_candidate[i * DIM],
               (double)d_candidate[i * DIM + 1]);
    }
    td_retrieval_free(task);
    td_context_free(context);
    return 0;
}
