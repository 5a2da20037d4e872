/* @about@ */
#include <stdint.h>

#include "include/number.h"
#include "include/@name@.h"
@weights_include@

@functions@
