// From the functions of a CUDA source to the adapter that calls its norms: which operation each is, what each
// of its parameters is, and the text. For `new-target --from`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/source_functions.h"

namespace normproof {

// One call of the adapter.
struct AdaptedOperation {
  std::string operation;  // "rms_norm"
  std::string function;   // as it is called: "vllm::rms_norm"
  std::string signature;  // by what the parameters are: "out, input, weight, epsilon"
  std::string order_of;   // the project whose argument order that is; empty where none is known for it
  std::vector<std::string> assumed;  // "enable_pdl = false": set without knowing
  std::vector<std::string> others;   // functions that would do as well
};

struct NormAdapter {
  std::vector<AdaptedOperation> operations;
  std::vector<std::string> not_used;  // "layer_norm: another operation"
  std::string limits;                 // ".contiguous = true"; empty where the source seems to have none
  bool epsilon_is_fixed = false;      // no parameter is one
  std::string text;                   // of adapter.cu; empty where there is no operation
};

// `source_name` is what the adapter includes, `name` that of the plug-in. In HIP fp8 is that of one zero.
NormAdapter adapter_of(std::string_view source, const std::string& source_name, const std::string& name,
                       bool hip = false);

}  // namespace normproof
