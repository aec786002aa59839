// The C interface over the C++ interface: converts descriptions, statuses and messages.
#include "kernels/normproof_kernels.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <optional>
#include <vector>

#include "kernels/family/named_call.h"
#include "kernels/rms_norm.h"

namespace normproof::kernels {
namespace {

// Callers may hand in any number where an enumeration is asked for, so it is read as the number that it is.
template <class Enumeration>
std::int32_t number_of(const Enumeration& value) {
  static_assert(sizeof(value) == sizeof(std::int32_t));
  std::int32_t number = 0;
  std::memcpy(&number, &value, sizeof number);
  return number;
}

Tensor from_c(const normproof_tensor& description) {
  Tensor tensor;
  tensor.data = description.data;
  tensor.dtype = static_cast<DType>(number_of(description.dtype));
  tensor.rank = description.rank;
  std::copy(std::begin(description.sizes), std::end(description.sizes), tensor.sizes.begin());
  std::copy(std::begin(description.strides), std::end(description.strides), tensor.strides.begin());
  return tensor;
}

Launch from_c(const normproof_launch* description) {
  if (description == nullptr) return {};
  return {static_cast<Path>(number_of(description->path)), description->threads_per_block};
}

void write(normproof_message message, const std::string& text) {
  if (message.data == nullptr || message.capacity == 0) return;
  const std::size_t length = std::min(text.size(), message.capacity - 1);
  std::copy_n(text.begin(), length, message.data);
  message.data[length] = '\0';
}

// What a call brings along besides its tensors.
struct Surroundings {
  const normproof_launch* launch;
  normproof_launch_report* report;
  normproof_message message;
};

// A tensor description that the caller must give.
struct Required {
  const char* name;
  const normproof_tensor* description;
};

// Runs `operation(launch, report)` once all required descriptions are there;
// reports and keeps exceptions inside.
template <class Operation>
normproof_status call(std::initializer_list<Required> required, const Surroundings& surroundings,
                      const Operation& operation) {
  LaunchReport report;
  Status status;
  try {
    for (const auto& [name, description] : required) {
      if (description == nullptr && status.ok())
        status = {StatusCode::null_pointer, std::string(name) + ": the tensor description is null (0x0)"};
    }
    if (status.ok()) status = operation(from_c(surroundings.launch), &report);
    write(surroundings.message, status.message);
  } catch (const std::exception& error) {
    report = {};
    status.code = StatusCode::launch_failed;
    write(surroundings.message, error.what());
  }
  if (surroundings.report != nullptr) {
    *surroundings.report = {static_cast<normproof_path>(report.path), report.threads_per_block,
                            report.rows_per_block, report.blocks};
  }
  return static_cast<normproof_status>(status.code);
}

// A weight that may be absent.
class Weight {
 public:
  explicit Weight(const normproof_tensor* description) {
    if (description != nullptr) tensor_ = from_c(*description);
  }
  const Tensor* get() const { return tensor_ ? &*tensor_ : nullptr; }

 private:
  std::optional<Tensor> tensor_;
};

}  // namespace
}  // namespace normproof::kernels

using namespace normproof::kernels;  // NOLINT: this file is the C face of the namespace

// NOLINTBEGIN(clang-analyzer-core.NonNullParamChecker): `call` has refused null descriptions before.

normproof_status normproof_rms_norm(const normproof_tensor* out, const normproof_tensor* input,
                                    const normproof_tensor* weight, float epsilon,
                                    const normproof_launch* launch, normproof_stream stream,
                                    normproof_launch_report* report, normproof_message message) {
  return call({{"out", out}, {"input", input}}, {launch, report, message},
              [&](const Launch& choice, LaunchReport* launched) {
                return rms_norm(from_c(*out), from_c(*input), Weight(weight).get(), epsilon, choice, stream,
                                launched);
              });
}

normproof_status normproof_fused_add_rms_norm(const normproof_tensor* input, const normproof_tensor* residual,
                                              const normproof_tensor* weight, float epsilon,
                                              const normproof_launch* launch, normproof_stream stream,
                                              normproof_launch_report* report, normproof_message message) {
  return call({{"input", input}, {"residual", residual}}, {launch, report, message},
              [&](const Launch& choice, LaunchReport* launched) {
                return fused_add_rms_norm(from_c(*input), from_c(*residual), Weight(weight).get(), epsilon,
                                          choice, stream, launched);
              });
}

