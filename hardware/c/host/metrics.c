#include "metrics.h"

#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void nj_metrics_update(nj_metrics_t *m, const double predicted[], const float expected[],
                       int like_qualia) {
    size_t best = 0, right = 0;
    double total = 0.0;
    m->count++;
    for (size_t i = 0; i < METRICS_OUTPUTS; i++) {
        const double p = predicted[i], e = (double)expected[i];
        best = p > predicted[best] ? i : best;
        right = expected[i] > expected[right] ? i : right;
        total += p - e;
        m->absolute += fabs(p - e);
        m->squared += (p - e) * (p - e);
        m->relative += fabs(p - e) / fmax(fabs(e), 1.17e-06); /* the limit of torchmetrics */

        /* Means and sums of squared deviations, one sample after another (Welford, 1962). */
        nj_moments_t *s = &m->moments[i];
        const double n = (double)m->count, dp = p - s->mean_p, de = e - s->mean_e;
        s->mean_p += dp / n;
        s->mean_e += de / n;
        s->pp += dp * (p - s->mean_p);
        s->ee += de * (e - s->mean_e);
        s->pe += dp * (e - s->mean_e);
    }
    m->right += best == right;
    if (like_qualia) { /* Qualia adds up the errors of a sample before their magnitude or square */
        m->qualia_absolute += fabs(total);
        m->qualia_squared += total * total;
    }
}

static double nj_mean_over_outputs(const nj_metrics_t *m, int slope, int like_qualia) {
    const size_t outputs = like_qualia ? 1 : METRICS_OUTPUTS; /* Qualia reports the first output */
    double total = 0.0;
    for (size_t i = 0; i < outputs; i++) {
        const nj_moments_t *s = &m->moments[i];
        total += s->pe / (slope ? s->ee : sqrt(s->pp) * sqrt(s->ee));
    }
    return total / (double)outputs;
}

double nj_metrics_compute(const nj_metrics_t *m, const char *name, int like_qualia) {
    const double samples = (double)m->count, values = samples * METRICS_OUTPUTS;
    if (strcmp(name, "acc") == 0) {
        return (double)m->right / samples;
    }
    if (strcmp(name, "mae") == 0) {
        return (like_qualia ? m->qualia_absolute : m->absolute) / values;
    }
    if (strcmp(name, "mse") == 0) {
        return (like_qualia ? m->qualia_squared : m->squared) / values;
    }
    if (strcmp(name, "mape") == 0) {
        return m->relative / values;
    }
    return nj_mean_over_outputs(m, strcmp(name, "slope") == 0, like_qualia); /* slope, corr */
}

void nj_metrics_print(const nj_metrics_t *m, int like_qualia) {
    static const char *const names[] = {NJ_METRICS NULL};
    for (const char *const *name = names; *name != NULL; name++) {
        fprintf(stderr, "%s=%.9g\n", *name, nj_metrics_compute(m, *name, like_qualia));
    }
}
