"""The hook of docs/howto/vllm.md, run with stand-ins for torch, safetensors and vLLM's operators: what it stores, the program judges."""
import json
import pathlib
import re
import sys
import types

import kernels
import ml_dtypes
import numpy
import pytest

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/howto/vllm.md"
NAMES = {"bfloat16": "BF16", "float32": "F32", "float8_e4m3fn": "F8_E4M3"}


class Tensor:
    """As much of a torch tensor as the hook uses."""

    def __init__(self, array):
        self.array = array

    def clone(self):
        return Tensor(self.array.copy())

    def detach(self):
        return self

    cpu = contiguous = detach

    def reshape(self, *shape):
        return Tensor(self.array.reshape(shape))


def save_file(tensors, file, metadata):
    """The safetensors format: eight bytes of length, JSON, the bytes of the tensors."""
    header, data = {"__metadata__": metadata}, b""
    for name, tensor in tensors.items():
        array = tensor.array
        header[name] = {"dtype": NAMES[array.dtype.name], "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    pathlib.Path(file).write_bytes(len(text).to_bytes(8, "little") + text + data)


def rms_norm(out, x, weight, epsilon):
    out.array[...] = kernels.rms_norm(x.array, weight.array, epsilon)


def fused_add_rms_norm(x, residual, weight, epsilon):
    x.array[...], residual.array[...] = kernels.fused_add_rms_norm(x.array, residual.array, weight.array, epsilon)


def rms_norm_static_fp8_quant(out, x, weight, scale, epsilon):
    out.array[...] = kernels.rms_norm_fp8(x.array, weight.array, float(scale.array), epsilon)


def fused_add_rms_norm_static_fp8_quant(out, x, residual, weight, scale, epsilon):
    out.array[...], residual.array[...] = kernels.fused_add_rms_norm_fp8(x.array, residual.array, weight.array, float(scale.array), epsilon)


@pytest.fixture
def operators(monkeypatch, tmp_path):
    """torch.ops._C, with the hook of the page in it; files go to tmp_path."""
    monkeypatch.chdir(tmp_path)
    custom = types.SimpleNamespace(rms_norm=rms_norm, fused_add_rms_norm=fused_add_rms_norm, capturing=False,
                                   rms_norm_static_fp8_quant=rms_norm_static_fp8_quant,
                                   fused_add_rms_norm_static_fp8_quant=fused_add_rms_norm_static_fp8_quant)
    torch = types.SimpleNamespace(cuda=types.SimpleNamespace(is_current_stream_capturing=lambda: custom.capturing),
                                  ops=types.SimpleNamespace(_C=custom))
    for name, module in (("torch", torch), ("vllm", types.SimpleNamespace()), ("vllm._custom_ops", types.SimpleNamespace()),
                         ("safetensors", types.SimpleNamespace()), ("safetensors.torch", types.SimpleNamespace(save_file=save_file))):
        monkeypatch.setitem(sys.modules, name, module)
    exec(re.search(r"```python\n(# save_norms.*?)```", PAGE.read_text(), re.DOTALL)[1], {})
    return custom


def tensors(rows=4, hidden=64):
    generator = numpy.random.default_rng(1)
    return [Tensor(generator.standard_normal(shape).astype(ml_dtypes.bfloat16)) for shape in ((rows, hidden), (rows, hidden), hidden)]


def test_what_the_hook_stores_is_judged(operators, program):
    x, residual, weight = tensors()
    scale = Tensor(numpy.array(0.03, "f4"))
    for _ in range(6):
        operators.rms_norm(Tensor(numpy.zeros_like(x.array)), x, weight, 1e-6)
    quantized = Tensor(numpy.zeros(x.array.shape, ml_dtypes.float8_e4m3fn))
    operators.rms_norm_static_fp8_quant(quantized, x, weight, scale, 1e-6)
    operators.fused_add_rms_norm_static_fp8_quant(quantized, x, residual, weight, scale, 1e-6)
    operators.fused_add_rms_norm(x, residual, weight, 1e-6)  # in place
    files = sorted(pathlib.Path("norms").iterdir())
    assert [file.name for file in files] == [
        "fused_add_rms_norm-1.safetensors", "fused_add_rms_norm_static_fp8_quant-1.safetensors",
        *(f"rms_norm-{i}.safetensors" for i in range(1, 5)), "rms_norm_static_fp8_quant-1.safetensors"]
    status, said = program("check", *files)
    assert status == 0 and "conforming 7" in said, said
    status, said = program("check", "--policy", "vllm.rms_norm", files[2])
    assert status == 1, said  # the stand-in multiplies in the weight's dtype


def test_a_captured_call_is_not_stored(operators):
    x, _, weight = tensors()
    operators.capturing = True
    operators.rms_norm(Tensor(numpy.zeros_like(x.array)), x, weight, 1e-6)
    assert not pathlib.Path("norms").exists()
