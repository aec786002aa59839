"""watch and compare on small models in numpy: policies are named, dumps read back, and of planted causes each is named."""
import json

import judged_kernels
import kernels
import ml_dtypes
import models
import numpy
import pytest

import normproof
from models import BF16, FP32, TOKENS, Model

FP16 = numpy.float16


def watched(model, **keywords):
    with normproof.watch(model, rows=keywords.pop("rows", 12), **keywords) as found:
        model(TOKENS)
    return found


def normal(dtype=BF16, rows=12, **keywords):
    return watched(Model(dtype=dtype, **keywords), rows=rows)


@pytest.fixture(scope="module")
def plain():
    return {dtype: normal(dtype) for dtype in (BF16, FP32)}


def kernel(module, replacement):
    def plant(model):
        model.part(module).kernel = replacement
    return plant


def change(module, **values):
    def plant(model):
        for name, value in values.items():
            setattr(model.part(module), name, value)
    return plant


def everywhere(replacement):
    def plant(model):
        for _, module in model.named_modules():
            if isinstance(module, models.TinyRMSNorm):
                module.kernel = replacement
    return plant


def flipped_weight(module):
    def plant(model):
        norm = model.part(module)
        norm.weight = norm.weight.copy()
        norm.weight[5] = -norm.weight[5]
    return plant


def wide_weight(module):
    def plant(model):
        norm = model.part(module)
        norm.weight = norm.weight.astype(FP32)
        norm.kernel = lambda x, weight, epsilon: kernels.rms_norm(x, weight.astype(x.dtype), epsilon)
    return plant


def several(*plants):
    def plant(model):
        for each in plants:
            each(model)
    return plant


def other_table(model):
    model.table = (model.table.astype(FP32) * FP32(1.25)).astype(model.table.dtype)


IN, POST, Q, LAST = "layers.{}.input_layernorm", "layers.{}.post_attention_layernorm", "layers.{}.self_attn.q_norm", "norm"

