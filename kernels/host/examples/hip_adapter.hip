// hip_norm.hip as a plug-in.
#include "hip_norm.hip"

#include <normproof_torch/adapter.h>

NORMPROOF_TORCH_PLUGIN(
    "HIP waves", NORMPROOF_TAKES_BF16 | NORMPROOF_TAKES_FP16 | NORMPROOF_TAKES_FP32 | NORMPROOF_TAKES_SAME_WEIGHT,
    .rms_norm = [](normproof_torch::Call call) { call.with<__hip_bfloat16, __half, float>([&](auto type) {
      hip_norm::rms_norm<decltype(type)>(call.pointer(call.out), call.pointer(call.input), call.pointer(call.weight),
                                         call.rows(), int(call.columns()), call.out.stride(-2), call.input.stride(-2),
                                         float(call.epsilon), nullptr);
    }); },
    .limits = {.greatest_rank = 2})
