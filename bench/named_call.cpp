// Measured calls by name: the tensors that the call lists, each packed.
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/device_values.h"
#include "bench/measured_call.h"

namespace normproof::bench {
namespace {

std::size_t bytes_of(const normproof_measured_tensor& tensor) {
  std::size_t bytes = size_of(tensor.dtype);
  for (std::int32_t i = 0; i < tensor.rank; ++i) bytes *= static_cast<std::size_t>(tensor.sizes[i]);
  return bytes;
}

Distribution distribution_of(normproof_measured_values values) {
  constexpr float kNear = 0x1p-6f;
  switch (values) {
    case NORMPROOF_VALUES_UNIT:
      return {.uniform = true};
    case NORMPROOF_VALUES_NEAR_ZERO:
      return {.deviation = kNear};
    case NORMPROOF_VALUES_NEAR_ONE:
      return {.uniform = true, .center = 1, .deviation = kNear};
    case NORMPROOF_VALUES_NONE:
    case NORMPROOF_VALUES_NORMAL:
      break;
  }
  return {};
}

class NamedCall final : public MeasuredCall {
 public:
  explicit NamedCall(const normproof_measured_call& call) : call_(call) {
    for (std::size_t i = 0; i < call.tensor_count; ++i) {
      const normproof_measured_tensor& tensor = call.tensors[i];
      const std::size_t bytes = bytes_of(tensor);
      moved_bytes_ += bytes;
      std::size_t& end = tensor.is_weight ? weight_bytes_ : set_bytes_;
      if (tensor.in_place_of >= 0) {
        const auto other = static_cast<std::size_t>(tensor.in_place_of);
        if (other >= i || call.tensors[other].is_weight || bytes_of(call.tensors[other]) != bytes)
          throw std::runtime_error(std::string(tensor.role) + ": it cannot lie where another tensor does");
        offsets_.push_back(offsets_[other]);
        continue;
      }
      offsets_.push_back(end);
      end += aligned(bytes);
    }
  }

  std::size_t set_bytes() const override { return set_bytes_; }
  std::size_t weight_bytes() const override { return weight_bytes_; }
  std::size_t moved_bytes() const override { return moved_bytes_; }

  void fill_sets(std::byte* first, std::size_t stride, std::int64_t sets) const override {
    for (std::int64_t set = 0; set < sets; ++set)
      fill_tensors(first + static_cast<std::size_t>(set) * stride, false);
  }
  void fill_weights(std::byte* weights) const override { fill_tensors(weights, true); }

  void enqueue(std::byte* set, std::byte* weights, cudaStream_t stream,
               normproof_launch_report* report) const override {
    std::vector<normproof_named_tensor> tensors;
    for (std::size_t i = 0; i < call_.tensor_count; ++i) {
      const normproof_measured_tensor& measured = call_.tensors[i];
      normproof_tensor tensor{};
      tensor.data = (measured.is_weight ? weights : set) + offsets_[i];
      tensor.dtype = measured.dtype;
      tensor.rank = measured.rank;
      std::int64_t stride = 1;
      for (std::int32_t dim = measured.rank; dim-- > 0; stride *= measured.sizes[dim]) {
        tensor.sizes[dim] = measured.sizes[dim];
        tensor.strides[dim] = stride;
      }
      tensors.push_back({measured.role, tensor});
    }
    const normproof_named_call call{call_.operation, tensors.data(), tensors.size(), call_.numbers,
                                    call_.number_count};
    char text[512] = {};
    if (normproof_run(&call, nullptr, stream, report, {text, sizeof text}) != NORMPROOF_OK)
      throw std::runtime_error(text);
  }

 private:
  void fill_tensors(std::byte* begin, bool weights) const {
    for (std::size_t i = 0; i < call_.tensor_count; ++i) {
      const normproof_measured_tensor& tensor = call_.tensors[i];
      if ((tensor.is_weight != 0) != weights || tensor.values == NORMPROOF_VALUES_NONE) continue;
      fill(begin + offsets_[i], bytes_of(tensor), tensor.dtype, distribution_of(tensor.values));
    }
  }

  const normproof_measured_call& call_;
  std::vector<std::size_t> offsets_;  // in a set, or among the weights
  std::size_t set_bytes_ = 0, weight_bytes_ = kAlignment, moved_bytes_ = 0;
};

}  // namespace

std::unique_ptr<MeasuredCall> named_call(const normproof_measured_call& call) {
  return std::make_unique<NamedCall>(call);
}

}  // namespace normproof::bench
