/* @model@: a network as a C function. */
#ifndef NEUROJAX_@MODEL@_MODEL_H
#define NEUROJAX_@MODEL@_MODEL_H

#include <stdint.h>

#include "defines.h"
#include "@output_header@"

/* @input_about@ */
typedef MODEL_INPUT_NUMBER_T input_t[MODEL_INPUT_DIMS];

/* @output_about@ */
typedef @output_type@ output_t;

#ifdef __cplusplus
extern "C" {
#endif

/* One time step. Membranes stay as they are until the next call. Not to be called by two threads
   at once: all memory is static. */
void @model@(const input_t input, output_t output);

/* Membranes as at the beginning, for the next sample. */
void @model@_reset(void);

#ifdef __cplusplus
}
#endif

static inline void reset(void)
{
  @model@_reset();
}

#endif
