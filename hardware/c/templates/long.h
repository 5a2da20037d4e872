
/* Sums of @long@ bits. They wrap around, as registers do, which C leaves undefined for signed
   integers and promises for unsigned ones. */
#ifndef NEUROJAX_LONG@long@
#define NEUROJAX_LONG@long@
static inline int@long@_t nj@long@_wrap(uint32_t bits)
{
  const uint32_t low = bits & @mask@u;
  return (int@long@_t)(low <= @max@u ? (int32_t)low : -1 - (int32_t)(@mask@u - low));
}

static inline int@long@_t nj@long@_add(int@long@_t a, int@long@_t b)
{
  return nj@long@_wrap((uint32_t)a + (uint32_t)b);
}

static inline int@long@_t nj@long@_subtract(int@long@_t a, int@long@_t b)
{
  return nj@long@_wrap((uint32_t)a - (uint32_t)b);
}

/* x / 2^places, |places| < @long@; towards minus infinity, or to the nearest integer. */
static inline int@long@_t nj@long@_scale(int@long@_t x, int places, int round_mode)
{
  if (places <= 0) {
    return nj@long@_wrap((uint32_t)x << -places);
  }
  if (round_mode == ROUND_MODE_NEAREST) {
    x = nj@long@_wrap((uint32_t)x + ((uint32_t)1 << (places - 1)));
  }
  /* The shift of a negative number is the compiler's choice in C, this is not. */
  return (int@long@_t)(x < 0 ? -1 - ((-1 - x) >> places) : x >> places);
}

/* a b / 2^places of the exact product, 0 <= places < @long@. */
static inline int@long@_t nj@long@_multiply(int@long@_t a, int16_t b, int places, int round_mode)
{
  int64_t x = (int64_t)a * b;

  if (places > 0 && round_mode == ROUND_MODE_NEAREST) {
    x += (int64_t)1 << (places - 1);
  }
  return nj@long@_wrap((uint32_t)(x < 0 ? -1 - ((-1 - x) >> places) : x >> places));
}
#endif
