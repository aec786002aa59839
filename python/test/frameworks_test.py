"""Tensors of every framework that is installed, on the CPU and on a GPU, are read bit for bit."""
import numpy
import pytest

import normproof
from normproof.testing import ConformanceError, assert_conforms


def numpy_tensor(array):
    return array


def torch_tensor(device):
    torch = pytest.importorskip("torch")
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")

    def convert(array):
        integers = {4: "i4", 2: "i2", 1: "u1"}[array.dtype.itemsize]
        return torch.from_numpy(array.view(integers).copy()).view(getattr(torch, array.dtype.name)).to(device)
    return convert


def jax_tensor(device):
    jax = pytest.importorskip("jax")
    try:
        place = jax.devices(device)[0]
    except RuntimeError as error:
        pytest.skip(f"jax: {error}")
    return lambda array: jax.device_put(jax.numpy.asarray(array), place)


def cupy_tensor():
    cupy = pytest.importorskip("cupy")
    if cupy.cuda.runtime.getDeviceCount() == 0:
        pytest.skip("cupy sees no GPU")

    def convert(array):
        if array.dtype.name not in ("float32", "float16"):
            pytest.skip("cupy has no such dtype")
        return cupy.asarray(array)
    return convert


FRAMEWORKS = {
    "numpy": lambda: numpy_tensor, "torch": lambda: torch_tensor("cpu"), "torch-cuda": lambda: torch_tensor("cuda"),
    "jax": lambda: jax_tensor("cpu"), "jax-cuda": lambda: jax_tensor("cuda"), "cupy": cupy_tensor}


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("operation", normproof.OPERATIONS)
def test_its_tensors_are_judged(framework, dtype, operation):
    convert = FRAMEWORKS[framework]()
    judged = 0
    for case in normproof.cases(operation, dtype, count=8, seed=7, max_hidden=512):
        inputs = {name: convert(value) for name, value in
                  (("x", case.x), ("residual", case.residual), ("weight", case.weight)) if value is not None}
        scale = {} if case.scale is None else {"scale": case.scale}
        right = normproof.run(operation, x=case.x, residual=case.residual, weight=case.weight, epsilon=case.epsilon,
                              quantized_dtype=case.quantized_dtype, **scale)
        residual_out = {} if right.residual_out is None else {"residual_out": convert(right.residual_out)}
        if right.scales is not None:
            residual_out["scales"] = convert(right.scales)
        result = normproof.check(operation, out=convert(right.out), epsilon=case.epsilon, canonical=True, **inputs, **scale,
                                 **residual_out)
        assert result.conforms and result.elements >= case.x.size
        judged += result.elements
        # One bit of the last element that is a number.
        bits = right.out.view({4: "u4", 2: "u2", 1: "u1"}[right.out.dtype.itemsize]).copy().reshape(-1)
        ordinary = numpy.flatnonzero(numpy.isfinite(right.out.reshape(-1).astype("f4")))
        if ordinary.size == 0:
            continue
        bits[ordinary[-1]] ^= 1
        wrong = bits.view(right.out.dtype).reshape(right.out.shape)
        result = normproof.check(operation, out=convert(wrong), epsilon=case.epsilon, canonical=True, **inputs, **scale,
                                 **residual_out)
        assert not result.conforms and result.column == ordinary[-1] % case.x.shape[-1]
    assert judged > 1000


def native(jax):
    """The native-dtype spec, one operation after the other."""
    def rms_norm(x, weight, epsilon):
        wide = x.astype(jax.numpy.float32)
        r = jax.lax.rsqrt(jax.numpy.mean(wide * wide, axis=-1, keepdims=True) + jax.numpy.float32(epsilon))
        normalized = (wide * r).astype(x.dtype)
        return normalized if weight is None else normalized * weight
    return rms_norm


def ordinary_cases(count):
    """Cases without subnormal numbers, which XLA takes for zero on the CPU, and for which it is found to be wrong."""
    def is_ordinary(tensor):
        magnitudes = numpy.abs(tensor.astype("f4"))
        return bool(((magnitudes == 0) | ((magnitudes > 1e-18) & (magnitudes < 1e18))).all())

    cases = normproof.cases("rms_norm", "bf16", count=2 * count, max_hidden=512)
    return [case for case in cases if is_ordinary(case.x) and is_ordinary(case.weight)][:count]


def test_a_jax_function_conforms():
    jax = pytest.importorskip("jax")
    cases = ordinary_cases(40)
    with jax.default_device(jax.devices("cpu")[0]):
        assert assert_conforms(native(jax), "rms_norm", tensors="jax", cases=cases).elements > 1000
    assert len(cases) >= 20


def test_a_jax_function_that_multiplies_the_weight_in_fp32_does_not(tmp_path):
    jax = pytest.importorskip("jax")

    def wrong(x, weight, epsilon):
        wide = x.astype(jax.numpy.float32)
        r = jax.lax.rsqrt(jax.numpy.mean(wide * wide, axis=-1, keepdims=True) + jax.numpy.float32(epsilon))
        return (wide * r * weight.astype(jax.numpy.float32)).astype(x.dtype)

    with jax.default_device(jax.devices("cpu")[0]), pytest.raises(ConformanceError) as raised:
        assert_conforms(wrong, "rms_norm", tensors="jax", cases=ordinary_cases(40), findings=tmp_path)
    assert "weight=fp32" in str(raised.value)
