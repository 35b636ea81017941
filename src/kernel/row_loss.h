/* row_loss.h -- losses on the scores of one row that are no softmax: pairwise and pointwise.
 *
 * Serves: stage 4, as the other way of softmax.c. In: the scores of a row against all columns. Out: the
 * loss of its entries, and the slope of every score, from which the gradients follow as for the softmax.
 *
 * With p the score of an entry, s[k] the scores of the negatives, n[k] how often each counts, N the sum
 * of n: the row's own positives are never negatives. Scores are divided by the temperature already.
 *
 *     ccl      1 - p  +  weight / N  sum n[k] max(0, s[k] - margin)     cosine contrastive loss; Mao et
 *                                                                      al., CIKM 2021 (SimpleX)
 *     bpr      1 / N  sum n[k] ln(1 + exp(s[k] - p))                    Rendle et al., UAI 2009
 *     hinge    1 / N  sum n[k] max(0, margin - p + s[k])
 *     warp     ln(1 + V) / V  sum n[k] max(0, margin - p + s[k])        V the sum of n over the violators;
 *                                                                      Weston et al., IJCAI 2011, with the
 *                                                                      rank counted instead of sampled and
 *                                                                      ln for the harmonic sum
 *     sigmoid  ln(1 + exp(-p))  +  weight / N  sum n[k] ln(1 + exp(s[k]))
 *
 * Every float is computed alone and every sum has a fixed order: the same bits on every machine. */
#ifndef TD_KERNEL_ROW_LOSS_H
#define TD_KERNEL_ROW_LOSS_H

#include "tandem/tandem.h"

typedef struct td__row_loss {
    td_loss kind; /* not TD_LOSS_SOFTMAX */
    float margin, negative_weight;
} td__row_loss;

/* What the loss knows of an entry. */
typedef struct td__loss_entry {
    double score, loss, slope;
    double scale; /* of its negatives' slopes */
} td__loss_entry;

typedef struct td__loss_row {
    float *scores; /* panel p of TD__PANEL columns starts at scores + p * step; becomes the slopes */
    size_t step;
    uint32_t panels;
    const float *counts;    /* [panels * TD__PANEL] n; 0 where there is no column */
    double count_sum;       /* of all counts */
    const uint32_t *column; /* [entries] */
    const float *weight;    /* [entries] or NULL: 1 */
    double weight_scale;
    uint32_t entries;
    td__loss_entry *entry;  /* [entries] filled: loss without weight_scale */
} td__loss_row;

/* Returns the sum of weight * weight_scale * loss. A row without entries gets slopes of 0. */
double td__row_loss_compute(const td__row_loss *loss, td__loss_row *row);

#endif