# What is planted, in which dtype; the first norm that is to be named, and how it differs. For what is in no norm: None, and the first
# norm that gets other inputs.
PLANTED = [
    ("nothing", BF16, lambda model: None, None, None),
    ("nothing, fp32", FP32, lambda model: None, None, None),
    ("fp32 weight multiply, first norm", BF16, kernel(IN.format(0), kernels.fp32_weight_multiply), IN.format(0), "policy"),
    ("fp32 weight multiply, in the middle", BF16, kernel(POST.format(2), kernels.fp32_weight_multiply), POST.format(2), "policy"),
    ("fp32 weight multiply, of heads", BF16, kernel(Q.format(1), kernels.fp32_weight_multiply), Q.format(1), "policy"),
    ("fp32 weight multiply, last norm", BF16, kernel(LAST, kernels.fp32_weight_multiply), LAST, "policy"),
    ("fp32 weight multiply everywhere", BF16, everywhere(kernels.fp32_weight_multiply), IN.format(0), "policy"),
    ("1 + weight", BF16, kernel(IN.format(1), models.plus_one), IN.format(1), "policy"),
    ("truncated", BF16, kernel(POST.format(0), models.truncated), POST.format(0), "policy"),
    ("in sequence", FP32, kernel(IN.format(1), models.in_sequence), IN.format(1), "order"),
    ("from the end", FP32, kernel(Q.format(2), models.from_the_end), Q.format(2), "order"),
    ("in fp64", FP32, kernel(IN.format(3), models.in_fp64), IN.format(3), "order"),
    ("in sequence everywhere", FP32, everywhere(models.in_sequence), IN.format(0), "order"),
    ("without the last element", BF16, kernel(POST.format(1), models.without_the_last), POST.format(1), "bug"),
    ("without the last element, fp32", FP32, kernel(Q.format(0), models.without_the_last), Q.format(0), "bug"),
    ("divided by one less", BF16, kernel(IN.format(2), models.by_one_less), IN.format(2), "bug"),
    ("another epsilon than it says", BF16, kernel(IN.format(3), models.with_epsilon(1e-2)), IN.format(3), "bug"),
    ("another epsilon than it says, fp32", FP32, kernel(LAST, models.with_epsilon(1e-3)), LAST, "bug"),
    ("no weight multiply", BF16, kernel(IN.format(1), models.without_weight), IN.format(1), "bug"),
    ("12 bits of the root", FP32, kernel(POST.format(2), models.with_rounded_root), POST.format(2), "bug"),
    ("the neighbour's root", BF16, kernel(IN.format(2), models.root_of_the_neighbour), IN.format(2), "bug"),
    ("one row", BF16, kernel(POST.format(1), models.first_row_wrong), POST.format(1), "bug"),
    ("one column", BF16, kernel(IN.format(0), models.one_element_wrong), IN.format(0), "bug"),
    ("one column of heads, fp32", FP32, kernel(Q.format(3), models.one_element_wrong), Q.format(3), "bug"),
    ("epsilon", BF16, change(POST.format(2), variance_epsilon=1e-5), POST.format(2), "epsilon"),
    ("epsilon, fp32", FP32, change(IN.format(0), variance_epsilon=1e-5), IN.format(0), "epsilon"),
    ("a sign of the weight", BF16, flipped_weight(Q.format(2)), Q.format(2), "weight"),
    ("the weight in fp32", BF16, wide_weight(POST.format(1)), POST.format(1), "weight"),
    ("attention", BF16, change("layers.1.self_attn", noise=.5), None, POST.format(1)),
    ("attention, fp32", FP32, change("layers.2.self_attn", noise=1e-4), None, POST.format(2)),
    ("the embedding", BF16, other_table, None, IN.format(0)),
    ("attention, then a policy", BF16, several(change("layers.0.self_attn", noise=.5), kernel(POST.format(2), kernels.fp32_weight_multiply)),
     POST.format(2), "policy"),
    ("attention, then a bug", BF16, several(change("layers.0.self_attn", noise=.5), kernel(IN.format(3), models.without_the_last)),
     IN.format(3), "bug"),
    ("a policy, then a bug", BF16, several(kernel(IN.format(1), kernels.fp32_weight_multiply), kernel(POST.format(2), models.one_element_wrong)),
     IN.format(1), "policy"),
]


@pytest.mark.parametrize("dtype, plant, module, difference", [entry[1:] for entry in PLANTED], ids=[entry[0] for entry in PLANTED])
def test_the_planted_cause_is_named(plain, dtype, plant, module, difference):
    model = Model(dtype=dtype)
    plant(model)
    found = normproof.compare(plain[dtype], watched(model))
    assert_named(found, module, difference)
    assert_innocent_are_not_accused(found, model, Model(dtype=dtype))


def assert_named(found, module, difference):
    if module is None:
        assert found and found.first is None, str(found)
        assert (found.first_other_inputs.module if found.first_other_inputs else None) == difference
    else:
        assert not found and (found.first.module, found.first.difference) == (module, difference), str(found)


def assert_innocent_are_not_accused(found, model, reference):
    """None but those whose kernel or parameters are others."""
    for norm in found.norms:
        own, usual = model.part(norm.module), reference.part(norm.module)
        innocent = own.kernel is usual.kernel and own.variance_epsilon == usual.variance_epsilon and numpy.array_equal(
            own.weight, usual.weight) and numpy.array_equal(getattr(own, "bias", 0), getattr(usual, "bias", 0))
        assert not (innocent and norm.is_arithmetic), str(norm)
        if not innocent and not norm.is_arithmetic:
            assert norm.different == 0


def layer_norm_model(dtype=BF16, **keywords):
    return Model(dtype=dtype, norm_class=models.TinyLayerNorm, kernel=models.layer_norm, epsilon=1e-5, **keywords)


def shifted_bias(module):
    def plant(model):
        norm = model.part(module)
        norm.bias = norm.bias.copy()
        norm.bias[3] = -norm.bias[3] - norm.bias.dtype.type(.5)
    return plant


