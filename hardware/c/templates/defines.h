/* What the caller of @model@ has to know about its numbers: an integer n stands for
   n / 2^MODEL_INPUT_SCALE_FACTOR, resp. n / 2^MODEL_OUTPUT_SCALE_FACTOR.
   One model a source file: the names are the same for all models. */
#ifndef NEUROJAX_@MODEL@_DEFINES_H
#define NEUROJAX_@MODEL@_DEFINES_H

#include "number.h"

#define MODEL_NAME @model@
#define MODEL_NAME_TEXT "@model@"
#define MODEL_FLOAT @is_real@

#ifndef MODEL_INPUT_TIMESTEPS
#define MODEL_INPUT_TIMESTEPS @timesteps@
#endif
#define MODEL_INPUT_TIMESTEP_MODE_@timestep_mode@

@input_dims@
#define MODEL_INPUT_DIMS @input_product@
#define MODEL_INPUT_SCALE_FACTOR @input_scale@
#define MODEL_INPUT_ROUND_MODE @input_mode@
#define MODEL_INPUT_NUMBER_T @number_t@
#define MODEL_INPUT_LONG_NUMBER_T @long_t@
@input_limits@

#define MODEL_OUTPUT_SAMPLES @output_samples@
#define MODEL_OUTPUT_DIMS @output_product@
#define MODEL_OUTPUT_SCALE_FACTOR @output_scale@
#define MODEL_OUTPUT_ROUND_MODE @output_mode@
#define MODEL_OUTPUT_NUMBER_T @number_t@
#define MODEL_OUTPUT_LONG_NUMBER_T @long_t@
@output_limits@

#endif
