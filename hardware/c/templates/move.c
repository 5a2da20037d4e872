static void @name@(const @number_t@ *input, @number_t@ *output)
{
  enum { VALUES = @values@ };

  for (int32_t i = 0; i < VALUES; i++) {
    output[i] = input[@name@_index[i]];
  }
}
