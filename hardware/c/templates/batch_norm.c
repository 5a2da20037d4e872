static void @name@(const @number_t@ *input, @number_t@ *output)
{
  enum { POSITIONS = @positions@, CHANNELS = @channels@ };
  const @number_t@ *kernel = @name@_kernel;

  for (int32_t position = 0; position < POSITIONS; position++) {
    for (int32_t channel = 0; channel < CHANNELS; channel++) {
      const int32_t i = position * CHANNELS + channel;
      const @sum_t@ sum = @input[i] * kernel[channel]@;

      output[i] = @name@_finish(@finish_arguments@);
    }
  }
}
