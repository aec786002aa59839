"""What Triton's interpreter rounds otherwise than a GPU is found and said. The search itself is tested with interpreters of our own, which
have one fault each; what needs Triton is skipped where it is not installed."""
import os
import pathlib
import subprocess
import sys
import types

import ml_dtypes
import numpy
import pytest

import normproof
from normproof import _interpreter
from normproof.testing import ConformanceError, assert_conforms

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"


def bits(array):
    return array.view(f"u{array.dtype.itemsize}")


def rounded(values, name):
    return bits(_interpreter.nearest(values, name))


def product(a, b):
    return bits(a * b)


def texts(convert=rounded, multiply=product, dtype="bf16"):
    return [fault.text for fault in _interpreter.faults_of(convert, multiply) if fault.dtype == dtype]


def only_bf16(convert):
    return lambda values, name: convert(values) if name == "bfloat16" else rounded(values, name)


def truncated(values):
    return (values.view("u4") >> 16).astype("u2")


def ties_away(values):
    return numpy.where(numpy.isnan(values), 0x7FC0, (values.view("u4") + 0x8000) >> 16).astype("u2")


def without_subnormals(values):
    found = rounded(values, "bfloat16")
    return numpy.where((found & 0x7F80) == 0, 0, found).astype("u2")


def test_a_right_interpreter_has_no_faults():
    assert _interpreter.faults_of(rounded, product) == ()


def test_truncation_is_named_with_numbers():
    found = texts(only_bf16(truncated))
    assert found[0] == "fp32 is truncated to bf16 (1.0068359375 becomes 1.0, on a GPU 1.0078125)"
    assert found[1] == "a NaN becomes inf in bf16"  # of the probe's NaN no bit is left


@pytest.mark.parametrize("convert, text", [
    (ties_away, "fp32 is rounded with ties away from zero to bf16 (1.00390625 becomes 1.0078125, on a GPU 1.0)"),
    (without_subnormals, "subnormal numbers of bf16 are wrong (9.183549615799121e-41 becomes 0.0)"),
    (lambda values: rounded(-values, "bfloat16"), "fp32 is rounded wrongly to bf16 (1.0068359375 becomes -1.0078125, on a GPU 1.0078125)")])
def test_other_roundings_are_named(convert, text):
    assert texts(only_bf16(convert))[0] == text


def test_products_of_bits_are_named():
    found = texts(multiply=lambda a, b: bits(a) * bits(b))
    assert len(found) == 1 and found[0].startswith("bf16 times bf16 is wrong (1.5 * 1.5 becomes ")


def test_fp8_that_overflows_is_named():
    def wraps(values, name):
        return bits(values.astype(getattr(ml_dtypes, name))) if name == "float8_e4m3fn" else rounded(values, name)
    found = texts(wraps, dtype="fp8_e4m3fn")
    assert found == ["3584 becomes nan in fp8_e4m3fn, on a GPU 448.0"]


@pytest.fixture
def truncating_triton(monkeypatch):
    """A stand-in for Triton whose interpreter truncates, and for normproof.triton, which cannot be imported without it."""
    triton = types.ModuleType("triton")
    asked = types.ModuleType("normproof.triton")
    asked.faults = lambda: _interpreter.faults_of(only_bf16(truncated), product)
    asked.name = lambda: "the interpreter of Triton 1.2.3"
    monkeypatch.setitem(sys.modules, "triton", triton)
    monkeypatch.setitem(sys.modules, "normproof.triton", asked)
    monkeypatch.setattr(normproof, "triton", asked, raising=False)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    return asked


def norm_with(narrow):
    def norm(x, weight, epsilon):
        wide = x.astype("f4")
        root = numpy.float32(1) / numpy.sqrt(numpy.mean(wide * wide, axis=-1, keepdims=True, dtype="f4") + numpy.float32(epsilon))
        return narrow(narrow(wide * root).astype("f4") * weight.astype("f4"))
    return norm


def cut(values):
    return truncated(numpy.ascontiguousarray(values)).view(ml_dtypes.bfloat16)


def test_a_verdict_says_that_the_interpreter_truncates(truncating_triton, tmp_path):
    with pytest.raises(ConformanceError) as raised:
        assert_conforms(norm_with(cut), "rms_norm", findings=tmp_path, finite=True)
    assert ("\n  note: TRITON_INTERPRET is set, and the interpreter of Triton 1.2.3 is no GPU in bf16: fp32 is truncated to bf16 "
            "(1.0068359375 becomes 1.0, on a GPU 1.0078125); a NaN becomes inf in bf16. Inside `with normproof.triton.exact():` it is\n"
            in str(raised.value))