PLANTED_LAYER_NORMS = [
    ("nothing", BF16, lambda model: None, None, None),
    ("nothing, fp32", FP32, lambda model: None, None, None),
    ("rounded as Apex", BF16, kernel(IN.format(0), judged_kernels.in_activation), IN.format(0), "policy"),
    ("1 + weight", BF16, kernel(POST.format(2), judged_kernels.plus_one), POST.format(2), "policy"),
    ("a fused multiply and add, fp32", FP32, kernel(Q.format(1), judged_kernels.fused_multiply_add), Q.format(1), "policy"),
    ("everywhere", BF16, everywhere(judged_kernels.in_activation), IN.format(0), "policy"),
    ("in sequence", FP32, kernel(IN.format(1), models.layer_norm_with(models.mean_in_sequence)), IN.format(1), "order"),
    ("no mean in the variance", BF16, kernel(POST.format(1), models.layer_norm_with(judged_kernels.of_rms)), POST.format(1), "bug"),
    ("sample variance", BF16, kernel(IN.format(2), models.layer_norm_with(judged_kernels.sample_variance)), IN.format(2), "bug"),
    ("without the last element", BF16, kernel(LAST, models.layer_norm_with(judged_kernels.dropped_tail)), LAST, "bug"),
    ("no bias", BF16, kernel(Q.format(0), models.layer_norm_without_bias), Q.format(0), "bug"),
    ("another epsilon than it says", BF16, kernel(IN.format(3), models.layer_norm_by_epsilon(1e-1)), IN.format(3), "bug"),
    ("the neighbour's statistics", BF16, kernel(POST.format(0), models.layer_norm_of_the_neighbour), POST.format(0), "bug"),
    ("one column", BF16, kernel(Q.format(2), models.layer_norm_with_one_wrong), Q.format(2), "bug"),
    ("epsilon", BF16, change(POST.format(2), variance_epsilon=1e-3), POST.format(2), "epsilon"),
    ("a sign of the weight", BF16, flipped_weight(Q.format(2)), Q.format(2), "weight"),
    ("a number of the bias", BF16, shifted_bias(POST.format(1)), POST.format(1), "weight"),
    ("attention", BF16, change("layers.1.self_attn", noise=.5), None, POST.format(1)),
    ("attention, fp32", FP32, change("layers.2.self_attn", noise=1e-4), None, POST.format(2)),
    ("attention, then a bug", BF16, several(change("layers.0.self_attn", noise=.5), kernel(IN.format(3), models.layer_norm_with(judged_kernels.of_rms))),
     IN.format(3), "bug"),
]


@pytest.fixture(scope="module")
def plain_layer_norms():
    return {dtype: watched(layer_norm_model(dtype)) for dtype in (BF16, FP32)}


@pytest.mark.parametrize("dtype, plant, module, difference", [entry[1:] for entry in PLANTED_LAYER_NORMS],
                         ids=[entry[0] for entry in PLANTED_LAYER_NORMS])
def test_the_planted_cause_is_named_in_layer_norms(plain_layer_norms, dtype, plant, module, difference):
    model, reference = layer_norm_model(dtype), layer_norm_model(dtype)
    plant(model)
    found = normproof.compare(plain_layer_norms[dtype], watched(model))
    assert_named(found, module, difference)
    assert_innocent_are_not_accused(found, model, reference)


