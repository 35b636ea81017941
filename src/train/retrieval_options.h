/* retrieval_options.h -- the option rows of the retrieval task, for its own table and for that of
 * training.
 *
 * Serves: stages 4 and 5. */
#ifndef TD_TRAIN_RETRIEVAL_OPTIONS_H
#define TD_TRAIN_RETRIEVAL_OPTIONS_H

#include "base/options.h"

/* `at` is where the options lie in the struct: nothing, or "loss." with its dot. `removal` is the
 * default of remove_accidental_hits. */
#define TD__RETRIEVAL_OPTION_ROWS(type, at, removal)                                               \
    TD__OPTION_F32(type, at temperature, "temperature", "1", 1e-6, 1e6, "T",                       \
                   "divide the scores by this number"),                                            \
    TD__OPTION_BOOL(type, at remove_accidental_hits, "remove-accidental-hits", removal,            \
                    "leave out negatives that are the row's own positive again"),                  \
    TD__OPTION_U32(type, at hard_negatives, "hard-negatives", "0", 0, TD__U32_MAX, "N",            \
                   "keep the N best-scored negatives of each row, 0 keeps all"),                   \
    TD__OPTION_F32(type, at label_smoothing, "label-smoothing", "0", 0, 1, "SHARE",                \
                   "share of the label that is spread over all candidates"),                       \
    TD__OPTION_BOOL(type, at symmetric, "symmetric", "false",                                      \
                    "each candidate against the queries too, and the mean of both losses"),        \
    TD__OPTION_CHOICE(type, at reduction, "reduction", "sum", "sum|mean|none",                     \
                      "how the losses of a batch become one number"),                              \
    TD__OPTION_CHOICE(type, at precision, "precision", "float32", "float32|bfloat16",              \
                      "what is multiplied: bfloat16 is faster on some processors that have it "    \
                      "(tandem info --cpu), gradients to about 3 digits")

#endif
