// The functions that a CUDA source or header defines at namespace scope, as far as its tokens tell: for
// `new-target --from`, which writes a call of one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace normproof {

struct SourceParameter {
  std::string type;  // "const float *", without __restrict__
  std::string name;  // empty where it has none
  bool has_default = false;
};

struct SourceFunction {
  std::string result;
  std::string name;                              // with its namespaces: "vllm::rms_norm"
  std::vector<std::string> template_parameters;  // "typename T", "int width"
  std::vector<SourceParameter> parameters;
  bool is_kernel = false;  // __global__
  int line = 1;
};

// Those that the host can call, and kernels. Of the branches of a conditional the first is read, but for
// those that no NVIDIA GPU takes.
std::vector<SourceFunction> functions_of(std::string_view source);

}  // namespace normproof