GATED = "layers.{}"
PLANTED_GATED = [
    ("nothing", BF16, lambda model: None, None, None),
    ("nothing, fp32", FP32, lambda model: None, None, None),
    ("the gate first", BF16, kernel(GATED.format(1), models.gate_first), GATED.format(1), "policy"),
    ("weight and gate in fp32", BF16, kernel(GATED.format(0), models.gated_in_fp32), GATED.format(0), "policy"),
    ("sigmoid", BF16, kernel(GATED.format(2), models.gated_by(models.sigmoid)), GATED.format(2), "policy"),
    ("sigmoid everywhere, fp32", FP32, everywhere(models.gated_by(models.sigmoid)), GATED.format(0), "policy"),
    ("in sequence", FP32, kernel(GATED.format(1), models.gated_with(models.root_in_sequence)), GATED.format(1), "order"),
    ("without the last element", BF16, kernel(GATED.format(1), models.gated_with(models.root_without_the_last)), GATED.format(1), "bug"),
    ("without the gate", BF16, kernel(GATED.format(0), models.gated_by(numpy.ones_like)), GATED.format(0), "bug"),
    ("one column", BF16, kernel(GATED.format(2), models.gated_with_one_wrong), GATED.format(2), "bug"),
    ("epsilon", BF16, change(GATED.format(1), variance_epsilon=1e-3), GATED.format(1), "epsilon"),
    ("a sign of the weight", BF16, flipped_weight(GATED.format(2)), GATED.format(2), "weight"),
    ("the gates", BF16, change("", noise=.5), None, GATED.format(1)),
    ("the gates, then a bug", BF16, several(change("", noise=.5), kernel(GATED.format(2), models.gated_with_one_wrong)), GATED.format(2), "bug"),
]


@pytest.fixture(scope="module")
def plain_gated():
    return {dtype: watched(models.GatedModel(dtype=dtype)) for dtype in (BF16, FP32)}


@pytest.mark.parametrize("dtype, plant, module, difference", [entry[1:] for entry in PLANTED_GATED], ids=[entry[0] for entry in PLANTED_GATED])
def test_the_planted_cause_is_named_in_gated_norms(plain_gated, dtype, plant, module, difference):
    model, reference = models.GatedModel(dtype=dtype), models.GatedModel(dtype=dtype)
    plant(model)
    found = normproof.compare(plain_gated[dtype], watched(model))
    assert_named(found, module, difference)
    assert_innocent_are_not_accused(found, model, reference)


def test_gated_norms_are_judged_as_such(plain_gated, tmp_path, program):
    found = plain_gated[BF16]
    assert found and [norm.operation for norm in found.norms] == ["gated_rms_norm"] * 3 and not found.not_judged
    assert all("hugging_face.gated_rms_norm" in str(norm.identification.names) for norm in found.norms), str(found)
    first = watched(models.GatedModel(kernel=models.gate_first))
    assert first and all("order=gate_first" in norm.policy for norm in first.norms), str(first)
    assert not watched(models.GatedModel(), policy="mamba.gated_rms_norm") and watched(models.GatedModel(), policy="hugging_face.gated_rms_norm")
    file = tmp_path / "gated.safetensors"
    found.write(file)
    assert normproof.compare(found, file)
    assert program("check", file)[0] == 0 and "gated_rms_norm bf16" in program("identify", f"{file}#{GATED.format(1)}")[1]
    # By name, in any order; and by number where forward does not say.
    norm, x = models.GatedRMSNorm(numpy.ones(64, BF16), 1e-6, models.gated), numpy.ones((9, 64), BF16)
    with normproof.watch(norm) as named:
        norm(gate=x, hidden_states=x)
    assert [each.operation for each in named.norms] == ["gated_rms_norm"]
    norm.forward = lambda *tensors: models.gated(*tensors, norm.weight, norm.variance_epsilon)
    with normproof.watch(norm) as numbered:
        norm(x, x)
    assert [each.operation for each in numbered.norms] == ["gated_rms_norm"]


def test_an_engine_records_its_gated_norms():
    x = numpy.random.RandomState(0).standard_normal((9, 64)).astype(BF16)
    found = normproof.Watched()
    found.record("layers.0.norm", "gated_rms_norm", x=x, gate=x, epsilon=1e-6, out=models.gated(x, x, None, 1e-6))
    assert found.judge() and found.norms[0].policy
    with pytest.raises(TypeError, match="gate: rms_norm has none"):
        found.record("layers.0.norm", "rms_norm", x=x, gate=x, epsilon=1e-6, out=x)


