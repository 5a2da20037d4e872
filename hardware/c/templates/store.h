
/* Saturation of a sum of @long@ bits, so that it can be stored in @bits@. */
#ifndef NEUROJAX_LONG@long@_STORE@bits@
#define NEUROJAX_LONG@long@_STORE@bits@
static inline int@bits@_t nj@long@_store@bits@(int@long@_t x)
{
  return (int@bits@_t)(@clamped@);
}
#endif
