/* tree.h -- what a tree index is inside.
 *
 * Serves: stage 7. Made by tree_build.c, searched by tree_search.c, taught by calibrate.c, kept by
 * tree_file.c.
 *
 * Items belong to the leaf of their nearest centre. Each leaf is a run of groups of 32 slots; a slot
 * holds an item in three sizes: a code of 4 bits a block of its residual, a row of 8-bit integers, and
 * a position, whose float32 vector stays in td_index.rows, or is no longer kept: then the row is all
 * there is of the item, and is what the item is (td_index.rounded). Within a leaf, items stand by descending
 * length: those likely to score high come first and raise the threshold for the rest. */
#ifndef TD_INDEX_TREE_H
#define TD_INDEX_TREE_H

#include "index/candidates.h"
#include "index/codec.h"
#include "index/index.h"
#include "index/kmeans.h"
#include "index/scan.h"
#include "kernel/quant.h"

/* Elements beyond this are refused: sums of squares must stay finite. */
#define TD__TREE_GREATEST 1e15f

/* What calibration found, for one k and one target. */
typedef struct td__calibrated {
    float k;
    float target;
    float leaves; /* searched on the average; 0: the target was not reached, search exactly */
    float candidates;
    float reach; /* when to stop: td__effort */
} td__calibrated;

enum { TD__CALIBRATED_COLUMNS = sizeof(td__calibrated) / sizeof(float) };

typedef struct td__tree {
    td__centers centers;
    td__codec codec;
    uint32_t stride;     /* of rows: dim padded to TD__ROW_STEP with zeros */
    uint32_t groups;
    uint32_t *first;     /* [leaves + 1]: groups of leaf l are first[l] to first[l + 1] - 1 */
    uint32_t *positions; /* [groups * 32]; TD_NONE: an empty slot */
    uint32_t *live;      /* [groups]: bit i is set if slot i holds an item */
    uint8_t *codes;      /* [groups, codec.blocks_padded, 16] */
    int8_t *rows;        /* [groups * 32, stride]: item / scale (rounded.h) */
    float *scales;       /* [groups * 32] */
    uint32_t calibration_queries;
    uint32_t calibrated_count;
    td__calibrated *calibrated; /* by k, then by target, ascending */
} td__tree;

/* An empty tree of an index, arrays of `groups` included, all slots empty. */
TD_MUST_CHECK td_status td__tree_create(td_index *index, uint32_t leaves, uint32_t width, float eta,
                                        td_error *err);
TD_MUST_CHECK td_status td__tree_room(td_index *index, uint32_t groups, td_error *err);
void td__tree_clear(td_index *index);
void td__tree_mark_live(td__tree *tree);
TD_MUST_CHECK td_status td__tree_build(td_index *index, const td_vectors *items,
                                       const td_index_options *options,
                                       const td_progress_hook *hook, td_error *err);

/* --- one item into its slot (tree_build.c) */

/* What it takes to encode. */
typedef struct td__encoder {
    float *residual; /* [dim] */
    float *scratch;  /* of the codec */
    uint8_t *codes;  /* [blocks] */
} td__encoder;

TD_MUST_CHECK td_status td__encoder_create(td__encoder *encoder, const td_index *index, td_error *err);
void td__encoder_clear(td__encoder *encoder, td_context *context);
/* Fill a slot of a leaf, whose codes are zeros, with the item at `position` of index->rows. */
void td__tree_put(const td_index *index, td__encoder *encoder, uint32_t leaf, uint64_t slot,
                  uint32_t position);

/* Items [count] of index->rows in the order in which a leaf has them, into `members`: the longest
 * first, equal ones by position. `keys` [count + 1] is scratch. */
void td__tree_sort(const td_index *index, const uint32_t *positions, uint64_t count, uint64_t *keys,
                   td_hit *members);

/* Keep the rows of 8 bits alone: index->rows, which are rounded, go. (tree_build.c) */
TD_MUST_CHECK td_status td__tree_keep_rounded(td_index *index, td_error *err);
/* index->rounded anew, if slots or positions have changed. */
TD_MUST_CHECK td_status td__tree_map_slots(td_index *index, uint64_t positions, td_error *err);

/* --- updates (tree_merge.c) */