def test_layer_norms_are_judged_as_such(tmp_path, program):
    file = tmp_path / "model.safetensors"
    found = watched(layer_norm_model(), dump=file)
    assert found and {norm.operation for norm in found.norms} == {"layer_norm"} and not found.not_judged
    assert all(norm.policy for norm in found.norms) and "layer_norm bf16, weight bf16, bias bf16" in str(found)
    # bf16 hardly shows a contraction, fp32 does.
    assert {norm.policy for norm in watched(layer_norm_model(FP32)).norms} == {"affine=fp32"}
    assert normproof.compare(found, file)
    kinds = {type(call).__name__ for _, call, *_ in normproof._core.Model.read(str(file)).calls()}
    assert kinds == {"JudgedCall"}
    status, said = program("check", file)
    assert status == 0 and "files: 13, conforming 13" in said
    module = f"{file}#{POST.format(2)}"
    assert program("check", module, "--policy", "affine=activation")[0] == 1
    assert "layer_norm bf16" in program("identify", module)[1]
    status, said = program("compare", file, file)
    assert status == 0 and "every norm got and gave the same bits" in said
    assert watched(layer_norm_model(), policy="affine=fp32") and not watched(layer_norm_model(), policy="affine=activation")
    other = layer_norm_model()
    other.part(IN.format(1)).kernel = models.layer_norm_with(judged_kernels.of_rms)
    found = watched(other)
    assert not found and found[IN.format(1)].policy is None and "no known policy: 1: layers.1.input_layernorm" in str(found)


def test_an_order_that_errs_to_one_side_is_doubted(plain):
    """An epsilon ten times too large lies within what an order of summation may do to short rows, but not to both sides."""
    model = Model(dtype=FP32)
    model.part(LAST).kernel = models.with_epsilon(1e-5)
    found = normproof.compare(plain[FP32], watched(model))
    assert found.first.difference == "order" and "hardly an order" in str(found), str(found)
    model.part(LAST).kernel = models.from_the_end
    found = normproof.compare(plain[FP32], watched(model))
    assert found.first.difference == "order" and "hardly an order" not in str(found), str(found)


def test_each_norm_is_judged_and_its_policy_named(tmp_path, program):
    file = tmp_path / "model.safetensors"
    model = Model()
    found = watched(model, dump=file)
    assert found and len(found.norms) == 13 and not found.not_judged
    assert [norm.module for norm in found.norms][:3] == [IN.format(0), Q.format(0), POST.format(0)]
    assert {norm.policy for norm in found.norms} == {"native"} and all(norm.result for norm in found.norms)
    assert found[Q.format(0)].rows == 12 and found[Q.format(0)].of_rows == 48 and "hugging_face.llama_rms_norm" in str(found)
    for _, module in model.named_modules():
        assert not module._before and not module._after  # the hooks are gone
    model.part(POST.format(1)).kernel = kernels.fp32_weight_multiply
    model.part(IN.format(2)).kernel = models.without_the_last
    found = watched(model)
    assert not found and found[POST.format(1)].policy == "weight=fp32" and found[IN.format(2)].policy is None
    assert "no known policy: 1: layers.2.input_layernorm" in str(found)
    assert not watched(model, policy="native") and "violates policy native" in str(watched(model, policy="native"))
    assert watched(Model(), policy="native")
    # The dump: every norm is a call for check and identify, too.
    calls = normproof._core.Model.read(str(file)).calls()
    assert [name for name, *_ in calls] == [norm.module for norm in watched(Model()).norms]
    assert calls[0][2][:2] == [(0, 0), (0, 2)] and calls[0][2][-1] == (0, 23)


def test_memory_is_bounded_and_calls_are_told_apart():
    model = Model()
    with normproof.watch(model, rows=5, calls=2) as found:
        model(TOKENS)
        for _ in range(3):
            model(TOKENS[:1])
    norm = found[IN.format(0)]
    assert (norm.rows, norm.of_rows, norm.of_calls) == (6, 27, 4)
    assert norm._places == ((0, 0), (0, 5), (0, 11), (0, 17), (0, 23), (1, 0))
    with normproof.watch(model, calls=9) as found:
        model(TOKENS[:2])
        model.part(LAST).weight = -model.part(LAST).weight
        model(TOKENS[:2])
    assert found[IN.format(0)].rows == 4 and found[LAST].rows == 2 and found  # a call has one weight


