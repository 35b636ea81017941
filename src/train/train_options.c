/* train_options.c -- the options of a training, one flat table with those of its parts.
 *
 * Serves: stage 5. */
#include "train/frequency_options.h"
#include "train/optimizer.h"
#include "train/retrieval_options.h"
#include "base/poison.h"

static const td_option rows[] = {
    TD__OPTION_U32(td_train_options, epochs, "epochs", "10", 1, TD__U32_MAX, "N",
                   "times through the training rows, at most"),
    TD__OPTION_U32(td_train_options, batch_size, "batch-size", "1024", 1, 16777216, "N",
                   "rows of a step, or queries with --group queries"),
    TD__OPTION_CHOICE(td_train_options, group, "group", "rows", "rows|queries",
                      "a step takes single rows, or all rows of its queries"),
    TD__OPTION_CHOICE(td_train_options, negatives.kind, "negatives", "batch",
                      "batch|sampled|mixed|all",
                      "what a row is measured against: the rest of its batch, drawn candidates, both, "
                      "or every candidate"),
    TD__OPTION_U32(td_train_options, negatives.count, "negative-count", "1024", 0, 16777216, "N",
                   "candidates drawn for a step (sampled, mixed)"),
    TD__OPTION_F32(td_train_options, negatives.power, "negative-power", "0", 0, 4, "A",
                   "draw with probability ~ (rows of a candidate)^A; 0: all alike"),
    TD__OPTION_U32(td_train_options, negatives.memory, "memory-batches", "0", 0, 65536, "N",
                   "candidates of the last N batches are negatives too"),
    TD__RETRIEVAL_OPTION_ROWS(td_train_options, loss., "true"),
    TD__OPTION_CHOICE(td_train_options, kind, "loss", "softmax",
                      "softmax|ccl|bpr|hinge|warp|sigmoid", "what is minimised"),
    TD__OPTION_F32(td_train_options, margin, "margin", "0.5", -1e6, 1e6, "M",
                   "ccl: scores of negatives below it are fine; hinge, warp: how far positives are "
                   "to be above negatives"),
    TD__OPTION_F32(td_train_options, negative_weight, "negative-weight", "100", 0, 1e6, "W",
                   "ccl, sigmoid: weight of the mean over the negatives"),
    TD__OPTION_BOOL(td_train_options, temperature.learned, "learn-temperature", "false",
                    "change the temperature as the weights"),
    TD__OPTION_F32(td_train_options, temperature.least, "temperature-min", "0.01", 1e-6, 1e6, "T",
                   "least temperature that is learned"),
    TD__OPTION_F32(td_train_options, temperature.most, "temperature-max", "1", 1e-6, 1e6, "T",
                   "greatest temperature that is learned"),
    TD__OPTION_F32(td_train_options, temperature.rate, "temperature-rate", "0.001", 0, 1, "RATE",
                   "of learning it: the logarithm changes by about this much a step"),
    TD__OPTION_F32(td_train_options, dropout, "dropout", "0", 0, 0.95, "SHARE",
                   "share of the numbers of query vectors left out of each step"),
    TD__OPTION_U32(td_train_options, history_parts, "history-parts", "4", 2, TD__U32_MAX, "N",
                   "query-tower with a history, group queries: parts of a query's rows, each to be found "
                   "from the rest of its history"),
    TD__OPTION_F32(td_train_options, id_dropout, "id-dropout", "0.1", 0, 0.95, "SHARE",
                   "query-tower id+history: share of queries that a step takes for unknown ones, so that "
                   "it learns what serves these"),
    TD__OPTION_F32(td_train_options, partition_power, "partition-power", "1", 0.1, 10, "P",
                   "weight of ln Z against the positive's score; above 1: bilateral softmax loss"),
    TD__OPTION_BOOL(td_train_options, decoupled, "decoupled", "false",
                    "softmax: a query's positives, in the batch or not, are no part of its Z: they do not "
                    "compete"),
    TD__OPTION_U32(td_train_options, graph_layers, "graph-layers", "0", 0, 8, "N",
                   "smooth the vectors over the graph of who took what, so many steps far (LightGCN); "
                   "0: vectors of their own"),
    TD__OPTION_CHOICE(td_train_options, sampling_correction, "sampling-correction", "counts",
                      "none|counts|streaming",
                      "where the sampling probabilities of the candidates come from"),
    TD__FREQUENCY_OPTION_ROWS(td_train_options, frequency.),
    TD__OPTIMIZER_OPTION_ROWS(td_train_options, optimizer., "0.05"),
    TD__OPTION_CHOICE(td_train_options, shuffle, "shuffle", "epoch", "epoch|once|none",
                      "when the rows get a new order; once: the same batches each epoch"),
    TD__OPTION_U64(td_train_options, seed, "seed", "42", 0, TD__U64_MAX, "SEED",
                   "the order of the rows is a function of it"),
    TD__OPTION_U32(td_train_options, patience, "patience", "3", 0, TD__U32_MAX, "N",
                   "stop after N epochs without gain on the validation part; 0: never"),
    TD__OPTION_CHOICE(td_train_options, monitor, "monitor", "ndcg", "ndcg|recall|hit-rate|mrr",
                      "what counts as gain on the validation part"),
    TD__OPTION_U32(td_train_options, monitor_k, "monitor-k", "10", 1, 1e6, "K",
                   "results per query that the monitor looks at"),
    TD__OPTION_U32(td_train_options, validate_every, "validate-every", "1", 1, TD__U32_MAX, "N",
                   "epochs from one validation to the next"),
    TD__OPTION_BOOL(td_train_options, restore_best, "restore-best", "true",
                    "end with the weights of the best epoch on the validation part"),
    TD__OPTION_F32(td_train_options, average_decay, "average-decay", "0", 0, 0.999, "SHARE",
                   "the model is a moving average of the weights after each epoch, of which an epoch "
                   "leaves this share to those before; 0: the weights after the last"),
    TD__OPTION_TEXT(td_train_options, checkpoint, "checkpoint", NULL, "FILE",
                    "rewritten after each epoch, to go on from after an interruption"),
    TD__OPTION_BOOL(td_train_options, resume, "resume", "false",
                    "go on from the checkpoint if it is there"),
    TD__OPTION_TEXT(td_train_options, log, "log", NULL, "FILE", "JSON lines, one an epoch"),
};

static const td_option_table table = TD__OPTION_TABLE("train", td_train_options, rows);

const td_option_table *td_train_option_table(void)
{
    return &table;
}

void td_train_options_init(td_train_options *options)
{
    td_options_init(&table, options);
}
