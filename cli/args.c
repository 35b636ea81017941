/* args.c -- the command line becomes the arguments of a verb.
 *
 * In: words. Out: option structs, operands, and the list of flags that were given. */
#include "args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FLAG_BYTES_MAX = 96, NAMES_MAX = 256 };

static const char *const short_flags[][2] = {
    {"-o", "output"}, {"-k", "k"}, {"-q", "quiet"}, {"-u", "user"},
};

const cli_verb *cli_verb_find(const char *name)
{
    for (const cli_verb *const *verb = cli_verbs; *verb != NULL; verb++) {
        if (strcmp((*verb)->name, name) == 0) return *verb;
    }
    return NULL;
}

/* Levenshtein distance, one row of the table at a time; long words are far from everything. */
static uint32_t edit_distance(const char *a, const char *b)
{
    uint32_t row[FLAG_BYTES_MAX];
    size_t length = strlen(b);
    if (length + 1 > FLAG_BYTES_MAX) return UINT32_MAX;
    for (uint32_t j = 0; j <= length; j++) row[j] = j;
    for (uint32_t i = 1; a[i - 1] != '\0'; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            uint32_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[length];
}

const char *cli_nearest(const char *name, const char *const *names, uint32_t count)
{
    const char *nearest = NULL;
    uint32_t best = (uint32_t)strlen(name) / 3 + 2;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t distance = edit_distance(name, names[i]);
        if (distance >= best) continue;
        best = distance;
        nearest = names[i];
    }
    return nearest;
}

static td_status unknown_flag(const cli_verb *verb, const char *name, td_error *err)
{
    const char *names[NAMES_MAX];
    uint32_t count = 0;
    for (uint32_t g = 0; g < verb->group_count; g++) {
        const td_option_table *table = verb->groups[g].table();
        for (uint32_t i = 0; i < table->count && count < NAMES_MAX; i++) {
            names[count++] = table->rows[i].name;
        }
    }
    const char *nearest = cli_nearest(name, names, count);
    if (nearest == NULL) {
        return td__fail(err, TD_ERR_ARGUMENT, "there is no option --%s; see tandem %s --help", name,
                        verb->name);
    }
    return td__fail(err, TD_ERR_ARGUMENT, "there is no option --%s; did you mean --%s?", name,
                    nearest);
}

static td_status set_flag(cli_call *call, const cli_group *group, const td_option *row,
                          const char *text, td_error *err)
{
    void *options = (char *)call->arguments + group->offset;
    call->given[call->given_count++] = (cli_given){group, row, text};
    return td_options_set(group->table(), options, row->name, text, err);
}

/* The first row of that name; switches may be written --no-NAME. */
static const td_option *find_flag(const cli_verb *verb, const char **name, bool *negated)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        for (uint32_t g = 0; g < verb->group_count; g++) {
            const td_option *row = td_option_find(verb->groups[g].table(), *name);
            if (row == NULL || (*negated && row->type != TD_OPTION_BOOL)) continue;
            return row;
        }
        if (strncmp(*name, "no-", 3) != 0) return NULL;
        *negated = true;
        *name += 3;
    }
    return NULL;
}

/* One flag "name" with an optional "=text" behind it; `next` is the following word or NULL, and
 * `*used_next` says whether it was the value. */
static td_status parse_flag(cli_call *call, const char *name, const char *text, const char *next,
                            bool *used_next, td_error *err)
{
    td_status status = TD_OK;
    const char *plain = name;
    bool negated = false;
    const td_option *row = find_flag(call->verb, &plain, &negated);
    if (row == NULL) return unknown_flag(call->verb, name, err);
    if (row->type == TD_OPTION_BOOL && (text == NULL || negated)) {
        TD_FAIL_IF(text != NULL, err, ERR_ARGUMENT, "--%s takes no value", name);
        text = negated ? "no" : "yes";
    } else if (text == NULL) {
        TD_FAIL_IF(next == NULL, err, ERR_ARGUMENT, "--%s needs a value: --%s %s", name, name,
                   row->value != NULL ? row->value : "VALUE");
        text = next;
        *used_next = true;
    }
    for (uint32_t g = 0; g < call->verb->group_count; g++) {
        const cli_group *group = &call->verb->groups[g];
        const td_option *own = td_option_find(group->table(), plain);
        if (own != NULL) TD_TRY(set_flag(call, group, own, text, err));
    }
done:
    return status;
}

