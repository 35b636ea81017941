/* codec.h -- vectors as codes of 4 bits a block, and the scores of such codes.
 *
 * Serves: stage 7, the tree.
 *
 * A residual (item minus centre) is cut into blocks of `width` numbers; a block's code names one of the
 * block's 16 codewords. The score of a code for a query is the sum of <query block, codeword>, which is
 * a sum of table entries (kernel/quant.h).
 * Codes are chosen for the items that matter, those with high scores: an error along the item counts
 * eta times an error across it (Guo et al., Accelerating Large-Scale Inference with Anisotropic Vector
 * Quantization, ICML 2020), by coordinate descent over the blocks. */
#ifndef TD_INDEX_CODEC_H
#define TD_INDEX_CODEC_H

#include "base/context.h"
#include "base/status.h"
#include "kernel/quant.h"

typedef struct td__codec {
    td_context *context;
    uint32_t dim;
    uint32_t width;    /* numbers of a block; the last block may have fewer */
    uint32_t blocks;
    uint32_t blocks_padded; /* a multiple of TD__BLOCKS_STEP */
    float eta;
    float *codewords; /* [blocks, width, 16]; zeros past dim */
} td__codec;

TD_MUST_CHECK td_status td__codec_create(td__codec *codec, td_context *context, uint32_t dim,
                                         uint32_t width, float eta, td_error *err);
void td__codec_clear(td__codec *codec);

/* Learn the codewords of each block by k-means on residuals [count, dim], count > 0. */
TD_MUST_CHECK td_status td__codec_train(td__codec *codec, const float *residuals, uint64_t count,
                                        uint64_t seed, td_error *err);

/* Floats of scratch for one encoder. */
uint64_t td__codec_scratch(const td__codec *codec);

/* Codes [blocks] of an item that is at `residual` [dim] from its centre. */
void td__codec_encode(const td__codec *codec, const float *item, const float *residual, float *scratch,
                      uint8_t *codes);

/* Floats of scratch for making tables. */
uint64_t td__codec_entries(const td__codec *codec);

/* Fill tables [blocks_padded, 16]; `entries` [td__codec_entries] is scratch. The scale is at most scale_max. */
td__code_scale td__codec_tables(const td__codec *codec, const float *query, float scale_max,
                                float *entries, uint8_t *tables);

#endif
