/* make_two_tower.c -- items and users of two_tower.h as files, for the programs of others.
 *
 *   make_two_tower ITEMS USERS DIM SPREAD GAP SEED ITEMS.npy USERS.npy */
#include <stdio.h>
#include <stdlib.h>

#include "two_tower.h"

static td_status make(const two_tower *shape, td_context *context, char **files, td_error *err)
{
    float *items = malloc(shape->items * shape->dim * sizeof *items);
    float *users = malloc(shape->users * shape->dim * sizeof *users);
    td_status status = TD_ERR_MEMORY;
    err->message[0] = '\0';
    if (items != NULL && users != NULL && two_tower_make(shape, context, items, users)) {
        td_vectors of_items = {.data = items, .rows = shape->items, .dim = shape->dim};
        td_vectors of_users = {.data = users, .rows = shape->users, .dim = shape->dim};
        status = td_vectors_write_npy(&of_items, context, files[0], err);
        if (status == TD_OK) status = td_vectors_write_npy(&of_users, context, files[1], err);
    }
    free(items);
    free(users);
    return status;
}

int main(int count, char **arguments)
{
    td_error err;
    td_context *context;
    if (count != 9) {
        fputs("usage: make_two_tower ITEMS USERS DIM SPREAD GAP SEED ITEMS.npy USERS.npy\n", stderr);
        return 2;
    }
    two_tower shape = {.items = strtoull(arguments[1], NULL, 10),
                       .users = strtoull(arguments[2], NULL, 10),
                       .dim = (uint32_t)strtoul(arguments[3], NULL, 10),
                       .spread = strtod(arguments[4], NULL),
                       .gap = strtod(arguments[5], NULL),
                       .seed = strtoull(arguments[6], NULL, 10)};
    td_status status = td_context_create(&context, NULL, &err);
    if (status == TD_OK) status = make(&shape, context, arguments + 7, &err);
    if (status != TD_OK) {
        fprintf(stderr, "make_two_tower: %s: %s\n", td_status_sentence(status), err.message);
    }
    td_context_free(context);
    return td_status_exit_code(status);
}
