/* @model@: one time step of a network, one function a layer. Compile this file alone; it holds
   all others. No heap, no library. */
#include <stdint.h>

#include "include/number.h"
#include "include/model.h"
@dump_include@
@layer_includes@

@buffers@

@started@
void @model@_reset(void)
{
  @resets@
}

void @model@(const input_t input, output_t output)
{
  @start@
  @calls@
}
