static @number_t@ @name@_v[@values@]; /* membranes */

static void @name@_reset(void)
{
  for (int32_t i = 0; i < @values@; i++) {
    @name@_v[i] = @v_start@;
  }
}

static void @name@(const @number_t@ *input, @number_t@ *output)
{
  enum { NEURONS = @values@, SPIKE = @spike@ };
  @scales@
  const @long_t@ threshold = nj@long@_scale(@name@_threshold, MEMBRANE_Q - SUM_Q, ROUND);
  @rest@

  for (int32_t i = 0; i < NEURONS; i++) {
    const @long_t@ before = nj@long@_scale(@name@_v[i], MEMBRANE_Q - SUM_Q, ROUND);
    const @long_t@ charge = nj@long@_scale(input[i], INPUT_Q - SUM_Q, ROUND);
    @charge@

    if (v >= threshold) {
      @reset@
      output[i] = SPIKE;
    } else {
      @name@_v[i] = nj@long@_store@bits@(nj@long@_scale(v, SUM_Q - MEMBRANE_Q, ROUND));
      output[i] = 0;
    }
  }
}
