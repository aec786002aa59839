"""What arguments may be, for type checkers: they refuse `dtype="bf15"` and complete the names of policies."""
from __future__ import annotations

from typing import Any, Callable, Literal, Protocol, Union

Operation = Literal["rms_norm", "fused_add_rms_norm", "rms_norm_static_fp8_quant", "fused_add_rms_norm_static_fp8_quant",
                    "rms_norm_dynamic_quant", "fused_add_rms_norm_dynamic_quant"]
JudgedOperation = Literal["layer_norm", "fused_add_layer_norm", "rms_norm_backward", "layer_norm_backward", "qk_norm_rope",
                          "rms_norm_block_quant", "fused_add_rms_norm_block_quant", "rms_norm_mx_quant", "fused_add_rms_norm_mx_quant",
                          "rms_norm_nvfp4_quant", "fused_add_rms_norm_nvfp4_quant", "layer_norm_static_fp8_quant",
                          "fused_add_layer_norm_static_fp8_quant", "layer_norm_dynamic_quant", "fused_add_layer_norm_dynamic_quant",
                          "gated_rms_norm", "grouped_rms_norm"]
"""Judged where outputs are given, or a plug-in runs them; none of them is called from here."""
WatchedOperation = Literal[Operation, "layer_norm", "fused_add_layer_norm", "gated_rms_norm"]
"""What the norms of a model that is watched compute."""
ActivationName = Literal["bf16", "fp16", "fp32"]
QuantizedName = Literal["fp8_e4m3fn", "fp8_e5m2", "fp8_e4m3fnuz", "fp8_e5m2fnuz"]
FrameworkActivationName = Literal["bfloat16", "float16", "float32"]
FrameworkQuantizedName = Literal["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"]


class _HasItemsize(Protocol):
    """numpy.dtype, torch.dtype."""
    @property
    def itemsize(self) -> int: ...


class _HasDtype(Protocol):
    """jax.numpy.bfloat16."""
    @property
    def dtype(self) -> Any: ...


_FrameworkDType = Union[_HasItemsize, _HasDtype, "type[Any]"]
ActivationDType = Union[ActivationName, FrameworkActivationName, _FrameworkDType]
"""A name in the contract or in a framework, numpy.dtype("float16"), numpy.float32, ml_dtypes.bfloat16, torch.bfloat16, jax.numpy.bfloat16."""
QuantizedDType = Union[QuantizedName, FrameworkQuantizedName, _FrameworkDType]
CodeDType = Union[QuantizedDType, Literal["int8"]]
"""int8, too, where each row gets a scale of its own."""
AnyDType = Union[ActivationDType, CodeDType, Literal["uint8"]]
"""uint8: bytes that are powers of two (e8m0), or two codes of e2m1 each."""
WeightDType = Union[Literal["same"], ActivationDType, None]
"""Of the weight: the activations' ("same"), fp32, or None for a norm without a weight."""

