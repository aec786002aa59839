// Drift: what becomes of one ulp. A stack of pre-norm residual layers is run twice, once with the contract's
// norm and once with another, and the two are compared layer by layer. The weights are random: it shows how
// rounding differences spread through residuals and matrix products, not what a trained model makes of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "oracle/judged/operation.h"
#include "oracle/policy.h"
#include "properties/targets/target.h"

namespace normproof::drift {

// The other norm: a policy or a target.
struct Subject {
  oracle::Policy policy;
  Target* target = nullptr;  // where there is one, it runs the norms and `policy` says nothing
  // Where there is one, a backward pass follows; of rms_norm_backward.
  std::optional<oracle::judged::Policy> gradient = {};
};

struct Model {
  DType dtype = DType::bf16;  // of activations, weights and norm weights
  std::int64_t hidden_size = 1024;
  std::int64_t layers = 32;
  std::int64_t tokens = 256;
  std::int64_t vocabulary = 1024;
  std::uint32_t epsilon_bits = 0x358637bd;  // fp32 bits, here 1e-6
  std::uint64_t seed = 1;
};

// How two tensors of numbers differ.
struct Difference {
  double largest = 0;  // of the absolute differences
  double mean = 0;
  double share = 0;  // of the elements whose bits differ, 0 to 1
};

// What the backward pass finds at the norm of one layer.
struct GradientDrift {
  Difference stream;  // the gradient of what the norm read
  Difference weight;  // that of its weight
};

// After the norm of one layer.
struct LayerDrift {
  Difference norm;      // its output
  Difference residual;  // the stream that it read
  double agreement =
      0;  // share of the tokens for which both outputs, projected on the vocabulary, have the same arg-max
  std::optional<GradientDrift> gradient = {};
};

// Layer l of H = hidden_size computes
//   residual = rnd_T(residual + delta); y = rms_norm(residual) * g, as fused_add_rms_norm does
//   delta = rnd_T(rnd_T(max(0, y * U)) * D)
// with U, D of H x H from N(0, 2 / H) and N(0, 1 / H), g from 1 + 0.1 N, the first residual from N(0, 1).
// Products are added in fp32 in the order of the columns; everything but the norm is the same in both runs
// and on every machine. The backward pass begins with a gradient from N(0, 1) of the last residual, the same
// in both runs. With G that of the stream behind layer l:
//   inner = rnd_T(G * D^T) where the ReLU gave more than 0; dy = rnd_T(inner * U^T)
//   G, dg = rms_norm_backward(dy, residual, g, rstd), G being added before dx is rounded
// rstd is the contract's, of the residual of the run. `progress` is told how many layers are done. Throws
// TargetError where the target does not give outputs, std::invalid_argument where a size is not positive.
std::vector<LayerDrift> measure(const Model& model, const Subject& subject, int threads,
                                const std::function<void(std::int64_t layers)>& progress = {});

// A table with a line per layer and a summary.
std::string to_text(const std::vector<LayerDrift>& layers);
std::string to_json(const Model& model, const std::string& subject, const std::vector<LayerDrift>& layers);
std::string to_svg(const std::string& subject, const std::vector<LayerDrift>& layers);

}  // namespace normproof::drift