TD_MUST_CHECK td_status td__tree_merge(td_index *index, const struct td__merge *from, td_error *err);
TD_MUST_CHECK td_status td__tree_succeed(td_index *index, const td_index *before,
                                         const uint32_t *positions, uint64_t count, td_error *err);

/* --- searching (tree_search.c) */

/* How much to look at. */
typedef struct td__effort {
    uint64_t leaves;     /* at most */
    uint64_t candidates;
    float reach;         /* stop when td__tree_distance of the next leaf is beyond this */
    uint64_t expected;   /* leaves that most queries look at: a hint */
} td__effort;

/* What one worker needs for a query. */
typedef struct td__tree_scratch {
    float *all_centers;  /* [TD__TILE_ROWS, center panels, TD__PANEL]: scores of the centers */
    float *all_scaled;   /* [TD__TILE_ROWS, dim]: queries, their largest elements between 1/2 and 1 */
    const float *centers, *scaled; /* of the query under way */
    uint64_t *leaf_keys; /* [leaves] */
    td_hit *leaves;      /* [leaves]: best first */
    uint64_t ranked;     /* of them in order */
    float *entries;      /* [td__codec_entries] */
    uint8_t *tables;     /* [blocks_padded, 16] */
    int16_t *query;      /* [stride]: in integers */
    float *scores;       /* [TD__HEADS_MAX, TD__PANEL] */
    float *vectors;      /* [TD__PANEL, dim], of rounded items */
    uint64_t *keys;      /* of the candidates; these grow with their number */
    uint64_t *few_keys;  /* the candidates again, then hits */
    uint32_t *slots;
    uint32_t *finalists;
    td__code_scale scale;
    td__candidates candidates;
} td__tree_scratch;

/* Scratch for each thread of the context. */
TD_MUST_CHECK td_status td__tree_scratch_create(void **scratch, const td_index *index, td_error *err);
void td__tree_scratch_free(void *scratch, const td_index *index);
/* Room for a number of candidates of each head and k results. */
TD_MUST_CHECK td_status td__tree_scratch_grow(td__tree_scratch *scratch, const td_index *index,
                                              uint64_t candidates, uint32_t heads, uint64_t k,
                                              td_error *err);

/* Score all leaves for some query vectors [count, dim], count <= TD__TILE_ROWS. */
void td__tree_near(td__tree_scratch *scratch, const td_index *index, const float *queries, uint32_t count);
/* Rank the best `leaves` leaves for number `row` of these vectors, and make its tables. */
void td__tree_route(td__tree_scratch *scratch, const td_index *index, uint32_t row, uint64_t leaves);
/* The share of the leaf at `rank` in its items' integer scores. */
int64_t td__tree_base(const td__tree_scratch *scratch, uint64_t rank);
/* Look for so many candidates, after routing. */
void td__tree_scan_start(td__tree_scratch *scratch, uint64_t candidates);
/* Look at leaves [first, end) of that ranking: what `scan` allows `query` goes to
 * scratch->candidates. */
void td__tree_scan(td__tree_scratch *scratch, const td__scan *scan, uint64_t query, uint64_t first,
                   uint64_t end);
float td__tree_distance(const td__tree_scratch *scratch, int64_t least, uint64_t rank);

/* After how many leaves, `done` of them being behind, a search asks again whether it may stop. */
static inline uint64_t td__tree_next(uint64_t done)
{
    return done + 1 + done / 8;
}

TD_MUST_CHECK td_status td__tree_search(void *scratch, const td__scan *scan, uint64_t queries,
                                        td_hit *hits, uint32_t *counts, bool *exactly, td_error *err);

/* --- how much to look at (tree_plan.c) */

/* Nanoseconds that a query takes for so many leaves and candidates, about: constants measured with AVX2, for
 * comparing only. */
double td__tree_cost(const td_index *index, double leaves, double candidates);

/* What a request takes; false: search exactly. */
bool td__tree_plan(const td__scan *scan, td__effort *effort);

/* --- calibration (calibrate.c) */

TD_MUST_CHECK td_status td__tree_calibrate(td_index *index, const td_vectors *queries,
                                           const td_progress_hook *hook, td_error *err);

#endif
