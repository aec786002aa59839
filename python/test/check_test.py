"""Verdicts: right and wrong numpy kernels, and the same as the C++ program gives."""
import json
import threading

import kernels
import ml_dtypes
import numpy
import pytest

import normproof

BF16 = ml_dtypes.bfloat16


def random_inputs(rows=3, hidden=2048, dtype=BF16, seed=5):
    random = numpy.random.default_rng(seed)
    scales = numpy.exp2(random.uniform(-4, 4, (rows, 1)))
    return (random.normal(size=(rows, hidden)) * scales).astype(dtype), (1 + 0.1 * random.normal(size=hidden)).astype(dtype)


def test_a_right_kernel_conforms():
    x, weight = random_inputs()
    result = normproof.check("rms_norm", x=x, weight=weight, epsilon=1e-5, out=kernels.rms_norm(x, weight, 1e-5))
    assert result and result.conforms
    assert (result.rows, result.elements, result.conforming_rows) == (3, 3 * 2048, 3)
    assert result.certificate == "" and result.row is None and result.column is None
    assert repr(result) == ("<CheckResult: rms_norm bf16, weight bf16, 3 x 2048, epsilon 1e-05: conforms to policy native>")


def test_a_wrong_kernel_gets_a_certificate():
    x, weight = random_inputs()
    out = kernels.fp32_weight_multiply(x, weight, 1e-5)
    result = normproof.check("rms_norm", x=x, weight=weight, epsilon=1e-5, out=out)
    assert not result and result.rounding_violations == 3
    certificate = result.certificates[0]
    assert certificate.kind == "rounding" and "rounding violation in row 0" in result.certificate
    element = certificate.elements[0]
    assert element.got == out.view("u2")[result.row, result.column] == result.bits
    assert element.weight == weight.view("u2")[result.column]
    assert element.operand == x.astype("f4").view("u4")[result.row, result.column]
    assert "violates policy native, first in row 0" in repr(result) and result.certificate.strip() in str(result).replace("\n  ", "\n")
    assert normproof.check("rms_norm", x=x, weight=weight, epsilon=1e-5, out=out, policy="weight=fp32")


def test_a_dropped_tail_is_a_scale_violation():
    x, weight = random_inputs(hidden=2047)
    result = normproof.check("rms_norm", x=x, weight=weight, epsilon=1e-5, out=kernels.dropped_tail(x, weight, 1e-5))
    assert result.scale_violations + result.rounding_violations > 0 and result.certificates[0].kind == "scale"


def test_a_missing_clamp_is_seen_where_it_matters():
    x, weight = random_inputs()
    scale = numpy.float32(0.001)
    right, wrong = (kernel(x, weight, scale, 1e-5) for kernel in (kernels.rms_norm_fp8, kernels.missing_clamp))
    arguments = dict(x=x, weight=weight, scale=scale, epsilon=1e-5)
    assert normproof.check("rms_norm_static_fp8_quant", out=right, **arguments)
    result = normproof.check("rms_norm_static_fp8_quant", out=wrong, **arguments)
    assert result.rounding_violations == 3 and result.bits & 0x7F == 0x7F  # NaN


def test_a_wrong_residual_is_counted():
    x, weight = random_inputs()
    out, total = kernels.fused_add_rms_norm(x, x[::-1], weight, 1e-5)
    arguments = dict(x=x, residual=x[::-1], weight=weight, epsilon=1e-5, out=out)
    assert normproof.check("fused_add_rms_norm", residual_out=total, **arguments)
    total.view("u2")[1, 7] ^= 1
    result = normproof.check("fused_add_rms_norm", residual_out=total, **arguments)
    assert (result.mismatches, result.rounding_violations, result.row, result.column) == (1, 0, 1, 7)
    assert "residual_out[row 1, column 7]" in result.certificate


def test_the_canonical_judge_sees_another_order():
    x, weight = random_inputs(rows=64, hidden=4096, dtype=numpy.float32)
    out = kernels.rms_norm(x, weight, 1e-5)
    assert normproof.check("rms_norm", x=x, weight=weight, epsilon=1e-5, out=out)
    result = normproof.check("rms_norm", x=x, weight=weight, epsilon=1e-5, out=out, canonical=True)
    assert result.mismatches > 0 and result.judge == "canonical" and not result


def test_identify_names_the_policy():
    x, weight = random_inputs(rows=300)
    found = normproof.identify("rms_norm", x=x, weight=weight, epsilon=1e-5,
                               out=kernels.fp32_weight_multiply(x, weight, 1e-5))
    assert found and found.policy == "weight=fp32" and found.rows == 256
    assert any(name.startswith("vllm.rms_norm ") for name in found.names)
    assert not any("fused_add" in name for name in found.names)  # policies belong to operations
    assert found.axes["weight"]["native"][0] is False and "violation" in found.axes["weight"]["native"][1]
    nothing = normproof.identify("rms_norm", x=x, weight=weight, epsilon=1e-5, out=x, rows=4)
    assert not nothing and nothing.certificate and "closest" in str(nothing)


