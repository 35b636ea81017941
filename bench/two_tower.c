/* two_tower.c -- items and users as two towers leave them, for measuring without a model.
 *
 * Serves: the benchmarks of the index. */
#include "two_tower.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "base/random.h"

enum { REGIONS = 64, CLUSTERS = 2048, MIRRORS = 8, DIM_MAX = 1024, BLOCK = 1024 };

typedef struct making {
    const two_tower *shape;
    float *regions;      /* [REGIONS, dim] */
    float *clusters;     /* [CLUSTERS, dim] */
    double *weights;     /* [CLUSTERS]: running sums of their sizes, the last is 1 */
    float *mirrors;      /* [MIRRORS, dim]: unit vectors; together a random rotation */
    float *offset;       /* [dim] */
    float *items, *users;
} making;

/* What a stream of numbers is for. */
enum { OF_REGIONS, OF_CLUSTERS, OF_WEIGHTS, OF_MIRRORS, OF_OFFSET, OF_ITEMS, OF_USERS };

static td__random stream(const making *work, uint64_t use, uint64_t index)
{
    return td__random_stream(work->shape->seed, (td__stream)(1000 + use), index);
}

static double normal(td__random draws, uint64_t index)
{
    double radius = sqrt(-2.0 * log(1.0 - td__random_unit(draws, 2 * index)));
    return radius * cos(6.283185307179586 * td__random_unit(draws, 2 * index + 1));
}

/* Length about 1; the first directions are stronger: variance as (j + 1)^-0.6. */
static void noise(td__random draws, uint32_t dim, float *out)
{
    double total = 0.0;
    for (uint32_t j = 0; j < dim; j++) total += pow(j + 1.0, -0.6);
    for (uint32_t j = 0; j < dim; j++) {
        out[j] = (float)(normal(draws, j) * sqrt(pow(j + 1.0, -0.6) / total));
    }
}

static void scale_to(float *vector, uint32_t dim, double length)
{
    double square = 0.0;
    for (uint32_t j = 0; j < dim; j++) square += (double)vector[j] * (double)vector[j];
    double factor = square > 0.0 ? length / sqrt(square) : 0.0;
    for (uint32_t j = 0; j < dim; j++) vector[j] = (float)((double)vector[j] * factor);
}

static void rotate(const making *work, float *vector)
{
    uint32_t dim = work->shape->dim;
    for (int m = 0; m < MIRRORS; m++) {
        const float *mirror = work->mirrors + (size_t)m * dim;
        float along = 0.0f;
        for (uint32_t j = 0; j < dim; j++) along += mirror[j] * vector[j];
        for (uint32_t j = 0; j < dim; j++) vector[j] -= 2.0f * along * mirror[j];
    }
}

static void make_clusters(making *work)
{
    uint32_t dim = work->shape->dim;
    double total = 0.0;
    for (uint32_t i = 0; i < REGIONS; i++) {
        noise(stream(work, OF_REGIONS, i), dim, work->regions + (size_t)i * dim);
    }
    for (uint32_t i = 0; i < CLUSTERS; i++) {
        float *cluster = work->clusters + (size_t)i * dim;
        const float *region = work->regions + (size_t)(i % REGIONS) * dim;
        noise(stream(work, OF_CLUSTERS, i), dim, cluster);
        for (uint32_t j = 0; j < dim; j++) cluster[j] = 0.75f * region[j] + 0.66f * cluster[j];
        total += exp(0.9 * normal(stream(work, OF_WEIGHTS, 0), i));
        work->weights[i] = total;
    }
    for (uint32_t i = 0; i < CLUSTERS; i++) work->weights[i] /= total;
    for (uint32_t i = 0; i < MIRRORS; i++) {
        float *mirror = work->mirrors + (size_t)i * dim;
        for (uint32_t j = 0; j < dim; j++) mirror[j] = (float)normal(stream(work, OF_MIRRORS, i), j);
        scale_to(mirror, dim, 1.0);
    }
    noise(stream(work, OF_OFFSET, 0), dim, work->offset);
    scale_to(work->offset, dim, 1.0);
}

