/* Where a model that was generated with feature-map dumps hands over what its layers give. */
#ifndef NEUROJAX_DUMP_H
#define NEUROJAX_DUMP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Called after each layer in each step; whoever runs the model defines it.

   layer         name of the layer
   type          what it is
   bits          8, 16 or 32: the values are intN_t; 0: they are float
   scale_factor  an integer n stands for n / 2^scale_factor
   axes, shape   channels last
*/
void neurojax_dump(const char *layer, const char *type, int32_t bits, int32_t scale_factor,
                   int32_t axes, const int32_t *shape, const void *values);

#ifdef __cplusplus
}
#endif

#endif
