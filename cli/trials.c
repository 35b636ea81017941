/* trials.c -- the trials of a search over settings.
 *
 * In: trials as the library tells them. Out: rows of a table, JSON, command lines. */
#include "trials.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "output.h"

td_status cli_trials_add(cli_trials *trials, const td_tune_trial *trial, td_error *err)
{
    td_status status = td__grow(&trials->trials, trials->context, (uint64_t)trials->count + 1,
                                sizeof *trials->trials, err);
    if (status == TD_OK) trials->trials[trials->count++] = *trial;
    return status;
}

void cli_trials_clear(cli_trials *trials)
{
    if (trials->context == NULL) return;
    td__free(trials->context, trials->trials);
    *trials = (cli_trials){0};
}

/* --- the command line */

/* Text that grows; `failed` once there is no memory. */
typedef struct line {
    td_context *context;
    char *text;
    size_t length;
    bool failed;
} line;

static void put(line *l, const char *text, size_t length)
{
    if (!l->failed) {
        l->failed = td__grow(&l->text, l->context, l->length + length + 1, 1, NULL) != TD_OK;
    }
    if (l->failed) return;
    memcpy(l->text + l->length, text, length);
    l->length += length;
    l->text[l->length] = '\0';
}

/* A word as the shell takes it: as it is, or in quotes, with '\'' for a quote. */
static void put_word(line *l, const char *word)
{
    const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                        "-_./,:=+@%";
    if (l->length > 0) put(l, " ", 1);
    if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
        put(l, word, strlen(word));
        return;
    }
    put(l, "'", 1);
    for (; *word != '\0'; word++) put(l, *word == '\'' ? "'\\''" : word, *word == '\'' ? 4 : 1);
    put(l, "'", 1);
}

static void put_flag(line *l, const char *name, const char *value)
{
    char flag[64];
    snprintf(flag, sizeof flag, "--%s", name);
    put_word(l, flag);
    put_word(l, value);
}

/* Is it for training, and not said otherwise at the end? */
static bool belongs(const cli_remake *remake, const cli_given *given)
{
    const td_option_table *table = given->group->table();
    const char *name = given->row->name;
    if (table == td_tune_option_table() || table == cli_common_option_table()) return false;
    if (table == remake->own) return strcmp(name, "items") == 0;
    return strcmp(name, "epochs") != 0;
}

static void put_given(line *l, const cli_remake *remake)
{
    const char *last = NULL; /* a flag of several groups stands there once for each */
    for (uint32_t i = 0; i < remake->call->given_count; i++) {
        const cli_given *given = &remake->call->given[i];
        if (!belongs(remake, given) || given->row->name == last) continue;
        bool again = i > 0 && remake->call->given[i - 1].text == given->text
                     && strcmp(remake->call->given[i - 1].row->name, given->row->name) == 0
                     && belongs(remake, &remake->call->given[i - 1]);
        last = given->row->name;
        if (again) continue;
        if (given->row->type != TD_OPTION_BOOL) put_flag(l, given->row->name, given->text);
        else {
            char flag[64];
            snprintf(flag, sizeof flag, "--%s=%s", given->row->name, given->text);
            put_word(l, flag);
        }
    }
}

char *cli_trial_command(const cli_remake *remake, const td_tune_trial *trial, uint32_t epochs)
{
    char number[16];
    line l = {.context = remake->call->context};
    put_word(&l, "tandem");
    put_word(&l, "train");
    for (uint32_t i = 0; i < remake->call->operand_count; i++) {
        put_word(&l, remake->call->operands[i]);
    }
    put_given(&l, remake);
    put_flag(&l, "recipe", "plain");
    put_flag(&l, "validation-fraction", remake->validation_fraction);
    for (uint32_t i = 0; i < trial->count; i++) {
        put_flag(&l, trial->settings[i].option, trial->settings[i].text);
    }
    snprintf(number, sizeof number, "%u", epochs);
    put_flag(&l, "epochs", number);
    put_word(&l, "-o");
    put_word(&l, remake->output);
    if (!l.failed) return l.text;
    td__free(l.context, l.text);
    return NULL;
}

/* --- rows and JSON */

void cli_trials_print_head(const char *monitor)
{
    printf("round trial epochs %9s seconds  settings\n", monitor);
}

void cli_trial_print(const td_tune_trial *trial, uint32_t epochs, bool is_best)
{
    printf("%3u/%u %5u %6u ", trial->round + 1, trial->rounds, trial->number, epochs);
    if (isfinite(trial->score)) printf("%8.4f%c", trial->score, is_best ? '*' : ' ');
    else printf("%9s", "diverged");
    printf(" %7.2f ", trial->seconds);
    if (trial->count == 0) fputs(" the defaults", stdout);
    for (uint32_t i = 0; i < trial->count; i++) {
        printf(" %s %s%s", trial->settings[i].option, trial->settings[i].text,
               i + 1 < trial->count ? "," : "");
    }
    putchar('\n');
    fflush(stdout);
}

json_t *cli_trial_json(const td_tune_trial *trial, uint32_t epochs, const char *command)
{
    json_t *settings = json_object();
    json_t *score = isfinite(trial->score) ? json_real(trial->score) : json_null();
    for (uint32_t i = 0; i < trial->count; i++) {
        json_object_set_new(settings, trial->settings[i].option,
                            json_string(trial->settings[i].text));
    }
    return json_pack("{s:i, s:i, s:i, s:o, s:f, s:o, s:o}", "trial", (int)trial->number, "round",
                     (int)trial->round + 1, "epochs", (int)epochs, "score", score, "seconds",
                     trial->seconds, "settings", settings, "command", cli_json_text(command));
}