def test_a_passing_verdict_says_so_as_well(truncating_triton):
    right = norm_with(lambda values: values.astype(ml_dtypes.bfloat16))
    assert len(assert_conforms(right, "rms_norm", cases=5, finite=True).notes) == 1
    # fp16, in which it is right, and a process without an interpreter have nothing to be told.
    assert assert_conforms(norm_with(lambda values: values.astype("f2")), "rms_norm", dtype="fp16", cases=5, finite=True).notes == ()


def test_without_the_interpreter_nothing_is_said(truncating_triton, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET")
    right = norm_with(lambda values: values.astype(ml_dtypes.bfloat16))
    assert assert_conforms(right, "rms_norm", cases=5, finite=True).notes == ()


def test_an_interpreter_that_cannot_be_asked_is_said(truncating_triton):
    def fails():
        raise AttributeError("no create_fp_trunc")
    truncating_triton.faults = fails
    assert _interpreter.interpreter_notes(["bf16"]) == (
        "TRITON_INTERPRET is set, and what Triton's interpreter rounds could not be asked: AttributeError: no create_fp_trunc",)


INTERPRETED = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy
import normproof.triton
import triton_norm
from normproof.testing import ConformanceError, assert_conforms

tensor = normproof.triton.tensor
faults = {fault.dtype for fault in normproof.triton.faults()}

def norm(x, weight, epsilon):
    return triton_norm.rms_norm_into(x, weight, tensor(numpy.empty_like(x.array)), epsilon)

for dtype in ("fp16", "fp32"):
    assert "note" not in str(assert_conforms(norm, "rms_norm", dtype=dtype, tensors=tensor, cases=20).notes) or dtype in faults
print(triton_norm.in_the_interpreter(20))
try:
    assert_conforms(norm, "rms_norm", dtype="bf16", tensors=tensor, shrink=False)
    assert "bf16" not in faults
except ConformanceError as error:
    assert "bf16" in faults and "note: TRITON_INTERPRET is set" in str(error), error

import ml_dtypes, triton, triton.language as tl

@triton.jit
def arithmetic(x, y, out, N: tl.constexpr):
    at = tl.arange(0, N)
    a, b = tl.load(x + at), tl.load(y + at)
    tl.store(out + at, tl.where(a < b, a * b + a, a - b))

@triton.jit
def converted(x, out, N: tl.constexpr):
    at = tl.arange(0, N)
    tl.store(out + at, tl.load(x + at).to(out.dtype.element_ty))

random = numpy.random.default_rng(1)
every = numpy.arange(65536, dtype="u4").astype("u2").view(ml_dtypes.bfloat16)
x, y = every.copy(), random.permutation(every)
wide = random.integers(0, 2**32, 65536, dtype="u4").view("f4")
with normproof.triton.exact(), numpy.errstate(all="ignore"):
    out = numpy.empty_like(x)
    arithmetic[(1,)](tensor(x), tensor(y), tensor(out), 65536)
    right = numpy.where(x < y, x * y + x, x - y)
    numpy.testing.assert_array_equal(out.astype("f4"), right.astype("f4"))
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        out = numpy.empty(65536, getattr(ml_dtypes, name))
        converted[(1,)](tensor(wide), tensor(out), 65536)
        numpy.testing.assert_array_equal(out.astype("f4"), normproof._interpreter.nearest(wide, name).astype("f4"))
    back = numpy.empty(65536, "f4")
    converted[(1,)](tensor(every), tensor(back), 65536)
    numpy.testing.assert_array_equal(back, every.astype("f4"))
    assert normproof.triton.faults() == ()
assert {fault.dtype for fault in normproof.triton.faults()} == faults
"""


def test_the_example_conforms_in_tritons_own_interpreter(tmp_path):
    pytest.importorskip("triton", reason="Triton is not installed")
    (tmp_path / "interpreted.py").write_text(INTERPRETED)
    done = subprocess.run([sys.executable, "interpreted.py", str(EXAMPLES)], cwd=tmp_path, capture_output=True, text=True,
                          env=dict(os.environ, TRITON_INTERPRET="1"), timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("Conformance(cases=20"), done.stdout


def test_the_numba_example_conforms_in_its_simulator():
    pytest.importorskip("numba", reason="numba is not installed")
    done = subprocess.run([sys.executable, "-W", "ignore", EXAMPLES / "numba_norm.py"], capture_output=True, text=True,
                          env=dict(os.environ, NUMBA_ENABLE_CUDASIM="1"), timeout=240)
    assert done.returncode == 0 and done.stdout.startswith("Conformance(cases=20"), done.stdout + done.stderr


def test_without_the_variable_the_interpreter_is_not_asked():
    pytest.importorskip("triton", reason="Triton is not installed")
    done = subprocess.run([sys.executable, "-c", "import normproof.triton; normproof.triton.faults()"], capture_output=True, text=True,
                          env={key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}, timeout=120)
    assert done.returncode != 0 and "TRITON_INTERPRET is not set to 1" in done.stderr