static td_status parse_long(cli_call *call, const char *word, const char *next, bool *used_next,
                            td_error *err)
{
    char name[FLAG_BYTES_MAX];
    const char *equals = strchr(word, '=');
    size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);
    if (length >= sizeof name) {
        return td__fail(err, TD_ERR_ARGUMENT, "there is no option --%.40s...", word);
    }
    memcpy(name, word, length);
    name[length] = '\0';
    return parse_flag(call, name, equals != NULL ? equals + 1 : NULL, next, used_next, err);
}

static td_status parse_short(cli_call *call, const char *word, const char *next, bool *used_next,
                             td_error *err)
{
    for (size_t i = 0; i < sizeof short_flags / sizeof short_flags[0]; i++) {
        if (strncmp(word, short_flags[i][0], 2) != 0) continue;
        const char *text = word[2] != '\0' ? word + 2 : NULL;
        return parse_flag(call, short_flags[i][1], text, next, used_next, err);
    }
    return td__fail(err, TD_ERR_ARGUMENT, "there is no option %s; see tandem %s --help", word,
                    call->verb->name);
}

static td_status check_operands(const cli_call *call, td_error *err)
{
    td_status status = TD_OK;
    const cli_verb *verb = call->verb;
    TD_FAIL_IF(call->operand_count < verb->operands_min, err, ERR_ARGUMENT,
               "something is missing: tandem %s %s; see tandem %s --help", verb->name,
               verb->operands, verb->name);
    TD_FAIL_IF(call->operand_count > verb->operands_max, err, ERR_ARGUMENT,
               "\"%s\" is one word too many: tandem %s %s", call->operands[verb->operands_max],
               verb->name, verb->operands);
done:
    return status;
}

static td_status prepare(cli_call *call, const cli_verb *verb, int argc, td_error *err)
{
    td_status status = TD_OK;
    size_t words = (size_t)argc + 1;
    *call = (cli_call){.verb = verb};
    call->arguments = calloc(1, verb->arguments_size);
    call->operands = calloc(words, sizeof *call->operands);
    call->given = calloc(words * verb->group_count, sizeof *call->given);
    TD_FAIL_IF(call->arguments == NULL || call->operands == NULL || call->given == NULL, err,
               ERR_MEMORY, "no memory for %d words", argc);
    call->common = call->arguments;
    for (uint32_t g = 0; g < verb->group_count; g++) {
        td_options_init(verb->groups[g].table(), (char *)call->arguments + verb->groups[g].offset);
    }
done:
    return status;
}

td_status cli_parse(cli_call *call, const cli_verb *verb, int argc, char **argv, bool *help,
                    td_error *err)
{
    td_status status = TD_OK;
    bool only_operands = false;
    *help = false;
    TD_TRY(prepare(call, verb, argc, err));
    for (int i = 0; i < argc && !*help; i++) {
        const char *word = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
        bool used_next = false;
        if (only_operands || word[0] != '-' || word[1] == '\0') {
            call->operands[call->operand_count++] = word;
        } else if (strcmp(word, "--") == 0) {
            only_operands = true;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            *help = true;
        } else if (word[1] == '-') {
            TD_TRY(parse_long(call, word + 2, next, &used_next, err));
        } else {
            TD_TRY(parse_short(call, word, next, &used_next, err));
        }
        i += used_next;
    }
    if (!*help) TD_TRY(check_operands(call, err));
done:
    return status;
}

void cli_call_clear(cli_call *call)
{
    free(call->arguments);
    free(call->operands);
    free(call->given);
    *call = (cli_call){0};
}

uint32_t cli_given_texts(const cli_call *call, const char *name, const char **texts,
                         uint32_t capacity)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < call->given_count; i++) {
        if (strcmp(call->given[i].row->name, name) != 0) continue;
        if (texts != NULL && count < capacity) texts[count] = call->given[i].text;
        count++;
    }
    return count;
}

bool cli_given_any(const cli_call *call, const td_option_table *table)
{
    for (uint32_t i = 0; i < call->given_count; i++) {
        if (call->given[i].group->table() == table) return true;
    }
    return false;
}
