static void @name@(const @number_t@ *input, @number_t@ *output)
{
  enum { IN_HEIGHT = @in_height@, IN_WIDTH = @in_width@, CHANNELS = @in_channels@ };
  enum { OUT_HEIGHT = @out_height@, OUT_WIDTH = @out_width@ };
  enum { KERNEL_HEIGHT = @kernel_y@, KERNEL_WIDTH = @kernel_x@ };
  enum { STRIDE_Y = @stride_y@, STRIDE_X = @stride_x@ };
  enum { PADDED = @padded@, PAD_TOP = @pad_y@, PAD_LEFT = @pad_x@ };

  for (int32_t y = 0; y < OUT_HEIGHT; y++) {
    for (int32_t x = 0; x < OUT_WIDTH; x++) {
      for (int32_t channel = 0; channel < CHANNELS; channel++) {
        @pooled_t@ pooled = @start@;

        for (int32_t i = 0; i < KERNEL_HEIGHT; i++) {
          const int32_t row = y * STRIDE_Y + i - PAD_TOP;

          for (int32_t j = 0; j < KERNEL_WIDTH; j++) {
            const int32_t column = x * STRIDE_X + j - PAD_LEFT;

            if (PADDED && (row < 0 || row >= IN_HEIGHT || column < 0 || column >= IN_WIDTH)) {
              continue;
            }
            const @number_t@ value = input[(row * IN_WIDTH + column) * CHANNELS + channel];

            @take@
          }
        }
        output[(y * OUT_WIDTH + x) * CHANNELS + channel] = @name@_finish(pooled);
      }
    }
  }
}
