static void @name@(const @number_t@ *input, @number_t@ *output)
{
  enum { INPUTS = @inputs@, OUTPUTS = @outputs@ };

  for (int32_t channel = 0; channel < OUTPUTS; channel++) {
    const @number_t@ *kernel = &@name@_kernel[channel * INPUTS];
    @sum_t@ sum = 0;

    for (int32_t i = 0; i < INPUTS; i++) {
      sum += @input[i] * kernel[i]@;
    }
    output[channel] = @name@_finish(@finish_arguments@);
  }
}
