/* trainer.h -- a training under way: what the loop, its checkpoints and its validation share.
 *
 * Serves: stage 5. */
#ifndef TD_TRAIN_TRAINER_H
#define TD_TRAIN_TRAINER_H

#include "train/average.h"
#include "train/batches.h"
#include "train/snapshot.h"
#include "train/step.h"
#include "train/train_log.h"

typedef struct td__trainer {
    td_model *model;
    const td_dataset *train;
    const td_dataset *validation; /* or NULL */
    td_train_options options;
    const td_progress_hook *hook; /* or NULL */
    td_train_report report;       /* of the epochs that ended well */
    td__batches *batches;
    td__step *step;
    td__snapshot *good; /* after the last epoch that ended well */
    td__average *average; /* over the epochs that ended well; NULL: there is none */
    td__snapshot *best; /* of the best epoch; NULL unless it is to be restored */
    td__train_log log;
    double epoch_started;  /* td__seconds */
    double epoch_loss;     /* sum over the rows so far */
    uint64_t epoch_rows;   /* so far */
    double learning_rate;  /* of the last step */
    double reported;       /* td__seconds of the last progress report */
} td__trainer;

/* --- checkpoint.c */

/* Write all that the rest of the training depends on: weights, optimizers, best weights, report. */
TD_MUST_CHECK td_status td__trainer_save(td__trainer *trainer, td_error *err);

/* Go on from the checkpoint, if the file is there: else nothing happens. STATE with a sentence if it
 * was made with other options, another model or other data. On failure the model is as before. */
TD_MUST_CHECK td_status td__trainer_resume(td__trainer *trainer, td_error *err);

enum { TD__CHECKPOINT_VERSION = 1 };

/* --- checkpoint_check.c */

/* Verify a checkpoint file by itself: CORRUPT says which rule is broken. */
TD_MUST_CHECK td_status td__checkpoint_check(td_context *context, const char *path, td_error *err);

#endif