static uint32_t pick_cluster(const making *work, double at)
{
    uint32_t low = 0, high = CLUSTERS - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (work->weights[middle] < at) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Standing of item i: normal; its logarithm of length is spread times that. */
static double popularity(const making *work, uint64_t i)
{
    return normal(stream(work, OF_ITEMS, i), DIM_MAX);
}

/* Direction of item i, of length 1. A function of i alone, so that users can take it up. */
static void direction(const making *work, uint64_t i, float *out)
{
    uint32_t dim = work->shape->dim;
    td__random draws = stream(work, OF_ITEMS, i);
    uint32_t at = pick_cluster(work, td__random_unit(draws, 2 * DIM_MAX + 2));
    const float *cluster = work->clusters + (size_t)at * dim;
    noise(draws, dim, out);
    for (uint32_t j = 0; j < dim; j++) out[j] = 0.78f * cluster[j] + 0.62f * out[j];
    scale_to(out, dim, 1.0);
}

static void make_items(void *state, uint64_t block, uint32_t worker)
{
    const making *work = state;
    uint64_t end = (block + 1) * BLOCK < work->shape->items ? (block + 1) * BLOCK : work->shape->items;
    (void)worker;
    for (uint64_t i = block * BLOCK; i < end; i++) {
        float *item = work->items + i * work->shape->dim;
        direction(work, i, item);
        scale_to(item, work->shape->dim, exp(work->shape->spread * popularity(work, i)));
        rotate(work, item);
    }
}

static void make_user(const making *work, uint64_t u)
{
    uint32_t dim = work->shape->dim;
    float *user = work->users + u * dim, other[DIM_MAX];
    td__random draws = stream(work, OF_USERS, u);
    uint64_t interests = 1 + td__random_below(draws, 5000, 5);
    noise(draws, dim, user);
    for (uint32_t j = 0; j < dim; j++) {
        user[j] = 0.55f * user[j] + (float)work->shape->gap * work->offset[j];
    }
    for (uint64_t n = 0; n < interests; n++) {
        uint64_t a = td__random_below(draws, 5001 + 3 * n, work->shape->items);
        uint64_t b = td__random_below(draws, 5002 + 3 * n, work->shape->items);
        float weight = (float)((0.3 + td__random_unit(draws, 5003 + 3 * n)) / sqrt((double)interests));
        direction(work, popularity(work, a) > popularity(work, b) ? a : b, other);
        for (uint32_t j = 0; j < dim; j++) user[j] += weight * other[j];
    }
    scale_to(user, dim, 1.0);
    rotate(work, user);
}

static void make_users(void *state, uint64_t block, uint32_t worker)
{
    const making *work = state;
    uint64_t end = (block + 1) * BLOCK < work->shape->users ? (block + 1) * BLOCK : work->shape->users;
    (void)worker;
    for (uint64_t u = block * BLOCK; u < end; u++) make_user(work, u);
}

bool two_tower_make(const two_tower *shape, td_context *context, float *item_rows, float *user_rows)
{
    making work = {.shape = shape, .items = item_rows, .users = user_rows};
    size_t rows = REGIONS + CLUSTERS + MIRRORS + 1;
    float *memory = shape->dim <= DIM_MAX ? malloc(rows * shape->dim * sizeof *memory) : NULL;
    work.weights = malloc(CLUSTERS * sizeof *work.weights);
    if (memory != NULL && work.weights != NULL) {
        work.regions = memory;
        work.clusters = work.regions + (size_t)REGIONS * shape->dim;
        work.mirrors = work.clusters + (size_t)CLUSTERS * shape->dim;
        work.offset = work.mirrors + (size_t)MIRRORS * shape->dim;
        make_clusters(&work);
        td__parallel_for(context, td__block_count(shape->items, BLOCK), make_items, &work);
        td__parallel_for(context, td__block_count(shape->users, BLOCK), make_users, &work);
    }
    bool made = work.offset != NULL;
    free(memory);
    free(work.weights);
    return made;
}