PolicyName = Literal[
    "native", "apex.rms_norm", "deepspeed.rms_norm", "flashinfer.rms_norm", "flashinfer.gemma_rms_norm",
    "flashinfer.fused_add_rms_norm", "flashinfer.rms_norm_static_fp8_quant", "flashinfer.fused_add_rms_norm_static_fp8_quant",
    "gemma.rms_norm", "hugging_face.llama_rms_norm", "liger.rms_norm", "liger.rms_norm_none", "liger.fused_add_rms_norm",
    "onnx.rms_norm", "openvino.rms_norm", "pytorch.rms_norm", "quack.rms_norm", "quack.fused_add_rms_norm", "sglang.rms_norm",
    "tensorrt_llm.rms_norm", "transformer_engine.rms_norm", "vllm.rms_norm", "vllm.fused_add_rms_norm",
    "vllm.rms_norm_static_fp8_quant", "vllm.fused_add_rms_norm_static_fp8_quant", "vllm.rms_norm_dynamic_quant",
    "vllm.fused_add_rms_norm_dynamic_quant", "vllm_int8.rms_norm_dynamic_quant",
    "vllm_int8.fused_add_rms_norm_dynamic_quant", "vllm_fast_math.rms_norm_dynamic_quant",
    "vllm_fast_math.fused_add_rms_norm_dynamic_quant", "vllm_rocm.rms_norm_dynamic_quant",
    "vllm_rocm.fused_add_rms_norm_dynamic_quant", "vllm_rocm.rms_norm_static_fp8_quant", "vllm_rocm.fused_add_rms_norm_static_fp8_quant",
    "pytorch.rms_norm_dynamic_quant",
    "vllm_0.19.rms_norm",
    "vllm_0.19.fused_add_rms_norm", "vllm_ir.rms_norm", "vllm_ir.fused_add_rms_norm", "vllm_cpu.fused_add_rms_norm",
    "mlx_metal.rms_norm", "mlx_cuda.rms_norm", "mlx_cpu.rms_norm", "hugging_face_llama", "gemma", "vllm_ir", "vllm_cpu",
    "flashinfer",
    "pytorch.layer_norm", "pytorch_cpu.layer_norm", "apex.layer_norm", "quack.layer_norm", "flashinfer.layer_norm",
    "tensorrt_llm.layer_norm", "transformer_engine.layer_norm", "transformer_engine.layer_norm_static_fp8_quant", "quack.rms_norm_backward", "pytorch.rms_norm_backward",
    "transformer_engine.rms_norm_backward", "vllm.qk_norm_rope", "sglang.qk_norm_rope", "hugging_face.qk_norm_rope",
    "vllm.gated_rms_norm", "mamba.gated_rms_norm", "hugging_face.gated_rms_norm",
    "vllm.rms_norm_block_quant", "vllm_int8.rms_norm_block_quant", "vllm_fast_math.rms_norm_block_quant",
    "vllm_group_quant.rms_norm_block_quant", "vllm_ue8m0.rms_norm_block_quant", "flashinfer.rms_norm_block_quant",
    "aiter.rms_norm_block_quant", "deepgemm.rms_norm_block_quant", "deepgemm_ue8m0.rms_norm_block_quant",
    "vllm.fused_add_rms_norm_block_quant", "vllm_int8.fused_add_rms_norm_block_quant",
    "vllm_fast_math.fused_add_rms_norm_block_quant", "vllm_group_quant.fused_add_rms_norm_block_quant",
    "vllm_ue8m0.fused_add_rms_norm_block_quant", "flashinfer.fused_add_rms_norm_block_quant",
    "aiter.fused_add_rms_norm_block_quant", "deepgemm.fused_add_rms_norm_block_quant",
    "deepgemm_ue8m0.fused_add_rms_norm_block_quant", "ocp.rms_norm_mx_quant", "torchao_even.rms_norm_mx_quant",
    "transformer_engine.rms_norm_mx_quant", "flashinfer.rms_norm_mx_quant", "ocp.fused_add_rms_norm_mx_quant",
    "torchao_even.fused_add_rms_norm_mx_quant", "transformer_engine.fused_add_rms_norm_mx_quant",
    "flashinfer.fused_add_rms_norm_mx_quant", "flashinfer.rms_norm_nvfp4_quant", "flashinfer_cluster.rms_norm_nvfp4_quant",
    "vllm.rms_norm_nvfp4_quant", "vllm_reference.rms_norm_nvfp4_quant", "flashinfer.fused_add_rms_norm_nvfp4_quant",
    "flashinfer_cluster.fused_add_rms_norm_nvfp4_quant", "vllm.fused_add_rms_norm_nvfp4_quant",
    "vllm_reference.fused_add_rms_norm_nvfp4_quant"]
Policy = Union[PolicyName, str]
"""A name of ``normproof.policies()``, or axes: "weight=fp32,sum=mixed"."""

Tensors = Union[Literal["numpy", "torch", "jax"], str, Callable[[Any], Any]]
"""What a function takes: "numpy", "torch", "torch:cuda", "jax", or a function that makes it of a numpy array."""
