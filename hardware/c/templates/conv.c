static void @name@(const @number_t@ *input, @number_t@ *output)
{
  enum { IN_HEIGHT = @in_height@, IN_WIDTH = @in_width@, IN_CHANNELS = @in_channels@ };
  enum { OUT_HEIGHT = @out_height@, OUT_WIDTH = @out_width@, OUT_CHANNELS = @out_channels@ };
  enum { KERNEL_HEIGHT = @kernel_y@, KERNEL_WIDTH = @kernel_x@ };
  enum { STRIDE_Y = @stride_y@, STRIDE_X = @stride_x@ };
  enum { DILATION_Y = @dilation_y@, DILATION_X = @dilation_x@ };
  enum { PADDED = @padded@, PAD_TOP = @pad_y@, PAD_LEFT = @pad_x@ };
  enum { GROUP_IN = @group_in@, GROUP_OUT = @group_out@ }; /* channels of a group */
  enum { KERNEL = KERNEL_HEIGHT * KERNEL_WIDTH * GROUP_IN };

  for (int32_t y = 0; y < OUT_HEIGHT; y++) {
    for (int32_t x = 0; x < OUT_WIDTH; x++) {
      for (int32_t channel = 0; channel < OUT_CHANNELS; channel++) {
        const int32_t first = channel / GROUP_OUT * GROUP_IN;
        const @number_t@ *kernel = &@name@_kernel[channel * KERNEL];
        @sum_t@ sum = 0;

        for (int32_t i = 0; i < KERNEL_HEIGHT; i++) {
          const int32_t row = y * STRIDE_Y + i * DILATION_Y - PAD_TOP;

          for (int32_t j = 0; j < KERNEL_WIDTH; j++) {
            const int32_t column = x * STRIDE_X + j * DILATION_X - PAD_LEFT;

            if (PADDED && (row < 0 || row >= IN_HEIGHT || column < 0 || column >= IN_WIDTH)) {
              continue;
            }
            const @number_t@ *pixel = &input[(row * IN_WIDTH + column) * IN_CHANNELS + first];
            const @number_t@ *weight = &kernel[(i * KERNEL_WIDTH + j) * GROUP_IN];

            for (int32_t k = 0; k < GROUP_IN; k++) {
              sum += @pixel[k] * weight[k]@;
            }
          }
        }
        output[(y * OUT_WIDTH + x) * OUT_CHANNELS + channel] = @name@_finish(@finish_arguments@);
      }
    }
  }
}
