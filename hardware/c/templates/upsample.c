static void @name@(const @number_t@ *input, @number_t@ *output)
{
  enum { OUT_HEIGHT = @out_height@, OUT_WIDTH = @out_width@, CHANNELS = @in_channels@ };
  enum { IN_WIDTH = @in_width@, FACTOR_Y = @factor_y@, FACTOR_X = @factor_x@ };

  for (int32_t y = 0; y < OUT_HEIGHT; y++) {
    for (int32_t x = 0; x < OUT_WIDTH; x++) {
      const @number_t@ *pixel = &input[(y / FACTOR_Y * IN_WIDTH + x / FACTOR_X) * CHANNELS];

      for (int32_t channel = 0; channel < CHANNELS; channel++) {
        output[(y * OUT_WIDTH + x) * CHANNELS + channel] = pixel[channel];
      }
    }
  }
}
