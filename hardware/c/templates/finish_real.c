/* The end of a sum: bias and activation. */
static inline float @name@_finish(@finish_sum_t@ sum@finish_more@)
{
  float value = sum;

  @finish_average@
  @finish_bias@
  @finish_activation@
  return value;
}
