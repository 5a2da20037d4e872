/* Numbers of the model. An integer n stands for n / 2^q; each layer has a q of its own. */
#ifndef NEUROJAX_ROUND_MODES
#define NEUROJAX_ROUND_MODES
#define ROUND_MODE_NONE 0
#define ROUND_MODE_FLOOR 1
#define ROUND_MODE_NEAREST 2 /* halves go up */
#endif
