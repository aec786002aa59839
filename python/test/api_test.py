"""The functions: tensors of any kind in, outputs and errors out."""
import array
import subprocess
import sys

import kernels
import ml_dtypes
import numpy
import pytest

import normproof

BF16 = ml_dtypes.bfloat16


def inputs(seed=1, rows=3, hidden=40, dtype=BF16):
    random = numpy.random.default_rng(seed)
    return random.normal(size=(rows, hidden)).astype(dtype), (1 + 0.1 * random.normal(size=hidden)).astype(dtype)


def bits(tensor):
    return tensor.view(f"u{tensor.dtype.itemsize}")


def test_import_needs_no_numpy():
    code = "import sys; sys.modules['numpy'] = sys.modules['ml_dtypes'] = None; import normproof; print(normproof.policies()[0].name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("dtype", [BF16, numpy.float16, numpy.float32])
def test_run_is_what_the_contract_says(dtype):
    x, weight = inputs(dtype=dtype)
    got = normproof.run("rms_norm", x=x, weight=weight, epsilon=1e-6)
    wanted = normproof.expected("rms_norm", x=x, weight=weight, epsilon=1e-6)
    assert got.out.dtype == dtype and got.out.shape == x.shape and got.residual_out is None
    assert (bits(got.out) == bits(wanted.out)).all()


def test_run_of_every_operation_conforms_canonically():
    for operation in normproof.OPERATIONS:
        for case in normproof.cases(operation, "fp16", count=8, seed=3):
            got = case.run()
            result = case.check(**got._asdict(), canonical=True)
            assert result.conforms, result


def test_run_leaves_its_inputs_alone():
    x, weight = inputs()
    residual = x[::-1].copy()
    before = x.tobytes(), residual.tobytes()
    got = normproof.run("fused_add_rms_norm", x=x, residual=residual, weight=weight, epsilon=1e-6)
    assert (x.tobytes(), residual.tobytes()) == before
    assert (bits(got.residual_out) == bits((x.astype("f4") + residual.astype("f4")).astype(BF16))).all()


def test_strided_and_reversed_tensors():
    x, weight = inputs(rows=6, hidden=80)
    parts = x[::-2, 1::2], weight[::-2]
    whole = tuple(numpy.ascontiguousarray(part) for part in parts)
    got = normproof.run("rms_norm", x=parts[0], weight=parts[1], epsilon=1e-6).out
    assert (bits(got) == bits(normproof.run("rms_norm", x=whole[0], weight=whole[1], epsilon=1e-6).out)).all()


def test_leading_dimensions_are_rows():
    x, weight = inputs(rows=6)
    flat = normproof.run("rms_norm", x=x, weight=weight, epsilon=1e-6).out
    deep = normproof.run("rms_norm", x=x.reshape(1, 3, 2, 1, -1), weight=weight, epsilon=1e-6).out
    assert deep.shape == (1, 3, 2, 1, 40) and deep.tobytes() == flat.tobytes()
    assert normproof.run("rms_norm", x=x[0], weight=weight, epsilon=1e-6).out.tobytes() == flat[0].tobytes()


def test_big_endian_tensors():
    x, weight = inputs(dtype=numpy.float32)
    got = normproof.run("rms_norm", x=x.astype(">f4"), weight=weight, epsilon=1e-6).out
    assert got.tobytes() == normproof.run("rms_norm", x=x, weight=weight, epsilon=1e-6).out.tobytes()


def test_bits_and_buffers_are_tensors():
    x, weight = inputs()
    wanted = normproof.run("rms_norm", x=x, weight=weight, epsilon=1e-6).out.tobytes()
    got = normproof.run("rms_norm", x=normproof.from_bits(bits(x), "bf16"),
                        weight=normproof.from_bits(bits(weight).view("i2"), "bf16"), epsilon=1e-6)
    assert got.out.tobytes() == wanted
    floats = array.array("f", [1.0, 2.0, -3.5])
    got = normproof.run("rms_norm", x=floats, epsilon=0.0)
    assert got.out.tobytes() == normproof.run("rms_norm", x=numpy.array(floats), epsilon=0.0).out.tobytes()


