/* optimizer.h -- what the training loop needs of optimizers beyond tandem.h: rows for its own option
 * table, and the state for checkpoints.
 *
 * Serves: stage 5. The parts: optimizer.c (a step), optimizer_rows.c (the formulas), row_groups.c
 * (duplicates), optimizer_state.c (checkpoints), schedule.c (learning rates). */
#ifndef TD_TRAIN_OPTIMIZER_H
#define TD_TRAIN_OPTIMIZER_H

#include "base/container.h"
#include "base/options.h"

/* Rows for the fields of a td_optimizer_options inside `type`: `at` is empty, or the member and a dot:
 *     TD__OPTIMIZER_OPTION_ROWS(td_train_options, optimizer., "0.05")
 * `rate` is the default of learning_rate. */
#define TD__OPTIMIZER_OPTION_ROWS(type, at, rate)                                                  \
    TD__OPTION_CHOICE(type, at optimizer, "optimizer", "adagrad",                                  \
                      "sgd|adagrad|adagrad-torch|adagrad-rowwise|adam-lazy",                       \
                      "how gradients move the weights"),                                           \
        TD__OPTION_F32(type, at learning_rate, "learning-rate", rate, 0, 1e6, "RATE",              \
                       "size of a step"),                                                          \
        TD__OPTION_F32(type, at initial_accumulator, "initial-accumulator", "0.1", 0, 1e6, "A",    \
                       "Adagrad: what the sums of squares start from"),                            \
        TD__OPTION_F32(type, at epsilon, "epsilon", "1e-7", 1e-30, 1, "E",                         \
                       "Adagrad and Adam: keeps the divisor from zero"),                           \
        TD__OPTION_F32(type, at momentum, "momentum", "0", 0, 0.9999, "M",                         \
                       "SGD: share of the last step that is taken again"),                         \
        TD__OPTION_F32(type, at beta1, "beta1", "0.9", 0, 0.9999, "B",                             \
                       "Adam: decay of the mean of gradients"),                                    \
        TD__OPTION_F32(type, at beta2, "beta2", "0.999", 0, 0.999999, "B",                         \
                       "Adam: decay of the mean of their squares"),                                \
        TD__OPTION_F32(type, at l2, "l2", "0", 0, 1e6, "L",                                        \
                       "L2 regularisation: adds L times the weights to the gradients of moved rows"), \
        TD__OPTION_CHOICE(type, at schedule, "schedule", "constant",                               \
                          "constant|exponential|cosine|linear|inverse-time",                       \
                          "how the learning rate changes over the steps"),                         \
        TD__OPTION_U64(type, at warmup_steps, "warmup-steps", "0", 0, 1e15, "N",                   \
                       "steps in which the learning rate rises from 0, before the schedule"),      \
        TD__OPTION_U64(type, at decay_steps, "decay-steps", "0", 0, 1e15, "N",                     \
                       "steps over which the schedule decays; 0: the whole training"),             \
        TD__OPTION_F32(type, at decay_rate, "decay-rate", "0.1", 0, 1e6, "RATE",                   \
                       "of the schedule: what is left after the decay steps")

/* Room for steps of up to `count` gradients: they then allocate nothing. */
TD_MUST_CHECK td_status td__optimizer_reserve(td_optimizer *optimizer, uint64_t count,
                                              td_error *err);

/* One td_optimizer_step with the gradients of two sides, numbered through: a row that both have moves once,
 * by their sum. */
typedef struct td__sided_gradient {
    const uint32_t *touched; /* [count] */
    uint64_t count;
    const float *values; /* [count, dim] */
} td__sided_gradient;

TD_MUST_CHECK td_status td__optimizer_step_both(td_optimizer *optimizer, float *weights,
                                                const td__sided_gradient sides[2],
                                                double learning_rate, td_error *err);

/* Steps done so far. */
uint64_t td__optimizer_steps(const td_optimizer *optimizer);

/* The state [rows, width], row-major; borrowed, may be changed between steps. Width 0 (and NULL): none.
 *   SGD                without momentum none, else v [dim]
 *   ADAGRAD(_TORCH)    a [dim]
 *   ADAGRAD_ROWWISE    a, one number
 *   ADAM_LAZY          m [dim], v [dim] */
float *td__optimizer_slots(td_optimizer *optimizer, uint32_t *width);

/* Add "NAME.slots" and "NAME.steps" to a file. They are borrowed until it is committed. */
TD_MUST_CHECK td_status td__optimizer_save(const td_optimizer *optimizer,
                                           td__container_writer *writer, const char *name,
                                           td_error *err);

/* Take them back, into an optimizer made with the same rows, dim and options: the next step gives the
 * same bits as without the stop. CORRUPT if they are missing, of other shape, or not numbers that a step
 * can leave; the optimizer is then as before. */
TD_MUST_CHECK td_status td__optimizer_load(td_optimizer *optimizer, const td__container *container,
                                           const char *name, td_error *err);

#endif
