/* Feature maps as files DIR/<sample>/<time step>/<layer>.json, from the model's calls of
 * neurojax_dump (dump.h). */
#ifndef NEUROJAX_FEATUREMAPS_H
#define NEUROJAX_FEATUREMAPS_H

#include <stddef.h>

void nj_featuremaps_into(const char *directory);
void nj_featuremaps_step(size_t step); /* the model is about to compute this time step */
void nj_featuremaps_next_sample(void);

#endif
