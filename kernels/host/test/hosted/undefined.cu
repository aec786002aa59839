// A launcher that calls what nobody defines: linking names it (hosted.undefined_symbols). What only a
// function calls that nobody calls is not asked for.
void nobody_defines_this(float* out);
void nobody_defines_that(float* out);

void unused(float* out) { nobody_defines_that(out); }

__attribute__((visibility("default"))) void launch(float* out) { nobody_defines_this(out); }