def times(x, weight, factor):
    """Native, with r off by a factor."""
    root = 1 / numpy.sqrt((x.astype("f8") ** 2).mean(-1, keepdims=True) + 1e-5) * factor
    return ((x.astype("f4") * root.astype("f4")).astype(x.dtype).astype("f4") * weight.astype("f4")).astype(x.dtype)


def test_identify_says_what_r_the_rows_show():
    x, weight = random_inputs(rows=16, hidden=512)
    found = normproof.identify("rms_norm", x=x, weight=weight, epsilon=1e-5, out=times(x, weight, 2.5))
    assert not found and found.hints[0] == "native with r off by a factor 2.5 in every row"
    loose = {entry.policy: entry for entry in found.loose}["variance=activation"]
    assert loose.reason and loose.random_outputs_admitted > 0.5
    assert found.random_outputs_explained is None and found.split == ()


def test_identify_splits_a_mixture_by_rows():
    x, weight = random_inputs(rows=16, hidden=512)
    out = times(x, weight, 1)
    out[8:] = kernels.fp32_weight_multiply(x, weight, 1e-5)[8:]
    found = normproof.identify("rms_norm", x=x, weight=weight, epsilon=1e-5, out=out)
    assert [(group.policy, group.rows) for group in found.split] == [("native", tuple(range(8))),
                                                                     ("weight=fp32", tuple(range(8, 16)))]
    right = normproof.identify("rms_norm", x=x, weight=weight, epsilon=1e-5, out=times(x, weight, 1))
    assert right.random_outputs_explained == 0 and right.hints == () and right.split == ()


def test_a_verdict_that_says_little_says_so():
    x, weight = random_inputs(rows=16, hidden=512)
    arguments = dict(x=x, weight=weight, epsilon=1e-5, out=times(x, weight, 2.5))
    result = normproof.check("rms_norm", policy="variance=activation", **arguments)
    assert result and result.random_outputs_accepted > 0.5
    assert "this says little" in str(result) and "says little" in repr(result)
    right = normproof.check("rms_norm", x=x, weight=weight, epsilon=1e-5, out=times(x, weight, 1))
    assert right.random_outputs_accepted == 0 and right.doubt == "" and "little" not in str(right) + repr(right)
    assert normproof.check("rms_norm", **arguments).random_outputs_accepted is None  # it violates


def test_the_repro_is_of_the_violating_row():
    from normproof import _core
    x, weight = random_inputs(rows=9, hidden=64)
    out = kernels.rms_norm(x, weight, 1e-5)
    out.view("u2")[6, 40] ^= 1
    result = normproof.check("rms_norm", x=x, weight=weight, epsilon=1e-5, out=out)
    assert (result.rounding_violations + result.scale_violations, result.row, result.conforming_rows) == (1, 6, 8)
    again = _core.call_from_json(result.to_json()).check(_core.policy("native"))
    assert again["rounding_violations"] + again["scale_violations"] == 1


def test_calls_without_rows_conform():
    x, weight = random_inputs()
    result = normproof.check("rms_norm", x=x[:0], weight=weight, epsilon=1e-5, out=x[:0])
    assert result and result.rows == 0
    with pytest.raises(ValueError, match="no repro"):
        result.to_json()


def test_other_threads_run_while_it_judges():
    x, weight = random_inputs(rows=1024)
    out = kernels.rms_norm(x, weight, 1e-5)
    done = threading.Event()
    judge = threading.Thread(target=lambda: (normproof.check("rms_norm", x=x, weight=weight, epsilon=1e-5, out=out, threads=1),
                                             done.set()))
    judge.start()
    counted = 0
    while not done.wait(0.0001):
        counted += 1
    judge.join()
    assert counted >= 10  # judging 2 million elements takes milliseconds


# --- The same as the program. ---

def program_verdict(program, tmp_path, *arguments):
    status, output = program("check", *arguments, "--json", tmp_path / "verdict.json")
    assert status in (0, 1), output
    return json.loads((tmp_path / "verdict.json").read_text())["files"][0]