def test_norms_in_place_and_with_residuals():
    plain, fused = normal(), normal(norm_class=models.FusedRMSNorm)
    assert fused and fused[POST.format(0)].operation == "fused_add_rms_norm" and fused[IN.format(0)].operation == "rms_norm"
    found = normproof.compare(plain, fused)
    assert found and all(norm.difference == "same bits" for norm in found.norms), str(found)
    other = normproof.compare(plain, normal(norm_class=models.UnroundedSumRMSNorm))
    assert (other.first.module, other.first.difference) == (POST.format(0), "policy"), str(other)
    assert other.first.policies[0] == "native" and "sum=" in other.first.policies[1]
    reverse = normproof.compare(normal(norm_class=models.UnroundedSumRMSNorm), plain)
    assert (reverse.first.module, reverse.first.difference) == (POST.format(0), "policy"), str(reverse)


class LayerNorm(models.TinyRMSNorm):
    pass


class BiasedRMSNorm(models.TinyRMSNorm):
    bias = numpy.zeros(64, BF16)


class Gated(models.TinyRMSNorm):
    def forward(self, x, gate):
        return self.kernel(x, self.weight, self.variance_epsilon)


class GroupedRMSNormGated(Gated):
    group_size = 32


class GatedLayerNorm(Gated):
    pass


class BatchNorm1d(models.Module):
    def forward(self, x):
        return x


class ScaleNorm(BatchNorm1d):
    pass


class WeightNorm(BatchNorm1d):
    pass


def test_what_is_not_judged_is_said():
    class Parts(models.Module):
        def __init__(self):
            super().__init__()
            weight = numpy.ones(64, BF16)
            self.first = models.TinyRMSNorm(weight, 1e-6, kernels.rms_norm)
            self.shift = LayerNorm(weight, 1e-6, kernels.rms_norm)
            self.biased = BiasedRMSNorm(weight, 1e-6, kernels.rms_norm)
            self.residual_norm = Gated(weight, 1e-6, kernels.rms_norm)
            self.residual_norm.forward = lambda x, residual: kernels.rms_norm(x, weight, 1e-6)
            self.grouped_norm, self.gated_shift = (kind(weight, 1e-6, kernels.rms_norm) for kind in (GroupedRMSNormGated, GatedLayerNorm))
            self.bn1, self.scale, self.weights = BatchNorm1d(), ScaleNorm(), WeightNorm()
            self.within_norm = models.Module()
            self.within_norm.inner_norm = models.TinyRMSNorm(weight, 1e-6, kernels.rms_norm)
            self.broadcast_norm = Gated(weight, 1e-6, kernels.rms_norm)
            self.unused = models.TinyRMSNorm(weight, 1e-6, kernels.rms_norm)
            self.wide = models.TinyRMSNorm(weight, 1e-6, lambda x, weight, epsilon: kernels.rms_norm(x, weight, epsilon).astype("f4"))
            self.final_norm = models.Module()
            self.final_norm.forward = lambda x: x

        def forward(self, x):
            for part in (self.first, self.biased, self.wide, self.final_norm):
                part(hidden_states=x) if part is self.first else part(x)
            for part in (self.residual_norm, self.grouped_norm, self.gated_shift):
                part(x, x)
            self.within_norm.inner_norm(x)
            self.broadcast_norm(x, x[:1])
            return x
    rows = numpy.random.RandomState(0).standard_normal((3, 64)).astype(BF16)
    with normproof.watch(Parts()) as found:
        pass
    others = {"bn1", "scale", "within_norm"}
    assert not found and {why for name, why in found.not_judged.items() if name not in others} == {"did not run"}
    model = Parts()
    with normproof.watch(model) as found:
        model(rows)
    assert [norm.module for norm in found.norms] == ["first", "within_norm.inner_norm"]
    # Whatever calls itself a norm is in one list or the other.
    assert set(found.not_judged) == others | {"shift", "biased", "residual_norm", "grouped_norm", "gated_shift", "unused", "wide", "final_norm",
                                              "broadcast_norm"}
    assert "groups of a row (group_size=32)" in found.not_judged["grouped_norm"] and "LayerNorm with a gate" in found.not_judged["gated_shift"]
    assert "no norm over the last dimension" in found.not_judged["bn1"] and "matches a pattern" in found.not_judged["scale"]
    assert "has norms within" in found.not_judged["within_norm"] and "(3, 64) and (1, 64)" in found.not_judged["broadcast_norm"]
    assert "has none of variance_epsilon" in found.not_judged["final_norm"] and "bias" in found.not_judged["biased"]
    assert "expected (out, residual)" in found.not_judged["residual_norm"] and "did not run" in found.not_judged["unused"]
    assert "expected dtype bf16, got fp32" in found.not_judged["wide"]
    for text in found.not_judged.values():
        assert text in str(found)
    with pytest.raises(ValueError, match="model: expected a module whose class matches .*, got none in Module"):
        with normproof.watch(models.Module()):
            pass