class Device:
    """A tensor on a device that speaks DLPack, as far as copying to the host goes."""

    def __init__(self, tensor):
        self.tensor, self.copies = tensor, 0

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, *, dl_device=None, copy=None, **keywords):
        if dl_device != (1, 0) or not copy:
            raise BufferError("the memory of this tensor is on a device")
        self.copies += 1
        return self.tensor.__dlpack__(**keywords)


def test_device_tensors_are_copied():
    x, weight = inputs(dtype=numpy.float32)
    device = Device(x)
    got = normproof.run("rms_norm", x=device, weight=weight, epsilon=1e-6)
    assert device.copies > 0
    assert got.out.tobytes() == normproof.run("rms_norm", x=x, weight=weight, epsilon=1e-6).out.tobytes()


def test_explain_names_the_policy_behind_wrong_bits():
    x, weight = inputs()
    out = kernels.fp32_weight_multiply(x, weight, 1e-6)
    explanation = normproof.explain("rms_norm", x=x, weight=weight, epsilon=1e-6, out=out)
    wanted = bits(normproof.expected("rms_norm", x=x, weight=weight, epsilon=1e-6).out)
    assert explanation.wanted == wanted[explanation.row, explanation.column] != explanation.got
    assert explanation.got == bits(out)[explanation.row, explanation.column]
    assert any("weight=fp32" in change for change in explanation.reproduced_by)
    assert "rounded to bf16" in str(explanation)
    chosen = normproof.explain("rms_norm", x=x, weight=weight, epsilon=1e-6, row=2, column=39)
    assert (chosen.row, chosen.column, chosen.got) == (2, 39, None) and chosen.wanted == wanted[2, 39]


def test_cases_are_reproducible():
    def contents(**keywords):
        return [case.to_json() for case in normproof.cases("fused_add_rms_norm", "bf16", **keywords)]
    assert contents(count=20, seed=7) == contents(count=30, seed=7)[:20]
    assert contents(count=20, seed=7)[5:] == contents(count=15, seed=7, first=5)
    assert contents(count=5, seed=7) != contents(count=5, seed=8)


def test_cases_keep_to_what_is_asked():
    seen = set()
    for case in normproof.cases("rms_norm_static_fp8_quant", "fp16", weight="fp32", quantized_dtype="fp8_e5m2", count=60,
                                epsilon=1e-5, max_rows=4, max_hidden=64, finite=True):
        assert (case.dtype, case.weight_dtype, case.quantized_dtype) == ("fp16", "fp32", "fp8_e5m2")
        assert case.epsilon == numpy.float32(1e-5) and numpy.prod(case.shape[:-1]) <= 4 and case.shape[-1] <= 64
        assert numpy.isfinite(case.x.astype("f4")).all() and numpy.isfinite(case.weight).all()
        seen.add(case.shape[-1])
    assert len(seen) > 10
    assert any(not numpy.isfinite(case.x.astype("f4")).all() for case in normproof.cases("rms_norm", count=60))
    assert all(case.weight is None for case in normproof.cases("rms_norm", weight=None, count=5))


def test_case_files(tmp_path):
    case = next(normproof.cases("fused_add_rms_norm", "fp16", count=1))
    file = tmp_path / "case.json"
    file.write_text(case.to_json())
    again = normproof.read_case(file)
    assert again.to_json() == case.to_json() and again.residual.tobytes() == case.residual.tobytes()
    file.write_text(case.to_json().replace('"fp16"', '"fp17"'))
    with pytest.raises(ValueError, match="case.json.*fp17"):
        normproof.read_case(file)
    with pytest.raises(OSError, match="nowhere.json"):
        normproof.read_case(tmp_path / "nowhere.json")


