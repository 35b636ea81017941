/* codec.c -- vectors as codes of 4 bits a block, and the scores of such codes.
 *
 * Serves: stage 7, the tree. In: residuals. Out: codes; for a query: tables of small integers.
 * Everything here is plain C without fused operations: codes and tables are the same on all machines,
 * and so are the candidates found with them. */
#include "index/codec.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "base/random.h"
#include "kernel/kernel.h"

#include "base/poison.h"

enum {
    VALUES = TD__CODE_VALUES,
    TRAIN_ROUNDS = 12,
    DESCENT_ROUNDS = 10 /* of coordinate descent; three are usual */
};

td_status td__codec_create(td__codec *codec, td_context *context, uint32_t dim, uint32_t width,
                           float eta, td_error *err)
{
    uint32_t blocks = (dim + width - 1) / width;
    *codec = (td__codec){.context = context, .dim = dim, .width = width, .blocks = blocks, .eta = eta};
    codec->blocks_padded = (blocks + TD__BLOCKS_STEP - 1) / TD__BLOCKS_STEP * TD__BLOCKS_STEP;
    return td__alloc_zero(&codec->codewords, context, (uint64_t)blocks * width * VALUES, sizeof(float),
                          err);
}

void td__codec_clear(td__codec *codec)
{
    if (codec->context != NULL) td__free(codec->context, codec->codewords);
}

/* Numbers of block b that are there. */
static uint32_t width_of(const td__codec *codec, uint32_t b)
{
    uint32_t left = codec->dim - b * codec->width;
    return left < codec->width ? left : codec->width;
}

static float *block_of(const td__codec *codec, uint32_t b)
{
    return codec->codewords + (size_t)b * codec->width * VALUES;
}

/* Squared distances from a block's part of a residual to its codewords. */
static void distances(const float *codewords, const float *part, uint32_t width, float *out)
{
    for (int v = 0; v < VALUES; v++) out[v] = 0.0f;
    for (uint32_t j = 0; j < width; j++) {
        for (int v = 0; v < VALUES; v++) {
            float gap = part[j] - codewords[j * VALUES + (uint32_t)v];
            out[v] += gap * gap;
        }
    }
}

static uint32_t smallest(const float *values)
{
    uint32_t best = 0;
    for (uint32_t v = 1; v < VALUES; v++) {
        if (values[v] < values[best]) best = v;
    }
    return best;
}

/* --- learning the codewords */

typedef struct training {
    td__codec *codec;
    const float *residuals;
    uint64_t count;
    uint64_t seed;
    double *sums; /* [threads, width + 1, 16]: of the members, and how many */
} training;

static void draw_codewords(const training *work, uint32_t b, uint32_t round, const double *members)
{
    const td__codec *codec = work->codec;
    td__random draws = td__random_stream(work->seed, TD__STREAM_CODEBOOK, b);
    for (uint32_t v = 0; v < VALUES; v++) {
        if (members != NULL && members[v] > 0) continue;
        uint64_t row = td__random_below(draws, (uint64_t)round * VALUES + v, work->count);
        const float *part = work->residuals + row * codec->dim + b * codec->width;
        for (uint32_t j = 0; j < width_of(codec, b); j++) block_of(codec, b)[j * VALUES + v] = part[j];
    }
}

static void move_codewords(const training *work, uint32_t b, double *sums)
{
    const td__codec *codec = work->codec;
    uint32_t width = width_of(codec, b);
    double *members = sums + (size_t)codec->width * VALUES;
    float *codewords = block_of(codec, b);
    memset(sums, 0, (codec->width + (size_t)1) * VALUES * sizeof *sums);
    for (uint64_t i = 0; i < work->count; i++) {
        const float *part = work->residuals + i * codec->dim + b * codec->width;
        float gaps[VALUES];
        distances(codewords, part, width, gaps);
        uint32_t v = smallest(gaps);
        for (uint32_t j = 0; j < width; j++) sums[j * VALUES + v] += (double)part[j];
        members[v] += 1.0;
    }
    for (uint32_t i = 0; i < width * VALUES; i++) {
        if (members[i % VALUES] > 0) codewords[i] = (float)(sums[i] / members[i % VALUES]);
    }
}

static void train_block(void *state, uint64_t block, uint32_t worker)
{
    const training *work = state;
    uint32_t b = (uint32_t)block;
    size_t room = (work->codec->width + (size_t)1) * VALUES;
    double *sums = work->sums + worker * room;
    draw_codewords(work, b, 0, NULL);
    for (uint32_t round = 1; round <= TRAIN_ROUNDS; round++) {
        move_codewords(work, b, sums);
        if (round < TRAIN_ROUNDS) draw_codewords(work, b, round, sums + room - VALUES);
    }
}