normproof_status normproof_rms_norm_static_fp8_quant(const normproof_tensor* out,
                                                     const normproof_tensor* input,
                                                     const normproof_tensor* weight, const float* scale,
                                                     float epsilon, const normproof_launch* launch,
                                                     normproof_stream stream, normproof_launch_report* report,
                                                     normproof_message message) {
  return call({{"out", out}, {"input", input}}, {launch, report, message},
              [&](const Launch& choice, LaunchReport* launched) {
                return rms_norm_static_fp8_quant(from_c(*out), from_c(*input), Weight(weight).get(), scale,
                                                 epsilon, choice, stream, launched);
              });
}

normproof_status normproof_fused_add_rms_norm_static_fp8_quant(
    const normproof_tensor* out, const normproof_tensor* input, const normproof_tensor* residual,
    const normproof_tensor* weight, const float* scale, float epsilon, const normproof_launch* launch,
    normproof_stream stream, normproof_launch_report* report, normproof_message message) {
  return call({{"out", out}, {"input", input}, {"residual", residual}}, {launch, report, message},
              [&](const Launch& choice, LaunchReport* launched) {
                return fused_add_rms_norm_static_fp8_quant(from_c(*out), from_c(*input), from_c(*residual),
                                                           Weight(weight).get(), scale, epsilon, choice,
                                                           stream, launched);
              });
}

normproof_status normproof_rms_norm_dynamic_quant(const normproof_tensor* out, const normproof_tensor* scales,
                                                  const normproof_tensor* input,
                                                  const normproof_tensor* weight, const float* scale_ub,
                                                  float epsilon, const normproof_launch* launch,
                                                  normproof_stream stream, normproof_launch_report* report,
                                                  normproof_message message) {
  return call({{"out", out}, {"scales", scales}, {"input", input}}, {launch, report, message},
              [&](const Launch& choice, LaunchReport* launched) {
                return rms_norm_dynamic_quant(from_c(*out), from_c(*scales), from_c(*input),
                                              Weight(weight).get(), scale_ub, epsilon, choice, stream,
                                              launched);
              });
}

normproof_status normproof_fused_add_rms_norm_dynamic_quant(
    const normproof_tensor* out, const normproof_tensor* scales, const normproof_tensor* input,
    const normproof_tensor* residual, const normproof_tensor* weight, const float* scale_ub, float epsilon,
    const normproof_launch* launch, normproof_stream stream, normproof_launch_report* report,
    normproof_message message) {
  return call({{"out", out}, {"scales", scales}, {"input", input}, {"residual", residual}},
              {launch, report, message}, [&](const Launch& choice, LaunchReport* launched) {
                return fused_add_rms_norm_dynamic_quant(from_c(*out), from_c(*scales), from_c(*input),
                                                        from_c(*residual), Weight(weight).get(), scale_ub,
                                                        epsilon, choice, stream, launched);
              });
}

normproof_status normproof_run(const normproof_named_call* named, const normproof_launch* launch,
                               normproof_stream stream, normproof_launch_report* report,
                               normproof_message message) {
  return call({}, {launch, report, message}, [&](const Launch& choice, LaunchReport* launched) -> Status {
    if (named == nullptr || named->operation == nullptr)
      return {StatusCode::null_pointer, "operation: the name is null (0x0)"};
    std::vector<NamedTensor> tensors;
    std::vector<NamedNumber> numbers;
    for (std::size_t i = 0; i < named->tensor_count; ++i) {
      if (named->tensors[i].role == nullptr)
        return {StatusCode::null_pointer, "tensor " + std::to_string(i) + ": its role is null (0x0)"};
      tensors.push_back({named->tensors[i].role, from_c(named->tensors[i].tensor)});
    }
    for (std::size_t i = 0; i < named->number_count; ++i) {
      if (named->numbers[i].name == nullptr)
        return {StatusCode::null_pointer, "number " + std::to_string(i) + ": its name is null (0x0)"};
      numbers.push_back({named->numbers[i].name, named->numbers[i].value});
    }
    return run(NamedCall{named->operation, tensors, numbers, choice}, stream, launched);
  });
}

const char* const* normproof_named_operations(void) {
  static const std::vector<const char*> kNames = [] {
    std::vector<const char*> names;
    for (const FamilyOperation& row : family_operations()) names.push_back(row.name.data());
    names.push_back(nullptr);
    return names;
  }();
  return kNames.data();
}

// NOLINTEND(clang-analyzer-core.NonNullParamChecker)

void normproof_set_thread_order(int32_t order, uint64_t seed) { set_thread_order(order, seed); }

const char* normproof_kernels_backend(void) { return backend(); }