@pytest.mark.parametrize("exponent", [-7, -23])
def test_an_epsilon_that_is_not_said_is_told_by_the_outputs(exponent):
    """torch.nn.RMSNorm(eps=None) adds the machine epsilon of x, or of fp32, as its version has it."""
    norm = models.TinyRMSNorm(numpy.full(64, 1.375, BF16), None, models.with_epsilon(2.0**exponent))
    with normproof.watch(norm) as found:
        norm((numpy.random.RandomState(0).standard_normal((9, 64)) / 8).astype(BF16))
    assert found["(model)"].policy == "native" and f"epsilon {2.0**exponent:.8g}" in found["(model)"].result.subject


def test_an_engine_without_modules_records_its_calls(tmp_path):
    case = next(normproof.cases("fused_add_rms_norm", finite=True, max_hidden=64))
    found = normproof.Watched()
    out, total = kernels.fused_add_rms_norm(case.x, case.residual, case.weight, case.epsilon)
    found.record("layers.0.norm", "fused_add_rms_norm", x=case.x, residual=case.residual, weight=case.weight, epsilon=case.epsilon, out=out,
                 residual_out=total)
    found.judge().write(tmp_path / "engine.safetensors", engine="mine 1.0")
    assert found.norms[0].result.conforms and normproof.compare(found, tmp_path / "engine.safetensors")


def test_rows_that_were_not_recorded_are_compared_by_digests():
    def wrong_in_row_3(x, weight, epsilon):
        out = kernels.rms_norm(x, weight, epsilon)
        out[3] = models.one_element_wrong(x, weight, epsilon)[3]
        return out
    model = Model()
    model.part(LAST).kernel = wrong_in_row_3
    few = normproof.compare(normal(rows=2), watched(model, rows=2))
    assert (few.first.module, few.first.difference) == (LAST, "unseen") and "record more" in str(few)
    more = normproof.compare(normal(rows=24), watched(model, rows=24))
    assert (more.first.module, more.first.difference) == (LAST, "bug") and "row 0:3, out[7]" in str(more)


