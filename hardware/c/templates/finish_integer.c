/* The end of a sum: scales, bias, activation, saturation. */
static inline @number_t@ @name@_finish(@finish_sum_t@ sum@finish_more@)
{
  @finish_scales@
  @long_t@ value = @sum_to_long@;

  @finish_average@
  @finish_bias@
  @finish_activation@
  return nj@long@_store@bits@(nj@long@_scale(value, SUM_Q - OUTPUT_Q, ROUND));
}