@pytest.mark.parametrize("kernel", [kernels.rms_norm, kernels.fp32_weight_multiply, kernels.dropped_tail])
@pytest.mark.parametrize("dtype", [BF16, numpy.float16, numpy.float32])
def test_check_says_what_the_program_says(program, tmp_path, kernel, dtype):
    x, weight = random_inputs(rows=20, hidden=301, dtype=dtype)
    call = dict(x=x, weight=weight, epsilon=1e-5, out=kernel(x, weight, 1e-5))
    normproof.write_dump(tmp_path / "dump.safetensors", "rms_norm", **call)
    theirs = program_verdict(program, tmp_path, tmp_path / "dump.safetensors")
    ours = normproof.check("rms_norm", **call)
    assert theirs["conforms"] == ours.conforms
    for name in ("rows", "elements", "special_rows", "conforming_rows", "rounding_violations", "scale_violations"):
        assert theirs[name] == getattr(ours, name), name
    assert theirs["worst_ulp_distance_of_r"] == ours.worst_ulp_distance
    assert [(entry["kind"].removesuffix(" violation"), entry["row"], [(element["column"], int(element["got"], 16)) for element in entry["elements"]])
            for entry in theirs["certificates"]] == [
        (certificate.kind, certificate.row, [(element.column, element.got) for element in certificate.elements])
        for certificate in ours.certificates]


def test_the_repro_violates_in_the_program_too(program, tmp_path):
    x, weight = random_inputs()
    for kernel, elements in ((kernels.fp32_weight_multiply, 16), (kernels.dropped_tail, 2047)):
        result = normproof.check("rms_norm", x=x[:, 1:], weight=weight[1:], epsilon=1e-5,
                                 out=kernel(x[:, 1:], weight[1:], 1e-5))
        file = tmp_path / "repro.json"
        file.write_text(result.to_json())
        assert normproof.read_case(file).shape[-1] <= elements
        assert program("check", file)[0] == 1


def test_run_gives_the_bits_of_the_program(program, tmp_path):
    # The canonical judge accepts one output only; the program's own kernels pass it, so ours must give the same bits.
    for operation in normproof.OPERATIONS:
        for index, case in enumerate(normproof.cases(operation, count=4, seed=11)):
            if case.shape[0] == 0:
                continue
            file, dump = tmp_path / f"{operation}-{index}.json", tmp_path / f"{operation}-{index}.safetensors"
            file.write_text(case.to_json())
            assert program("replay", file, "--dump", dump)[0] == 0
            header_size = int.from_bytes(dump.read_bytes()[:8], "little")
            header = json.loads(dump.read_bytes()[8:8 + header_size])
            for name, tensor in zip(("out", "residual_out"), case.run()):
                if tensor is not None:
                    begin, end = header[name]["data_offsets"]
                    theirs = dump.read_bytes()[8 + header_size + begin:8 + header_size + end]
                    assert not_nan_bytes(theirs, tensor.dtype) == not_nan_bytes(tensor.tobytes(), tensor.dtype), case


def not_nan_bytes(data, dtype):
    values = numpy.frombuffer(data, dtype)
    return numpy.where(numpy.isnan(values.astype("f4")), dtype.type("nan"), values).tobytes()


def test_outputs_and_residuals_wider_than_x_are_judged():
    """An fp32 weight that leaves fp32, as in Hugging Face, JAX and MLX; an fp32 residual stream."""
    random = numpy.random.RandomState(5)
    x = random.standard_normal((6, 48)).astype("f2")
    weight = (1 + 0.1 * random.standard_normal(48)).astype("f4")
    residual = random.standard_normal((6, 48)).astype("f4")

    def norm(s):
        r = (1 / numpy.sqrt((s.astype("f8") ** 2).mean(-1, keepdims=True) + 1e-6)).astype("f4")
        return (s.astype("f4") * r).astype("f2").astype("f4") * weight
    arguments = dict(x=x, weight=weight, epsilon=1e-6, policy="weight=activation")
    assert normproof.check("rms_norm", out=norm(x), **arguments)
    wrong = norm(x)
    wrong[3, 7] = numpy.nextafter(wrong[3, 7], numpy.float32(9))
    assert not normproof.check("rms_norm", out=wrong, **arguments)

    total = x.astype("f4") + residual
    r = (1 / numpy.sqrt((total.astype("f8") ** 2).mean(-1, keepdims=True) + 1e-6)).astype("f4")
    out = (total * r * weight).astype("f2")
    fused = dict(x=x, weight=weight, residual=residual, epsilon=1e-6, policy="weight=fp32")
    assert normproof.check("fused_add_rms_norm", out=out, residual_out=total, **fused)
    total[2, 5] = numpy.nextafter(total[2, 5], numpy.float32(9))
    assert not normproof.check("fused_add_rms_norm", out=out, residual_out=total, **fused)