def test_what_cannot_be_compared_is_said(plain, tmp_path):
    found = normproof.compare(plain[BF16], normal(FP16))
    assert found.first.difference == "call" and "another call: rms_norm bf16" in str(found.first)
    fewer = normproof.compare(plain[BF16], normal(layers=3))
    assert len(fewer.not_compared) == 3 and "layers.3.input_layernorm: in the first dump only" in str(fewer)
    assert fewer.first is None and fewer.first_other_inputs.module == LAST
    with pytest.raises(ValueError, match="b: expected rows of the norms that a has, got none in common"):
        other = normproof.Watched()
        x = numpy.ones((1, 64), BF16)
        other.record("elsewhere", "rms_norm", x=x, out=kernels.rms_norm(x, None, 1e-6), epsilon=1e-6)
        normproof.compare(plain[BF16], other.judge())
    with pytest.raises(TypeError, match="a: expected a file or what watch gave, got int 3"):
        normproof.compare(3, plain[BF16])
    with pytest.raises(OSError):
        normproof.compare(tmp_path / "none.safetensors", plain[BF16])
    (tmp_path / "torn.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(ValueError, match="torn.safetensors"):
        normproof.compare(tmp_path / "torn.safetensors", plain[BF16])


def test_the_program_says_the_same(plain, tmp_path, program):
    other = Model()
    other.part(POST.format(2)).kernel = kernels.fp32_weight_multiply
    files = [tmp_path / "eager.safetensors", tmp_path / "compiled.safetensors"]
    plain[BF16].write(files[0])
    found = watched(other)
    found.write(files[1])
    status, said = program("compare", *files, "--json", tmp_path / "found.json")
    assert status == 1 and "first to differ: layers.2.post_attention_layernorm: policy" in said
    document = json.loads((tmp_path / "found.json").read_text())
    assert document["first"] == POST.format(2) and document["exit_code"] == 1 and len(document["norms"]) == 13
    assert normproof.compare(*files).text in said
    status, said = program("compare", files[0], files[0])
    assert status == 0 and "every norm got and gave the same bits" in said
    status, said = program("compare", files[0], tmp_path / "none.safetensors")
    assert status == 3 and "none.safetensors" in said
    normproof.write_dump(tmp_path / "one.safetensors", "rms_norm", x=numpy.ones((1, 64), BF16), out=numpy.ones((1, 64), BF16), epsilon=0)
    status, said = program("compare", files[0], tmp_path / "one.safetensors")
    assert status == 2 and "this is no dump of a model's norms" in said
    # Each norm of a model's dump is a call to check.
    status, said = program("check", files[1])
    assert status == 0 and "files: 13, conforming 13" in said
    status, said = program("check", f"{files[1]}#{POST.format(2)}", "--policy", "native")
    assert status == 1 and "files: 1, conforming 0" in said
    assert "weight=fp32" in program("identify", f"{files[1]}#{POST.format(2)}")[1]
    assert program("check", f"{files[1]}#nowhere")[0] == 2


def test_a_torch_model(tmp_path):
    torch = pytest.importorskip("torch")
    import normproof.torch
    torch.manual_seed(0)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.linear, self.norm2 = torch.nn.RMSNorm(64), torch.nn.Linear(64, 64), torch.nn.RMSNorm(64, eps=1e-5)

        def forward(self, x):
            return self.norm2(self.linear(self.norm1(x)))
    net = Net().bfloat16()
    with torch.no_grad():
        for norm in (net.norm1, net.norm2):
            norm.weight += .2 * torch.randn(64)
    x = torch.randn(2, 20, 64).bfloat16()
    with torch.no_grad(), normproof.torch.watch(net, dump=tmp_path / "eager.safetensors") as found:
        net(x)
    assert found and [norm.module for norm in found.norms] == ["norm1", "norm2"] and found["norm1"].policy == "weight=fp32"
    assert found["norm1"].rows == 32 and found["norm1"].of_rows == 40
    # The digest of a tensor is the same in torch and in numpy.
    bits = normproof.from_bits(x.view(torch.int16).numpy(), "bf16")
    assert normproof._model._digest("x", x) == normproof._model._digest("x", bits) == found["norm1"]._digests[0][0]
    with torch.no_grad(), normproof.torch.watch(net) as again:
        net(x)
    assert all(norm.difference == "same bits" for norm in normproof.compare(tmp_path / "eager.safetensors", again).norms)
    net.norm2.forward = lambda x: net.norm2.weight * (x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5)).bfloat16()
    with torch.no_grad(), normproof.torch.watch(net) as other:
        net(x)
    found = normproof.compare(again, other)
    assert (found.first.module, found.first.difference, found.first.policies) == ("norm2", "policy", ("weight=fp32", "native"))
