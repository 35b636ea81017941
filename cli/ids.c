/* ids.c -- lists of ids from flags and from files with one id a line.
 *
 * In: flags, a file. Out: texts. */
#include "ids.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"

enum { READ_AT_ONCE = 65536 };

static td_status read_all(cli_ids *ids, FILE *file, size_t *size, td_error *err)
{
    td_status status = TD_OK;
    *size = 0;
    for (size_t got = 1; got > 0;) {
        TD_TRY(td__grow(&ids->bytes, ids->context, *size + READ_AT_ONCE + 1, 1, err));
        got = fread(ids->bytes + *size, 1, READ_AT_ONCE, file);
        *size += got;
    }
    TD_FAIL_IF(ferror(file), err, ERR_IO, "%s", strerror(errno));
    ids->bytes[*size] = '\0';
done:
    return status;
}

static td_status append(cli_ids *ids, const char *id, td_error *err)
{
    td_status status = td__grow(&ids->ids, ids->context, (uint64_t)ids->count + 1,
                                sizeof *ids->ids, err);
    if (status == TD_OK) ids->ids[ids->count++] = id;
    return status;
}

static td_status split_lines(cli_ids *ids, size_t size, const char *path, td_error *err)
{
    td_status status = TD_OK;
    TD_FAIL_IF(memchr(ids->bytes, '\0', size) != NULL, err, ERR_PARSE,
               "%s: holds a NUL byte; expected text with one id a line", path);
    for (char *line = ids->bytes; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        char *next = line + length + (line[length] == '\n');
        line[length] = '\0';
        if (length > 0 && line[length - 1] == '\r') line[length - 1] = '\0';
        if (line[0] != '\0') TD_TRY(append(ids, line, err));
        line = next;
    }
done:
    return status;
}

static td_status read_file(cli_ids *ids, const char *path, td_error *err)
{
    td_status status = TD_OK;
    size_t size;
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "rb");
    TD_FAIL_IF(file == NULL && errno == ENOENT, err, ERR_NOT_FOUND, "%s: no such file", path);
    TD_FAIL_IF(file == NULL, err, ERR_IO, "%s: %s", path, strerror(errno));
    status = read_all(ids, file, &size, err);
    if (status != TD_OK) status = td__fail_within(err, status, path);
    else status = split_lines(ids, size, path, err);
    if (!standard) fclose(file);
done:
    return status;
}

td_status cli_ids_read(cli_ids *ids, const cli_call *call, const char *flag, const char *path,
                       td_error *err)
{
    td_status status = TD_OK;
    *ids = (cli_ids){.context = call->context};
    for (uint32_t i = 0; i < call->given_count; i++) {
        if (strcmp(call->given[i].row->name, flag) != 0) continue;
        TD_TRY(append(ids, call->given[i].text, err));
    }
    if (path != NULL) TD_TRY(read_file(ids, path, err));
done:
    return status;
}

/* Add the parts of `list` between commas. They are copied, with a NUL each, to `*end` and on. */
static td_status split_commas(cli_ids *ids, const char *list, char **end, td_error *err)
{
    td_status status = TD_OK;
    for (;;) {
        size_t length = strcspn(list, ",");
        if (length > 0) {
            memcpy(*end, list, length);
            (*end)[length] = '\0';
            TD_TRY(append(ids, *end, err));
            *end += length + 1;
        }
        if (list[length] == '\0') break;
        list += length + 1;
    }
done:
    return status;
}

td_status cli_ids_read_lists(cli_ids *ids, const cli_call *call, const char *flag, const char *path,
                             td_error *err)
{
    td_status status = TD_OK;
    size_t size = 1;
    *ids = (cli_ids){.context = call->context};
    for (uint32_t i = 0; i < call->given_count; i++) {
        if (strcmp(call->given[i].row->name, flag) == 0) size += strlen(call->given[i].text) + 1;
    }
    TD_TRY(td__alloc(&ids->list_bytes, ids->context, size, 1, err));
    char *end = ids->list_bytes;
    for (uint32_t i = 0; i < call->given_count; i++) {
        if (strcmp(call->given[i].row->name, flag) != 0) continue;
        TD_TRY(split_commas(ids, call->given[i].text, &end, err));
    }
    if (path != NULL) TD_TRY(read_file(ids, path, err));
done:
    return status;
}

void cli_ids_clear(cli_ids *ids)
{
    if (ids->context == NULL) return;
    td__free(ids->context, ids->ids);
    td__free(ids->context, ids->bytes);
    td__free(ids->context, ids->list_bytes);
    *ids = (cli_ids){0};
}

td_status cli_find(uint32_t *position, const td_vocab *vocab, const char *id, const char *what,
                   td_error *err)
{
    *position = td_vocab_find(vocab, id, strlen(id));
    if (*position != TD_NONE) return TD_OK;
    return td__fail(err, TD_ERR_NOT_FOUND, "there is no %s \"%.200s\" among the %u known", what, id,
                    td_vocab_count(vocab));
}

/* Does `text` contain `part`, letters of ASCII alike in both cases? */
static bool contains(const char *text, const char *part)
{
    size_t length = strlen(part);
    for (; *text != '\0'; text++) {
        if (strncasecmp(text, part, length) == 0) return true;
    }
    return length == 0;
}

td_status cli_find_title(uint32_t *position, const td_model *model, const char *text, td_error *err)
{
    td_status status = TD_OK;
    uint32_t count = td_vocab_count(td_model_candidates(model)), found = 0, others[3] = {0};
    for (uint32_t i = 0; i < count; i++) {
        const char *title = td_model_title(model, i);
        if (title == NULL || !contains(title, text)) continue;
        if (strcasecmp(title, text) == 0) {
            *position = i;
            return TD_OK;
        }
        if (found < 3) others[found] = i;
        found++;
    }
    TD_FAIL_IF(found == 0, err, ERR_NOT_FOUND, "no title contains \"%.200s\"", text);
    TD_FAIL_IF(found == 2, err, ERR_ARGUMENT,
               "two titles contain \"%.80s\": \"%.80s\" and \"%.80s\"", text,
               td_model_title(model, others[0]), td_model_title(model, others[1]));
    TD_FAIL_IF(found > 2, err, ERR_ARGUMENT,
               "%u titles contain \"%.80s\", among them \"%.80s\", \"%.80s\" and \"%.80s\"", found,
               text, td_model_title(model, others[0]), td_model_title(model, others[1]),
               td_model_title(model, others[2]));
    *position = others[0];
done:
    return status;
}