def dynamic_int8(x, weight, epsilon, scale_ub=None, low=-128):
    """What vLLM does, built without fast math: the codes by the inverse of the scale, rounded to even, saturated."""
    y = kernels.rms_norm(x, weight, epsilon).astype(numpy.float32)
    largest = numpy.max(numpy.abs(y), axis=-1, keepdims=True)
    if scale_ub is not None:
        largest = numpy.minimum(largest, numpy.float32(scale_ub))
    scales = numpy.maximum(largest / numpy.float32(127), numpy.float32(2**-23))
    codes = numpy.clip(numpy.rint(y * (numpy.float32(1) / scales)), low, 127)
    return codes.astype(numpy.int8), scales


@pytest.mark.parametrize("scale_ub", [None, 1.5])
def test_int8_codes_and_an_upper_bound_are_judged(scale_ub):
    x, weight = random_inputs()
    out, scales = dynamic_int8(x, weight, 1e-5, scale_ub)
    judged = {"x": x, "weight": weight, "epsilon": 1e-5, "out": out, "scales": scales, "scale_ub": scale_ub}
    assert normproof.check("rms_norm_dynamic_quant", **judged).conforms
    wrong = out.copy()
    wrong[1, 7] += 1 if wrong[1, 7] < 127 else -1
    result = normproof.check("rms_norm_dynamic_quant", **(judged | {"out": wrong}))
    assert not result.conforms and result.row == 1
    # Another bound is another scale; without one nothing saturates.
    assert not normproof.check("rms_norm_dynamic_quant", **(judged | {"scale_ub": 1.25}))
    if scale_ub is not None:
        assert not normproof.check("rms_norm_dynamic_quant", **(judged | {"scale_ub": None}))
        assert (out == -128).any() and (out == 127).any()
        symmetric = dynamic_int8(x, weight, 1e-5, scale_ub, low=-127)[0]
        assert normproof.check("rms_norm_dynamic_quant", policy="int8_low=minus_127", **(judged | {"out": symmetric}))
        assert not normproof.check("rms_norm_dynamic_quant", **(judged | {"out": symmetric}))


def test_int8_and_the_upper_bound_elsewhere(tmp_path):
    x, weight = random_inputs(rows=2, hidden=64)
    call = {"x": x, "weight": weight, "epsilon": 1e-5}
    expected = normproof.expected("rms_norm_dynamic_quant", **call, quantized_dtype="int8", scale_ub=numpy.float32(1.5))
    assert expected.out.dtype == numpy.int8 and expected.scales.max() <= numpy.float32(1.5) / numpy.float32(127)
    found = normproof.identify("rms_norm_dynamic_quant", **call, out=expected.out, scales=expected.scales, scale_ub=1.5)
    assert found.survivors
    text = normproof.explain("rms_norm_dynamic_quant", **call, quantized_dtype="int8", scale_ub=1.5).text
    assert "scale_ub = 1.5" in text and "Q = int8" in text
    file = tmp_path / "dump.safetensors"
    normproof.write_dump(file, "rms_norm_dynamic_quant", **call, out=expected.out, scales=expected.scales, scale_ub=1.5)
    assert b'"scale_ub"' in file.read_bytes() and b'"I8"' in file.read_bytes()
    ours = normproof.run("rms_norm_dynamic_quant", **call, quantized_dtype="int8", scale_ub=1.5)
    assert (ours.out == expected.out).all() and (ours.scales == expected.scales).all()
    with pytest.raises(ValueError, match="quantized_dtype: expected one of fp8_e4m3fn"):
        normproof.expected("rms_norm_static_fp8_quant", **call, scale=1.0, quantized_dtype="int8")
    with pytest.raises(ValueError, match="scale_ub: expected a number above 0, got -1.0"):
        normproof.expected("rms_norm_dynamic_quant", **call, scale_ub=-1)
    with pytest.raises(TypeError, match="scale_ub: rms_norm has none, got float"):
        normproof.expected("rms_norm", **call, scale_ub=1.5)


def test_fast_math_codes_follow_a_policy_of_their_own():
    x, weight = random_inputs(rows=64, hidden=256)
    _, scales = dynamic_int8(x, weight, 1e-5)
    y = kernels.rms_norm(x, weight, 1e-5).astype(numpy.float32)
    nearest = numpy.float32(1) / scales
    exact = 1 / scales.astype(numpy.float64)
    other = numpy.where(exact > nearest, numpy.nextafter(nearest, numpy.float32(numpy.inf)),
                        numpy.nextafter(nearest, numpy.float32(0))).astype(numpy.float32)
    out = numpy.clip(numpy.rint(y * other), -128, 127).astype(numpy.int8)
    judged = {"x": x, "weight": weight, "epsilon": 1e-5, "out": out, "scales": scales}
    assert normproof.check("rms_norm_dynamic_quant", policy="scaling=approximate_inverse", **judged)
    result = normproof.check("rms_norm_dynamic_quant", **judged)
    assert 0 < result.conforming_rows < 64
