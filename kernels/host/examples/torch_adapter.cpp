// torch_norm.cu as a plug-in.
#include <normproof_torch/adapter.h>

void rms_norm(at::Tensor& out, at::Tensor& input, const std::optional<at::Tensor>& weight, double epsilon);
void fused_add_rms_norm(at::Tensor& input, at::Tensor& residual, const std::optional<at::Tensor>& weight,
                        double epsilon);

NORMPROOF_TORCH_PLUGIN(
    "torch operators",
    NORMPROOF_TAKES_BF16 | NORMPROOF_TAKES_FP16 | NORMPROOF_TAKES_FP32 | NORMPROOF_TAKES_NO_WEIGHT |
        NORMPROOF_TAKES_SAME_WEIGHT,
    .rms_norm = [](auto call) { rms_norm(call.out, call.input, call.optional_weight(), call.epsilon); },
    .fused_add_rms_norm =
        [](auto call) {
          fused_add_rms_norm(call.input, call.residual, call.optional_weight(), call.epsilon);
        })
