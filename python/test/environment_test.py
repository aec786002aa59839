"""The caller's floating-point environment, which other libraries of a process may have set, changes no bit of ours."""
import contextlib
import ctypes
import platform

import numpy
import pytest

import normproof

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="sets the MXCSR register of x86-64")
libm = ctypes.CDLL("libm.so.6")
DOWNWARD, UPWARD, TOWARDZERO = 0x400, 0x800, 0xC00  # of both units
ROUND_DOWN, FLUSH_TO_ZERO, DENORMALS_ARE_ZERO = 0x2000, 0x8000, 0x0040  # of MXCSR alone


class Environment(ctypes.Structure):  # fenv_t of glibc
    _fields_ = [("x87", ctypes.c_uint32 * 7), ("mxcsr", ctypes.c_uint32)]


@contextlib.contextmanager
def environment(rounding=0, mxcsr=0):
    """With another rounding mode, or more bits of MXCSR."""
    before, now = Environment(), Environment()
    libm.fegetenv(ctypes.byref(before))
    try:
        if rounding:
            assert libm.fesetround(rounding) == 0
        libm.fegetenv(ctypes.byref(now))
        now.mxcsr |= mxcsr
        libm.fesetenv(ctypes.byref(now))
        yield
        after = Environment()
        libm.fegetenv(ctypes.byref(after))
        assert after.mxcsr & ~0x3F == now.mxcsr & ~0x3F, "the caller's environment was not given back"
    finally:
        libm.fesetenv(ctypes.byref(before))


HOSTILE = [dict(rounding=DOWNWARD), dict(rounding=UPWARD), dict(rounding=TOWARDZERO), dict(mxcsr=ROUND_DOWN),
           dict(mxcsr=FLUSH_TO_ZERO | DENORMALS_ARE_ZERO)]


def everything(x, weight):
    """What each function says, as bytes and text."""
    calls = [dict(operation="rms_norm", x=x, weight=weight, epsilon=1e-6),
             dict(operation="fused_add_rms_norm", x=x, residual=x[::-1].copy(), weight=weight, epsilon=1e-5),
             dict(operation="rms_norm_static_fp8_quant", x=x, weight=weight, epsilon=1e-6, scale=0.1)]
    said = []
    for call in calls:
        wanted = normproof.expected(**call)
        ran = normproof.run(**call)
        outputs = dict(out=wanted.out)
        if wanted.residual_out is not None:
            outputs["residual_out"] = wanted.residual_out
        checked = normproof.check(**call, **outputs)
        assert checked.conforms, str(checked)
        said += [wanted.out.tobytes(), ran.out.tobytes(), str(checked),
                 str(normproof.identify(**call, **outputs)), str(normproof.explain(**call, row=1, column=2))]
    for case in normproof.cases("rms_norm", count=6, seed=7):
        said += [case.to_json(), case.expected().out.tobytes()]
    return said


@pytest.mark.parametrize("setting", HOSTILE, ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_the_callers_environment_changes_nothing(setting, dtype):
    generator = numpy.random.default_rng(1)
    x = generator.standard_normal((16, 257)).astype(dtype)
    x[3] *= numpy.array(1e-38 if dtype == "f4" else 1e-5, dtype)  # subnormal
    weight = generator.standard_normal(257).astype(dtype)
    wanted = everything(x, weight)
    with environment(**setting):
        said = everything(x, weight)
    assert said == wanted
