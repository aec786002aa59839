"""Operations that are judged where outputs are given: honest kernels conform under their policy, wrong ones do not; files, the program,
identification, arguments."""
import json

import ml_dtypes
import numpy
import pytest

import judged_kernels as kernels
import normproof
from normproof.testing import ConformanceError, assert_conforms

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
BF16 = ml_dtypes.bfloat16
COMPUTES = normproof.Takes(no_statistics=True)

HONEST = [
    ("layer_norm", kernels.layer_norm, "affine=fp32"),
    ("layer_norm", kernels.fused_multiply_add, "quack.layer_norm"),
    ("layer_norm", kernels.one_pass, "statistics=one_pass,affine=fp32"),
    ("layer_norm", kernels.welford, "pytorch.layer_norm,affine=fp32"),
    ("layer_norm", kernels.shifted, "form=shifted,affine=fp32"),
    ("layer_norm", kernels.as_on_a_cpu, "pytorch_cpu.layer_norm"),
    ("layer_norm", kernels.in_activation, "apex.layer_norm"),
    ("layer_norm", kernels.statistics_in_activation, "affine=fp32"),
    ("layer_norm", kernels.plus_one, "weight=fp32_plus_one,affine=fp32"),
    ("fused_add_layer_norm", kernels.fused_add, "affine=fp32"),
    ("fused_add_layer_norm", kernels.fused_add_in_fp32, "sum=fp32,affine=fp32"),
    ("grouped_rms_norm", kernels.grouped, "weight=fp32"),
    ("rms_norm_backward", kernels.rms_backward, "contraction=none"),
    ("rms_norm_backward", kernels.rms_backward_with_fused_correction, "quack.rms_norm_backward"),
    ("rms_norm_backward", kernels.rms_backward_of_sums, "pytorch.rms_norm_backward"),
    ("layer_norm_backward", kernels.layer_backward, "contraction=none"),
    ("layer_norm_backward", kernels.layer_backward_mean_first, "contraction=none,order=mean_first"),
    ("layer_norm_backward", kernels.layer_backward_together, "contraction=none,order=together"),
    ("qk_norm_rope", kernels.rope, "native"),
    ("qk_norm_rope", kernels.product_first, "weight=product_first"),
    ("qk_norm_rope", kernels.factor_first, "weight=factor_first"),
    ("qk_norm_rope", kernels.norm_plus_one, "weight=fp32_plus_one"),
    ("qk_norm_rope", kernels.rope_as_nvcc_fuses, "first_contraction=cosine,second_contraction=sine"),
    ("qk_norm_rope", kernels.rope_interleaved, "pairs=interleaved"),
    ("qk_norm_rope", kernels.rope_of_rounded_norm, "sglang.qk_norm_rope"),
    ("qk_norm_rope", kernels.rope_in_activation, "hugging_face.qk_norm_rope"),
]
WRONG = [
    ("layer_norm", kernels.with_statistics(statistics), "affine=fp32") for statistics in
    (kernels.epsilon_outside, kernels.sample_variance, kernels.of_rms, kernels.dropped_tail, kernels.mean_in_bf16, kernels.no_mean)
] + [
    ("layer_norm", kernels.one_pass, "affine=fp32"),
    ("layer_norm", kernels.in_activation, "affine=fp32"),
    ("layer_norm", kernels.layer_norm, "apex.layer_norm"),
    ("layer_norm", kernels.layer_norm, "form=shifted,affine=fp32"),
    ("layer_norm", kernels.shifted, "affine=fp32"),
    ("layer_norm", kernels.bias_before_weight, "affine=fp32"),
    ("layer_norm", kernels.no_bias, "affine=fp32"),
    ("layer_norm", kernels.shifted_weight, "affine=fp32"),
    ("layer_norm", kernels.stores_deviation, "affine=fp32"),
    ("layer_norm", kernels.stores_the_next_rstd, "affine=fp32"),
    ("fused_add_layer_norm", kernels.fused_add, "sum=fp32,affine=fp32"),
    ("fused_add_layer_norm", kernels.fused_add_in_fp32, "affine=fp32"),
    ("fused_add_layer_norm", kernels.keeps_the_residual, "affine=fp32"),
    ("grouped_rms_norm", kernels.first_row_of_the_weight, "weight=fp32"),
    ("rms_norm_backward", kernels.no_mean_term, "contraction=none"),
    ("rms_norm_backward", kernels.no_weight, "contraction=none"),
    ("rms_norm_backward", kernels.rstd_of_another_row, "contraction=none"),
    ("rms_norm_backward", kernels.dweight_with_rstd_of_another_row, "contraction=none"),
    ("rms_norm_backward", kernels.dweight_summed_in_the_activation, "contraction=none"),
    ("rms_norm_backward", kernels.dweight_without_the_last_row, "contraction=none"),
    ("layer_norm_backward", kernels.no_c2, "contraction=none"),
    ("layer_norm_backward", kernels.dweight_of_plain_x, "contraction=none"),
    ("layer_norm_backward", kernels.dbias_with_weight, "contraction=none"),
    ("qk_norm_rope", kernels.rotated_backwards, "native"),
    ("qk_norm_rope", kernels.rope, "pairs=interleaved"),
    ("qk_norm_rope", kernels.rope_of_rounded_norm, "native"),
    ("qk_norm_rope", kernels.rope_in_activation, "sglang.qk_norm_rope"),
    ("qk_norm_rope", kernels.swapped_cos_and_sin, "native"),
    ("qk_norm_rope", kernels.of_the_next_token, "native"),
    ("qk_norm_rope", kernels.not_normalized, "native"),
    ("qk_norm_rope", kernels.norm_over_all_heads, "native"),
]


