static void @name@(@inputs_declared@, @number_t@ *output)
{
  enum { VALUES = @values@ };
  @add_scales@

  for (int32_t i = 0; i < VALUES; i++) {
    @long_t@ sum = 0;

    @additions@
    output[i] = @name@_finish(sum);
  }
}
