"""The order of summation of Python functions whose order is known."""
import json
import os
import subprocess

import numpy
import pytest

import normproof

FP32 = numpy.float32


def finished(x, total, epsilon):
    root = FP32(1) / numpy.sqrt(total / FP32(x.shape[-1]) + FP32(epsilon))
    return (x.astype(FP32) * root[:, None]).astype(x.dtype)


def serial(x, weight, epsilon):
    squares = x.astype(FP32) ** 2
    return finished(x, numpy.add.accumulate(squares, axis=-1)[:, -1], epsilon)


def numpys(x, weight, epsilon):
    """A sum over the last axis of rows that lie one after the other."""
    return finished(x, numpy.sum(x.astype(FP32) ** 2, axis=-1), epsilon)


@pytest.mark.parametrize("dtype", normproof._tensors.ACTIVATION_DTYPES)
def test_serial(dtype):
    found = normproof.order(serial, dtype=dtype, hidden=100)
    assert (found.kind, found.certified, found.family, found.depth) == ("fp32_tree", True, "serial", 99)
    assert found.root == "quotient"
    assert found.fused == (0 if dtype == "fp32" else None)
    assert found.certificate_rows >= 98 and found.rows >= found.certificate_rows
    assert "serial, depth 99, certified" in str(found)


def test_numpys_sum_is_numpys_pairwise_sum():
    for hidden in (64, 300, 1024):
        assert normproof.order(numpys, dtype="fp32", hidden=hidden).family == "numpy pairwise"


def test_what_is_no_tree_is_said_to_be_none():
    generator = numpy.random.default_rng(1)

    def drawn(x, weight, epsilon):
        squares = x.astype(FP32)[:, generator.permutation(x.shape[-1])] ** 2
        return finished(x, numpy.add.accumulate(squares, axis=-1)[:, -1], epsilon)

    found = normproof.order(drawn, hidden=64)
    assert (found.kind, found.certified, found.tree) == ("varies", False, None)


def test_fp64_sums():
    found = normproof.order(lambda x, weight, epsilon: finished(
        x, numpy.sum(x.astype("f8") ** 2, axis=-1).astype(FP32), epsilon), hidden=128)
    assert (found.kind, found.family, found.fused) == ("fp64_tree", "numpy pairwise", None)


def kahan(x, weight, epsilon):
    """One accumulator for the even elements and one for the odd ones, each with Kahan's correction."""
    squares = x.astype(FP32) ** 2
    lanes = []
    for lane in (squares[:, ::2], squares[:, 1::2]):
        total, correction = numpy.zeros(len(x), FP32), numpy.zeros(len(x), FP32)
        for j in range(lane.shape[1]):
            y = lane[:, j] - correction
            t = total + y
            total, correction = t, (t - total) - y
        lanes.append(total)
    return finished(x, lanes[0] + lanes[1], epsilon)


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_compensated_sums(dtype):
    found = normproof.order(kahan, dtype=dtype, hidden=64)
    assert (found.kind, found.certified, found.accumulator, found.depth) == ("compensated_tree", True, "kahan", 32)
    assert found.fused == (0 if dtype == "fp32" else None)
    assert json.loads(found.to_json())["orders"][0]["tree"]["accumulator"] == "kahan"
    assert normproof.order(serial, hidden=64).accumulator == "plain"


def test_a_refused_negative_epsilon():
    def positive_only(x, weight, epsilon):
        if epsilon < 0:
            raise ValueError("epsilon is negative")
        return serial(x, weight, epsilon)

    assert normproof.order(positive_only, hidden=64).family == "serial"


def test_wrong_arguments_and_outputs_are_named():
    with pytest.raises(ValueError, match="dtype: expected one of"):
        normproof.order(serial, dtype="fp8")
    with pytest.raises(TypeError, match="hidden: expected an integer"):
        normproof.order(serial, hidden=1.5)
    with pytest.raises(ValueError, match="rows: expected 1 to"):
        normproof.order(serial, rows=0)
    with pytest.raises(ValueError, match="out: expected shape"):
        normproof.order(lambda x, weight, epsilon: x[:1], hidden=64)
    with pytest.raises(TypeError, match="out: expected dtype bf16"):
        normproof.order(lambda x, weight, epsilon: x.astype(FP32), hidden=64)

    def refuses(x, weight, epsilon):
        raise NotImplementedError("not today")

    with pytest.raises(RuntimeError, match="not today"):
        normproof.order(refuses, hidden=64)


@pytest.mark.skipif(not os.environ.get("NORMPROOF_PROGRAM"), reason="NORMPROOF_PROGRAM names no program")
def test_the_program_judges_by_it(tmp_path):
    order_file, dump = tmp_path / "order.json", tmp_path / "dump.safetensors"
    found = normproof.order(serial, dtype="fp32", hidden=64)
    order_file.write_text(found.to_json())
    assert json.loads(found.to_json())["orders"][0]["tree"]["leaves"] == 64
    x = numpy.random.default_rng(2).standard_normal((50, 64)).astype(FP32)
    program = os.environ["NORMPROOF_PROGRAM"]
    for function, code in ((serial, 0), (numpys, 1), (kahan, 1)):
        normproof.write_dump(dump, "rms_norm", x=x, weight=None, epsilon=1e-6, out=function(x, None, 1e-6))
        run = subprocess.run([program, "check", str(dump), "--order", str(order_file), "--inverse-root-ulp", "1"],
                             capture_output=True, text=True)
        assert run.returncode == code, run.stdout + run.stderr
    order_file.write_text(normproof.order(kahan, dtype="fp32", hidden=64).to_json())
    for function, code in ((serial, 1), (kahan, 0)):
        normproof.write_dump(dump, "rms_norm", x=x, weight=None, epsilon=1e-6, out=function(x, None, 1e-6))
        run = subprocess.run([program, "check", str(dump), "--order", str(order_file), "--inverse-root-ulp", "1"],
                             capture_output=True, text=True)
        assert run.returncode == code, run.stdout + run.stderr
