// A launcher that calls what nobody defines: linking names it (hosted.undefined_symbols).
void nobody_defines_this(float* out);

__attribute__((visibility("default"))) void launch(float* out) { nobody_defines_this(out); }