td_status td__codec_train(td__codec *codec, const float *residuals, uint64_t count, uint64_t seed,
                          td_error *err)
{
    td_status status = TD_OK;
    training work = {.codec = codec, .residuals = residuals, .count = count, .seed = seed};
    uint64_t sums = td_context_threads(codec->context) * (codec->width + UINT64_C(1)) * VALUES;
    TD_TRY(td__alloc(&work.sums, codec->context, sums, sizeof *work.sums, err));
    td__parallel_for(codec->context, codec->blocks, train_block, &work);
done:
    td__free(codec->context, work.sums);
    return status;
}

/* --- choosing codes */

uint64_t td__codec_scratch(const td__codec *codec)
{
    return (uint64_t)codec->blocks * VALUES * 2 + codec->dim;
}

/* What each choice would add: to the squared error, and to the error along the item's direction. */
typedef struct choices {
    float *squared; /* [blocks, 16] */
    float *along;   /* [blocks, 16] */
} choices;

static void list_choices(const td__codec *codec, const float *direction, const float *residual,
                         const choices *out)
{
    for (uint32_t b = 0; b < codec->blocks; b++) {
        uint32_t at = b * codec->width, width = width_of(codec, b);
        const float *codewords = block_of(codec, b);
        float *along = out->along + (size_t)b * VALUES;
        distances(codewords, residual + at, width, out->squared + (size_t)b * VALUES);
        for (int v = 0; v < VALUES; v++) along[v] = 0.0f;
        for (uint32_t j = 0; j < width; j++) {
            for (int v = 0; v < VALUES; v++) {
                float gap = residual[at + j] - codewords[j * VALUES + (uint32_t)v];
                along[v] += gap * direction[at + j];
            }
        }
    }
}

/* The unit vector of an item, or zeros. */
static void direction_of(const float *item, uint32_t dim, float *direction)
{
    float square = 0.0f;
    for (uint32_t k = 0; k < dim; k++) square += item[k] * item[k];
    float inverse = square > 0.0f ? 1.0f / sqrtf(square) : 0.0f;
    for (uint32_t k = 0; k < dim; k++) direction[k] = item[k] * inverse;
}

/* Change one block's code if that lowers |e|^2 + (eta - 1) <e, direction>^2; `total` is <e, direction>
 * before, and after. */
static bool improve(const float *squared, const float *along, float weight, uint8_t *code, float *total)
{
    uint32_t now = *code, best = now;
    float rest = *total - along[now], least = squared[now] + weight * *total * *total;
    for (uint32_t v = 0; v < VALUES; v++) {
        float sum = rest + along[v], loss = squared[v] + weight * sum * sum;
        if (loss < least) {
            least = loss;
            best = v;
        }
    }
    *code = (uint8_t)best;
    *total = rest + along[best];
    return best != now;
}

void td__codec_encode(const td__codec *codec, const float *item, const float *residual, float *scratch,
                      uint8_t *codes)
{
    size_t entries = (size_t)codec->blocks * VALUES;
    choices all = {.squared = scratch, .along = scratch + entries};
    float *direction = scratch + 2 * entries, total = 0.0f;
    direction_of(item, codec->dim, direction);
    list_choices(codec, direction, residual, &all);
    for (uint32_t b = 0; b < codec->blocks; b++) {
        codes[b] = (uint8_t)smallest(all.squared + (size_t)b * VALUES);
        total += all.along[(size_t)b * VALUES + codes[b]];
    }
    bool changed = codec->eta != 1.0f;
    for (int round = 0; changed && round < DESCENT_ROUNDS; round++) {
        changed = false;
        for (uint32_t b = 0; b < codec->blocks; b++) {
            size_t at = (size_t)b * VALUES;
            changed |= improve(all.squared + at, all.along + at, codec->eta - 1.0f, codes + b, &total);
        }
    }
}

/* --- tables of a query */

uint64_t td__codec_entries(const td__codec *codec)
{
    return (uint64_t)codec->blocks * (VALUES + 1);
}

td__code_scale td__codec_tables(const td__codec *codec, const float *query, float scale_max,
                                float *entries, uint8_t *tables)
{
    td__codebook book = {codec->codewords, codec->dim, codec->width, codec->blocks, codec->blocks_padded};
    return codec->context->kernels->quant->make_tables(&book, query, scale_max, entries, tables);
}
