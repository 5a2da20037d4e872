/* How good a network is on a set of samples with known answers.
 *
 * acc    share of the samples whose largest output is that of the largest expected value
 * mae    mean of |predicted - expected| over samples and outputs
 * mse    mean of (predicted - expected)^2
 * mape   mean of |predicted - expected| / |expected|
 * corr   Pearson's correlation of predicted and expected values, mean over the outputs
 * slope  of the line predicted = slope * expected + offset (least squares), mean over the outputs
 */
#ifndef NEUROJAX_METRICS_H
#define NEUROJAX_METRICS_H

#include "model.h"

#include <stddef.h>

#define METRICS_OUTPUTS (sizeof(output_t) / sizeof(MODEL_OUTPUT_NUMBER_T))

typedef struct {
    double mean_p, mean_e; /* of what was predicted and of what was expected */
    double pp, ee, pe;     /* sums of products of deviations from the means */
} nj_moments_t;

typedef struct {
    size_t count, right;
    double absolute, squared, relative, qualia_absolute, qualia_squared;
    nj_moments_t moments[METRICS_OUTPUTS];
} nj_metrics_t; /* starts as zeros */

void nj_metrics_update(nj_metrics_t *m, const double predicted[], const float expected[],
                       int like_qualia);
double nj_metrics_compute(const nj_metrics_t *m, const char *name, int like_qualia);
void nj_metrics_print(const nj_metrics_t *m, int like_qualia);

#endif