@pytest.mark.parametrize("operation,kernel,policy", HONEST, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
def test_honest_kernels_conform(operation, kernel, policy, dtype):
    count = 10 if kernel is kernels.welford else 30
    found = assert_conforms(kernel, operation, dtype=dtype, policy=policy, cases=count, finite=True, max_hidden=512)
    assert found.cases == count and found.elements > 1000


@pytest.mark.parametrize("operation,kernel", [("rms_norm_backward", kernels.rms_backward_with_own_rstd),
                                              ("layer_norm_backward", kernels.layer_backward_with_own_statistics)])
def test_gradients_that_compute_their_statistics_are_called_without(operation, kernel):
    found = assert_conforms(kernel, operation, policy="contraction=none", takes=COMPUTES, cases=12, finite=True, max_hidden=64)
    assert found.cases == 12


def test_a_wrong_gradient_without_statistics_has_a_replay(tmp_path):
    with pytest.raises(ConformanceError) as caught:
        assert_conforms(kernels.own_rstd_without_epsilon, "rms_norm_backward", policy="contraction=none", takes=COMPUTES, finite=True,
                        max_hidden=64, shrink_seconds=0.5, findings=tmp_path)
    case = normproof.read_case(caught.value.repro)
    assert case.tensor("rstd") is None and len(case.arguments()) == 4 and "no_statistics=True" in str(caught.value)
    with pytest.raises(ConformanceError):
        assert_conforms(kernels.own_rstd_without_epsilon, "rms_norm_backward", policy="contraction=none", cases=[case], shrink=False)


@pytest.mark.parametrize("weight", ["fp32", None])
def test_dtypes_of_weight_and_bias(weight):
    for operation, kernel, policy in HONEST:
        if kernel is not kernels.in_activation and kernel is not kernels.rope_in_activation:
            assert_conforms(kernel, operation, policy=policy, weight=weight, bias=weight, cases=5, finite=True, max_hidden=64)


def test_special_values_conform():
    assert_conforms(kernels.layer_norm, "layer_norm", policy="affine=fp32", cases=60, max_hidden=64)
    assert_conforms(kernels.rope, "qk_norm_rope", cases=60)


@pytest.mark.parametrize("operation,kernel,policy", WRONG, ids=lambda value: getattr(value, "__name__", value))
def test_wrong_kernels_do_not_conform(operation, kernel, policy, tmp_path):
    with pytest.raises(ConformanceError) as caught:
        assert_conforms(kernel, operation, policy=policy, finite=True, max_hidden=1024, shrink_seconds=0.5, findings=tmp_path)
    error = caught.value
    assert error.result is not None and "violation in" in error.result.certificate and error.reproduced
    assert error.case.x.size <= 64, error  # shrinking leaves little
    case = normproof.read_case(error.repro)
    assert not case.check(policy=policy)
    assert "replay: assert_conforms(" in str(error) and f"check:  normproof check {error.repro}" in str(error)


def example(operation, seed=3, **choices):
    """A case with several rows."""
    for case in normproof.cases(operation, seed=seed, finite=True, max_hidden=512, **choices):
        if case.rows >= 4 and case.shape[-1] >= 32:
            return case
    raise AssertionError("no such case")


def named(operation, values):
    names = normproof._judged.judged_outputs(operation)
    return dict(zip(names, values if isinstance(values, tuple) else (values,)))


def inputs_of(case):
    given = {name: case.tensor(name) for name in normproof._judged.judged_inputs(case.operation)}
    return {name: value for name, value in given.items() if value is not None} | (
        {"epsilon": case.epsilon} if "epsilon" in case._argument_names() else {})


@pytest.mark.parametrize("operation,kernel,policy", [next(entry for entry in HONEST if entry[1] is kernel) for kernel in (
    kernels.layer_norm, kernels.fused_add, kernels.rms_backward, kernels.layer_backward, kernels.rope)])
def test_a_bit_is_seen_and_the_program_says_the_same(operation, kernel, policy, program, tmp_path):
    case = example(operation)
    for tensor in normproof._judged.judged_outputs(operation)[:2]:
        outputs = named(operation, kernel(*case.arguments()))
        assert normproof.check(operation, policy=policy, **inputs_of(case), **outputs)
        if tensor == "mean":
            continue
        flat = outputs[tensor].reshape(-1).view("u2")
        flat[flat.size // 2] ^= 64
        result = normproof.check(operation, policy=policy, **inputs_of(case), **outputs)
        assert not result and tensor in result.certificate and result.not_looked_at
        assert result.bits == int(flat[flat.size // 2])
        with pytest.raises(normproof.ViolationError):
            normproof.check(operation, policy=policy, raises=True, **inputs_of(case), **outputs)
        dump, repro, verdict = tmp_path / "dump.safetensors", tmp_path / "repro.json", tmp_path / "verdict.json"
        normproof.write_dump(dump, operation, policy=policy, **inputs_of(case), **outputs)
        repro.write_text(result.to_json())
        for file in (dump, repro):
            status, text = program("check", file, "--json", verdict)
            assert status == 1 and "not looked at:" in text, text
            found = json.loads(verdict.read_text())["files"][0]
            assert (found["operation"], found["policy"], found["conforms"]) == (operation, result.policy, False)
            assert found["certificates"][0]["tensor"] == tensor
        assert not normproof.read_case(repro).check(policy=policy)


def test_the_program_on_good_dumps(program, tmp_path):
    case = example("layer_norm")
    dump = tmp_path / "dump.safetensors"
    normproof.write_dump(dump, "layer_norm", policy="affine=fp32", out=kernels.layer_norm(*case.arguments())[0], **inputs_of(case))
    assert program("check", dump)[0] == 0
    status, text = program("identify", dump)
    assert status == 0 and "policy " in text and "quack.layer_norm" in text
    assert program("check", dump, "--op", "rms_norm_backward")[0] == 2
    assert program("check", dump, "--canonical")[0] == 2
    status, text = program("explain", dump, "--row", "0", "--column", "0")
    assert status == 0 and "fl(fl(x - mean) * rstd)" in text and "what the canonical order of summation arrives at" in text
    assert program("explain", dump, "--row", "100000")[0] == 2
    status, text = program("order", "--target", "host", "--op", "layer_norm")
    assert status == 2 and "does not know layer_norm" in text and "normproof verify" in text
    assert "plug-ins, and kernels of ours" in program("list")[1]


def test_identify_names_what_explains_the_outputs():
    for operation, kernel, policy in HONEST:
        wanted = str(normproof._core.judged_policy(operation, policy))
        if "activation" in wanted or "statistics" in wanted or operation == "grouped_rms_norm":  # no other bits in fp32
            continue
        left = None
        for case in normproof.cases(operation, "fp32", seed=1, count=16, finite=True, max_hidden=150):
            if case.shape[-1] < 10 or case.shape[-1] & (case.shape[-1] - 1) == 0:  # H * w is exact for a power of two
                continue
            found = normproof.identify(operation, **inputs_of(case), **named(operation, kernel(*case.arguments())))
            explain = {*found.survivors, *(entry.policy for entry in found.loose)}
            assert wanted in explain, (kernel, found.text)
            left = explain if left is None else left & explain
        # Together the cases leave no other arithmetic, but for the roundings to T that are none in fp32.
        assert left is not None and not {policy for policy in left if "activation" not in policy and "statistics" not in policy} - {
            wanted, wanted.removeprefix("sum=fp32,"), "sum=fp32," + wanted}, (kernel, left)
    case = example("layer_norm")
    found = normproof.identify("layer_norm", **inputs_of(case), out=kernels.in_activation(*case.arguments()))
    assert any(name.startswith("apex.layer_norm ") for name in found.names) and found.axes["affine"]["activation"][0]
    assert found.axes["normalized"]["fp32"][0] is False and "violation" in found.axes["normalized"]["fp32"][1]
    found = normproof.identify("layer_norm", **inputs_of(case), out=kernels.bias_before_weight(*case.arguments()))
    assert not found and "violation" in found.certificate and "closest" in str(found)


def test_statistics_that_would_explain_the_row_are_told():
    case = example("layer_norm", seed=4)
    wrong = kernels.with_statistics(kernels.sample_variance)(*case.arguments())
    small = next(case for case in normproof.cases("layer_norm", finite=True, max_hidden=8) if case.shape[-1] == 4)
    result = normproof.check("layer_norm", policy="affine=fp32", **inputs_of(small),
                             out=kernels.with_statistics(kernels.sample_variance)(*small.arguments()))
    assert result.certificates[0].kind == "scale" and "the whole row would be explained by mean = " in result.certificate
    assert "0.86" in result.certificate  # sqrt(3 / 4)
    wrong.view("u2")[0, 0] ^= 64
    result = normproof.check("layer_norm", policy="affine=fp32", **inputs_of(case), out=wrong)
    assert result.certificates[0].kind == "rounding"


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_a_further_gradient(dtype):
    case = example("rms_norm_backward", dtype=dtype)
    dy, x, weight, rstd = case.arguments()
    further = numpy.roll(dy, 1, axis=-1)
    xh, wdy = kernels.normalized(x, None, rstd), kernels.weighted(dy, weight)
    dx = (wdy - xh * kernels.mean_of(xh * wdy)) * rstd
    before = (dx + further.astype("f4")).astype(x.dtype)
    after = (dx.astype(x.dtype).astype("f4") + further.astype("f4")).astype(x.dtype)
    for out, policy in ((before, "before_rounding"), (after, "after_rounding")):
        found = normproof.identify("rms_norm_backward", **inputs_of(case), dresidual=further, dx=out)
        assert [policy for policy in found.survivors if policy.endswith("none")] or dtype == "bf16"
        for other in ("before_rounding", "after_rounding"):
            verdict = normproof.check("rms_norm_backward", **inputs_of(case), dresidual=further, dx=out, policy=f"contraction=none,dresidual={other}")
            assert bool(verdict) == (other == policy or dtype == "fp32"), (policy, other)
    assert not normproof.check("rms_norm_backward", **inputs_of(case), dx=before, policy="contraction=none")


def test_a_shifted_norm_is_named_and_its_rows_without_a_verdict_are_counted(tmp_path):
    with pytest.raises(ConformanceError, match="pytorch_cpu.layer_norm"):
        assert_conforms(kernels.as_on_a_cpu, "layer_norm", dtype="fp16", policy="pytorch.layer_norm", finite=True, max_hidden=64,
                        findings=tmp_path, shrink_seconds=0.5)
    # A variance that cancels admits millions of rstd, and no n of these is what came out.
    x = numpy.float32([[1200, 1200.0001, 1200.0002]])
    given = dict(x=x, epsilon=1e-5, policy="statistics=one_pass_clamped,form=shifted_fma")
    result = normproof.check("layer_norm", out=numpy.float32([[1.23e-4, -3.21e-4, 2.22e-4]]), **given)
    assert result and result.undecided == 1 and any(line.startswith("1 of 1 rows") for line in result.not_looked_at)
    assert not normproof.check("layer_norm", out=numpy.float32([[1.23e-4, 1e6, 2.22e-4]]), **given)


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_gradients_of_kernels_that_compute_the_statistics(dtype):
    refuted = 0
    for case in normproof.cases("rms_norm_backward", dtype, seed=5, count=12, finite=True, max_hidden=300):
        dy, x, weight, rstd = case.arguments()
        dx, dweight = kernels.rms_backward(dy, x, weight, rstd)
        given = dict(dy=dy, x=x, weight=weight, epsilon=case.epsilon, policy="contraction=none")
        result = normproof.check("rms_norm_backward", dx=dx, dweight=dweight, raises=True, **given)
        assert any("dweight" in line for line in result.not_looked_at) and result.rows == x.shape[0]
        wrong = kernels.no_weight(dy, x, weight, rstd)
        refuted += not normproof.check("rms_norm_backward", dx=wrong, **given)
    assert refuted >= 6
    for case in normproof.cases("layer_norm_backward", dtype, seed=5, count=8, finite=True, max_hidden=100):
        dy, x, weight, mean, rstd = case.arguments()
        dx = kernels.layer_backward(dy, x, weight, mean, rstd)[0]
        given = dict(dy=dy, x=x, weight=weight, epsilon=case.epsilon, policy="contraction=none")
        for more in ({}, {"mean": mean}):
            result = normproof.check("layer_norm_backward", dx=dx, raises=True, **more, **given)
            assert any("given up" in line for line in result.not_looked_at)
    with pytest.raises(TypeError, match="epsilon: rms_norm_backward without rstd needs it, got None"):
        normproof.check("rms_norm_backward", dy=x, x=x, dx=x)
    with pytest.raises(TypeError, match="epsilon: rms_norm_backward has none"):
        normproof.check("rms_norm_backward", dy=x, x=x, rstd=rstd, dx=x, epsilon=1e-6)
    with pytest.raises(ValueError, match="mean: a kernel that was given rstd"):
        normproof.check("layer_norm_backward", dy=x, x=x, rstd=rstd, dx=x)
    with pytest.raises(ValueError, match="dweight: it is judged only where the statistics are given"):
        normproof.check("rms_norm_backward", dy=x, x=x, dweight=x[0], epsilon=1e-6)


def test_weights_of_several_rows(program, tmp_path):
    random = numpy.random.default_rng(3)
    x = random.standard_normal((5, 4, 64)).astype(BF16)
    for shape in ((4, 64), (5, 4, 64), (64,)):
        weight = (1 + random.standard_normal(shape) / 4).astype(BF16)
        out = kernels.grouped(x, weight, 1e-6)
        result = normproof.check("rms_norm", x=x, weight=weight, epsilon=1e-6, out=out, policy="pytorch.rms_norm", raises=True)
        assert result.rows == 20 and ("grouped" in result.subject) == (len(shape) > 1)
        assert "weight=fp32" in normproof.identify("rms_norm", x=x, weight=weight, epsilon=1e-6, out=out).survivors
        dump = tmp_path / "dump.safetensors"
        normproof.write_dump(dump, "rms_norm", x=x, weight=weight, epsilon=1e-6, out=out, policy="pytorch.rms_norm")
        assert program("check", dump)[0] == 0
        if len(shape) > 1:
            wrong = kernels.first_row_of_the_weight(x, weight, 1e-6)
            result = normproof.check("rms_norm", x=x, weight=weight, epsilon=1e-6, out=wrong, policy="weight=fp32")
            assert 0 < result.conforming_rows <= 5 and "weight" in result.certificates[0].elements[0].values
    layer = kernels.layer_norm(x, weight.reshape(64), weight.reshape(64), 1e-5)[0]
    several = numpy.broadcast_to(weight, (4, 64)).copy()
    assert normproof.check("layer_norm", x=x, weight=several, bias=weight, epsilon=1e-5, out=layer, policy="affine=fp32")
    several[2] *= BF16(2)
    assert normproof.check("layer_norm", x=x, weight=several, bias=weight, epsilon=1e-5, out=layer, policy="affine=fp32").conforming_rows == 15
    with pytest.raises(ValueError, match=r"weight: expected shape \(64\), the hidden size, or more of the last dimensions of x, got \(3, 64\)"):
        normproof.check("rms_norm", x=x, weight=several[:3], epsilon=1e-6, out=out)


def test_what_says_little_says_so():
    zeros = numpy.zeros((4, 8), BF16)
    result = normproof.check("layer_norm", x=zeros, weight=zeros[0], bias=zeros[0], out=zeros, epsilon=1e-5)
    assert result and "says little" in result.doubt
    found = normproof.identify("layer_norm", x=zeros, weight=zeros[0], bias=zeros[0], out=zeros, epsilon=1e-5)
    assert not found and found.loose and "says nothing" in str(found)


def test_arguments_are_refused_by_name():
    x, weight = numpy.zeros((2, 4), BF16), numpy.zeros(4, BF16)
    for error, message, arguments in (
            (TypeError, "out: layer_norm needs it, got None", dict(x=x, epsilon=1e-5)),
            (TypeError, "epsilon: layer_norm needs it, got None", dict(x=x, out=x)),
            (TypeError, "beta: layer_norm has none", dict(x=x, out=x, beta=weight, epsilon=1e-5)),
            (TypeError, "scales: layer_norm has none", dict(x=x, out=x, scales=weight, epsilon=1e-5)),
            (TypeError, "weight: expected dtype bf16 or fp32, got fp16", dict(x=x, out=x, weight=weight.astype("f2"), epsilon=1e-5)),
            (ValueError, r"bias: expected shape \(4\), the hidden size, got \(3\)", dict(x=x, out=x, bias=weight[:3], epsilon=1e-5)),
            (ValueError, r"mean: expected shape \(2, 1\), one for each row", dict(x=x, out=x, mean=numpy.zeros(3, "f4"), epsilon=1e-5)),
            (ValueError, "policy: \"pytorch.rms_norm\" is neither", dict(x=x, out=x, epsilon=1e-5, policy="pytorch.rms_norm")),
            (ValueError, "canonical: expected False for layer_norm", dict(x=x, out=x, epsilon=1e-5, canonical=True))):
        with pytest.raises(error, match=message):
            normproof.check("layer_norm", **arguments)
    with pytest.raises(TypeError, match="dx, dweight: expected at least one of them"):
        normproof.check("rms_norm_backward", x=x, dy=x, rstd=numpy.ones(2, "f4"))
    with pytest.raises(TypeError, match="epsilon: rms_norm_backward has none"):
        normproof.check("rms_norm_backward", x=x, dy=x, dx=x, rstd=numpy.ones(2, "f4"), epsilon=1e-5)
    with pytest.raises(TypeError, match="bias: rms_norm has none, got ndarray"):
        normproof.check("rms_norm", x=x, out=x, bias=weight, epsilon=1e-5)
    with pytest.raises(ValueError, match="cos: expected at most 2 numbers"):
        normproof.check("qk_norm_rope", x=x[None], out=x[None], cos=weight[None], sin=weight[None], epsilon=1e-5)
    with pytest.raises(ValueError, match="whose outputs check"):
        normproof.run("layer_norm", x=x, epsilon=1e-5)
    with pytest.raises(TypeError, match="must return out or a tuple"):
        assert_conforms(lambda *arguments: None, "layer_norm")


def test_cases_are_the_same_for_a_seed_and_aim_at_what_breaks():
    first, again = (list(normproof.cases("layer_norm", seed=5, count=40)) for _ in range(2))
    assert [case.to_json() for case in first] == [case.to_json() for case in again]
    assert {case.shape[-1] for case in first} & set(range(1, 9)) and max(case.shape[-1] for case in first) >= 1024
    f = [case.x.astype("f8") for case in first]
    assert any((abs(x.mean(-1)) > 50 * x.std(-1)).any() for x in f if numpy.isfinite(x).all() and x.shape[-1] > 8)
    assert any((x.std(-1) == 0).any() for x in f) and any(not numpy.isfinite(x).all() for x in f)
    assert all(numpy.isfinite(case.x.astype("f4")).all() for case in normproof.cases("layer_norm", seed=5, count=40, finite=True))
