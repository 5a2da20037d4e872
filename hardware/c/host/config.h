/* What the program of this network does besides running it. */
#ifndef NEUROJAX_CONFIG_H
#define NEUROJAX_CONFIG_H

/* Metrics that it prints, in this order; see metrics.h. */
#define NJ_METRICS @METRICS@

/* 1: the model tells what each layer computed (dump.h), and the program writes files. */
#define NJ_FEATUREMAPS @FEATUREMAPS@

/* The input among the feature maps. */
#define NJ_INPUT_NAME @INPUT_NAME@
#define NJ_INPUT_SHAPE @INPUT_SHAPE@

#endif
