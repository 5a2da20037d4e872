static float @name@_v[@values@]; /* membranes */

static void @name@_reset(void)
{
  for (int32_t i = 0; i < @values@; i++) {
    @name@_v[i] = @v_start@;
  }
}

static void @name@(const float *input, float *output)
{
  enum { NEURONS = @values@ };
  const float threshold = @name@_threshold;

  for (int32_t i = 0; i < NEURONS; i++) {
    const float before = @name@_v[i];
    const float charge = input[i];
    @charge@

    if (v >= threshold) {
      @reset@
      output[i] = 1.0f;
    } else {
      @name@_v[i] = v;
      output[i] = 0.0f;
    }
  }
}
