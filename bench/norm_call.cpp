// Measured calls of the operations that have a function of their own.
#include <stdexcept>

#include "bench/device_values.h"
#include "bench/measured_call.h"

namespace normproof::bench {
namespace {

constexpr int kChunkBytes = 16;
// Of the scale, and the weights' deviation: with small weights a sum that is added to thousands of times in
// place stays finite.
constexpr float kSmall = 0x1p-6f;

normproof_tensor matrix(std::byte* data, normproof_dtype dtype, std::int64_t rows, std::int64_t hidden) {
  return {data, dtype, 2, {rows, hidden, 0, 0}, {hidden, 1, 0, 0}};
}

class NormCall final : public MeasuredCall {
 public:
  explicit NormCall(const normproof_measure_request& request) : request_(request) {
    const std::size_t elements = static_cast<std::size_t>(request.rows * request.hidden);
    const std::size_t activation = elements * size_of(request.dtype);
    output_bytes_ = aligned(request.quantizes ? elements : request.adds_residual ? 0 : activation);
    // Scales lie behind the output.
    const std::size_t scales =
        request.scales_rows ? static_cast<std::size_t>(request.rows) * sizeof(float) : 0;
    scales_offset_ = output_bytes_;
    output_bytes_ += aligned(scales);
    matrix_bytes_ = aligned(activation);
    set_bytes_ = matrix_bytes_ * (request.adds_residual ? 2 : 1) + output_bytes_;
    // Read: the activations. Written: the output, and the sum.
    const std::size_t written = request.quantizes ? elements : activation;
    moved_bytes_ = activation * (request.adds_residual ? 3 : 1) + written + scales;
    // The scale lies behind the weight.
    scale_offset_ = aligned(static_cast<std::size_t>(request.hidden) * size_of(request.dtype));
  }

  std::size_t set_bytes() const override { return set_bytes_; }
  std::size_t weight_bytes() const override { return scale_offset_ + kAlignment; }
  std::size_t moved_bytes() const override { return moved_bytes_; }
  int values() const override { return request_.dtype; }

  void fill_sets(std::byte* first, std::size_t stride, std::int64_t sets) const override {
    fill(first, stride * static_cast<std::size_t>(sets), request_.dtype, {});
  }

  void fill_weights(std::byte* weights) const override {
    fill(weights, scale_offset_, request_.dtype, {.deviation = kSmall});
    check(cudaMemcpy(weights + scale_offset_, &kSmall, sizeof kSmall, cudaMemcpyHostToDevice), "scale");
  }

  void enqueue(std::byte* base, std::byte* weights, cudaStream_t stream,
               normproof_launch_report* report) const override {
    const normproof_tensor input = matrix(base, request_.dtype, request_.rows, request_.hidden);
    const normproof_tensor residual =
        matrix(base + matrix_bytes_, request_.dtype, request_.rows, request_.hidden);
    const normproof_tensor out =
        matrix(base + set_bytes_ - output_bytes_, request_.quantizes ? NORMPROOF_FP8_E4M3FN : request_.dtype,
               request_.rows, request_.hidden);
    const normproof_tensor scales =
        matrix(base + set_bytes_ - output_bytes_ + scales_offset_, NORMPROOF_FP32, request_.rows, 1);
    const normproof_tensor weight = {weights, request_.dtype, 1, {request_.hidden, 0, 0, 0}, {1, 0, 0, 0}};
    const auto* scale = reinterpret_cast<const float*>(weights + scale_offset_);
    char text[512] = {};
    const normproof_message message{text, sizeof text};
    if (request_.function != nullptr) {
      const bool has_out = request_.quantizes != 0 || request_.adds_residual == 0;
      const normproof_measured_tensors tensors = {has_out ? &out : nullptr,
                                                  request_.scales_rows != 0 ? &scales : nullptr,
                                                  &input,
                                                  request_.adds_residual != 0 ? &residual : nullptr,
                                                  &weight,
                                                  request_.scales_rows != 0 ? nullptr : scale};
      if (request_.function(request_.context, &tensors, stream, message) != 0) throw std::runtime_error(text);
      return;
    }
    constexpr float kEpsilon = 1e-6f;
    normproof_status status = NORMPROOF_OK;
    if (request_.scales_rows && request_.adds_residual) {
      status = normproof_fused_add_rms_norm_dynamic_quant(&out, &scales, &input, &residual, &weight, nullptr,
                                                          kEpsilon, nullptr, stream, report, message);
    } else if (request_.scales_rows) {
      status = normproof_rms_norm_dynamic_quant(&out, &scales, &input, &weight, nullptr, kEpsilon, nullptr,
                                                stream, report, message);
    } else if (request_.quantizes && request_.adds_residual) {
      status = normproof_fused_add_rms_norm_static_fp8_quant(&out, &input, &residual, &weight, scale,
                                                             kEpsilon, nullptr, stream, report, message);
    } else if (request_.quantizes) {
      status = normproof_rms_norm_static_fp8_quant(&out, &input, &weight, scale, kEpsilon, nullptr, stream,
                                                   report, message);
    } else if (request_.adds_residual) {
      status = normproof_fused_add_rms_norm(&input, &residual, &weight, kEpsilon, nullptr, stream, report,
                                            message);
    } else {
      status = normproof_rms_norm(&out, &input, &weight, kEpsilon, nullptr, stream, report, message);
    }
    if (status != NORMPROOF_OK) throw std::runtime_error(text);
  }

  std::optional<Traffic> traffic(std::byte* base) const override {
    Traffic traffic;
    traffic.input = base;
    traffic.residual = request_.adds_residual ? base + matrix_bytes_ : nullptr;
    const bool in_place = request_.adds_residual && !request_.quantizes;
    traffic.out = in_place ? base : base + set_bytes_ - output_bytes_;
    const auto size = static_cast<std::int64_t>(size_of(request_.dtype));
    traffic.chunks = request_.rows * request_.hidden * size / kChunkBytes;
    traffic.out_bytes = request_.quantizes ? kChunkBytes / static_cast<int>(size) : kChunkBytes;
    return traffic;
  }

 private:
  const normproof_measure_request& request_;
  std::size_t scales_offset_ = 0;  // within the output
  std::size_t matrix_bytes_ = 0, output_bytes_ = 0, set_bytes_ = 0, moved_bytes_ = 0;
  std::size_t scale_offset_ = 0;
};

}  // namespace

std::unique_ptr<MeasuredCall> norm_call(const normproof_measure_request& request) {
  return std::make_unique<NormCall>(request);
}

}  // namespace normproof::bench