def test_kernels_work_on_tensors_where_they_lie():
    """What normproof.torch calls, on the CPU: strided rows, in place, quantized, refused."""
    from normproof import _core
    names = {"bf16": 2, "fp8_e4m3fn": 3, "fp32": 0, "int8": 7}
    library = _core.KernelsLibrary("", names)

    class Tensor:
        """What torch.Tensor says of itself, of a numpy array."""

        def __init__(self, array, dtype="bf16", device=-1):
            self.array, self.dtype, self.device = array, dtype, f"device {device}"
            self.shape = array.shape
            self.get_device = lambda: device
            self.data_ptr = lambda: array.ctypes.data
            self.stride = lambda: tuple(stride // array.itemsize for stride in array.strides)

    wide, weight = inputs(hidden=64)
    x, weight = wide[:, :40], weight[:40]
    residual, scale = x[::-1].copy(), numpy.array([0.02], "f4")
    call = dict(x=x.copy(), weight=weight, epsilon=1e-6)
    out, quantized = numpy.empty((3, 40), BF16), numpy.empty((3, 40), ml_dtypes.float8_e4m3fn)
    library.rms_norm(Tensor(out), Tensor(x), Tensor(weight), 1e-6, 0)
    assert out.tobytes() == normproof.run("rms_norm", **call).out.tobytes()
    library.rms_norm_static_fp8_quant(Tensor(quantized, "fp8_e4m3fn"), Tensor(x), Tensor(weight), Tensor(scale, "fp32"), 1e-6, 0)
    assert quantized.tobytes() == normproof.run("rms_norm_static_fp8_quant", scale=scale, **call).out.tobytes()
    both = normproof.run("fused_add_rms_norm_static_fp8_quant", residual=residual, scale=scale, **call)
    total = residual.copy()
    library.fused_add_rms_norm_static_fp8_quant(Tensor(quantized, "fp8_e4m3fn"), Tensor(x), Tensor(total), Tensor(weight),
                                                Tensor(scale, "fp32"), 1e-6, 0)
    assert (quantized.tobytes(), total.tobytes()) == (both.out.tobytes(), both.residual_out.tobytes())
    codes, scales, bound = numpy.empty((3, 40), "i1"), numpy.empty((3, 1), "f4"), numpy.array([0.75], "f4")
    for scale_ub in (None, bound):
        library.call("rms_norm_dynamic_quant",
                     {"out": Tensor(codes, "int8"), "scales": Tensor(scales, "fp32"), "x": Tensor(x), "weight": Tensor(weight),
                      "scale_ub": None if scale_ub is None else Tensor(scale_ub, "fp32")}, 1e-6, 0)
        wanted = normproof.run("rms_norm_dynamic_quant", quantized_dtype="int8", scale_ub=None if scale_ub is None else 0.75, **call)
        assert (codes.tobytes(), scales.tobytes()) == (wanted.out.tobytes(), wanted.scales.tobytes())
    assert (scales == numpy.float32(0.75) / numpy.float32(127)).all() and (codes == 127).any()
    both = normproof.run("fused_add_rms_norm", residual=residual, **call)
    library.fused_add_rms_norm(Tensor(x), Tensor(residual), Tensor(weight), 1e-6, 0)
    assert (x.tobytes(), residual.tobytes()) == (both.out.tobytes(), both.residual_out.tobytes())
    for error, message, arguments in (
            (ValueError, "weight", (Tensor(out), Tensor(x), Tensor(weight[1:]))),
            (ValueError, "out: expected at most 4 dimensions, got 5", (Tensor(out[None, None, None]), Tensor(x), None)),
            (TypeError, "expected bf16, fp8_e4m3fn, fp32, int8, got fp64", (Tensor(out), Tensor(x, "fp64"), None)),
            (ValueError, "weight: expected a tensor on device -1, the device of x, got device 0",
             (Tensor(out), Tensor(x), Tensor(weight, device=0))),
            (AttributeError, "data_ptr", (Tensor(out), x, None))):
        with pytest.raises(error, match=message):
            library.rms_norm(*arguments, 1e-6, 0)
    with pytest.raises(ValueError, match="scale: expected one float32 number, got .2,. of fp32"):
        library.rms_norm_static_fp8_quant(Tensor(quantized, "fp8_e4m3fn"), Tensor(x), None,
                                          Tensor(numpy.ones(2, "f4"), "fp32"), 1e-6, 0)
    with pytest.raises(ValueError, match="scale_ub: expected one float32 number, got .1,. of bf16"):
        library.call("rms_norm_dynamic_quant", {"x": Tensor(x), "scale_ub": Tensor(weight[:1])}, 1e-6, 0)
    with pytest.raises(RuntimeError, match="nowhere.so"):
        _core.KernelsLibrary("nowhere.so", names)


X, WEIGHT = inputs()
GOOD = dict(x=X, weight=WEIGHT, epsilon=1e-6, out=X)
FP8 = dict(GOOD, scale=1.0, out=X.astype(ml_dtypes.float8_e5m2))


@pytest.mark.parametrize("operation, change, error, message", [
    ("layernorm", {}, ValueError, "operation: .*'layernorm'"),
    (3, {}, TypeError, "operation: .*int 3"),
    ("rms_norm", dict(x=[1.0]), TypeError, "x: .*list"),
    ("rms_norm", dict(x=X.astype(int)), TypeError, "x: .*int64"),
    ("rms_norm", dict(x=bits(X)), TypeError, "x: .*uint16"),
    ("rms_norm", dict(x=normproof.from_bits(X.astype("u4"), "bf16")), TypeError, "x: .*16-bit integers, got int32"),
    ("rms_norm", dict(x=X.astype(ml_dtypes.float8_e5m2)), TypeError, "x: .*got fp8_e5m2"),
    ("rms_norm", dict(x=X[:0, :0]), ValueError, r"x: .*\(0, 0\)"),
    ("rms_norm", dict(x=numpy.float32(1)), ValueError, r"x: .*\(\)"),
    ("rms_norm", dict(weight=WEIGHT[1:]), ValueError, r"weight: .*\(40\).*got \(39\)"),
    ("rms_norm", dict(weight=WEIGHT.astype("f2")), TypeError, "weight: .*got fp16"),
    ("rms_norm", dict(out=X[1:]), ValueError, r"out: .*\(3, 40\).*got \(2, 40\)"),
    ("rms_norm", dict(out=X.astype("f4")), TypeError, "out: .*bf16, got fp32"),
    ("rms_norm", dict(epsilon="1e-6"), TypeError, "epsilon: .*'1e-6'"),
    ("rms_norm", dict(epsilon=True), TypeError, "epsilon: .*True"),
    ("rms_norm", dict(epsilon=numpy.ones(2)), ValueError, r"epsilon: .*\(2,\)"),
    ("rms_norm", dict(policy="weight=fp23"), ValueError, "policy: .*fp23"),
    ("rms_norm", dict(policy=7), TypeError, "policy: .*int 7"),
    ("rms_norm", dict(inverse_root_ulp=-1), ValueError, "inverse_root_ulp: .*-1"),
    ("rms_norm", dict(sum_depth=-2), ValueError, "sum_depth: .*-2"),
    ("rms_norm", dict(residual_out=X), TypeError, "residual_out: rms_norm has none"),
    ("rms_norm", dict(scale=1.0), TypeError, "scale: rms_norm has none"),
    ("fused_add_rms_norm", dict(residual_out=X), TypeError, "residual: .*needs it"),
    ("fused_add_rms_norm", dict(residual=X[1:], residual_out=X), ValueError, r"residual: .*got \(2, 40\)"),
    ("rms_norm_static_fp8_quant", dict(scale=1.0), TypeError, "out: .*fp8_e4m3fn.*got bf16"),
    ("rms_norm_static_fp8_quant", dict(out=FP8["out"]), TypeError, "scale: .*needs it"),
    ("rms_norm_static_fp8_quant", dict(FP8, scale=numpy.ones(3)), ValueError, r"scale: .*\(3,\)"),
])
def test_bad_arguments_are_named(operation, change, error, message):
    with pytest.raises(error, match=message):
        normproof.check(operation, **(GOOD | change))


@pytest.mark.parametrize("change, error, message", [
    (dict(dtype="int8"), ValueError, "dtype: .*'int8'"),
    (dict(weight="bf17"), ValueError, "weight: .*'bf17'"),
    (dict(count=-1), ValueError, "count: .*-1"),
    (dict(seed=1 << 64), ValueError, "seed: .*18446744073709551616"),
    (dict(seed=1.5), TypeError, "seed: .*1.5"),
    (dict(max_hidden=0), ValueError, "max_hidden: .*0"),
])
def test_bad_demands_for_cases_are_named(change, error, message):
    with pytest.raises(error, match=message):
        normproof.cases("rms_norm", **change)


def test_too_large_a_tensor_is_refused():
    with pytest.raises(ValueError, match="hidden size is 1 to 1048576, got 1048577"):
        normproof.run("rms_norm", x=numpy.zeros((1, (1 << 20) + 1), "f4"), epsilon=1e-6)


def test_bad_elements_to_explain_are_named():
    with pytest.raises(ValueError, match="column: expected 0 to 39, got 40"):
        normproof.explain("rms_norm", x=X, weight=WEIGHT, epsilon=1e-6, row=0, column=40)
