"""Causes planted in models of transformers: norms with another arithmetic or a fault, and what lies in no norm."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional

import torch

HIDDEN, HEAD, TOKENS = 128, 32, 96


def config(name: str, layers: int) -> Any:
    import transformers
    common = dict(hidden_size=HIDDEN, intermediate_size=2 * HIDDEN, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
                  vocab_size=500, max_position_embeddings=2048)
    if name == "GPT-2":
        return transformers.GPT2Config(n_embd=HIDDEN, n_layer=layers, n_head=4, n_positions=2048, vocab_size=500)
    if name == "BERT":
        return transformers.BertConfig(hidden_size=HIDDEN, intermediate_size=2 * HIDDEN, num_hidden_layers=layers, num_attention_heads=4,
                                       vocab_size=500, max_position_embeddings=2048, hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    if name == "Llama":
        return transformers.LlamaConfig(**common)
    if name == "Qwen3":
        return transformers.Qwen3Config(**common, head_dim=HEAD)
    if name == "Gemma3":
        return transformers.Gemma3TextConfig(**common, head_dim=HEAD, sliding_window=64)
    return transformers.DeepseekV3Config(**{**common, "num_key_value_heads": 4}, moe_intermediate_size=64, n_routed_experts=8, num_experts_per_tok=2,
                                         n_group=2, topk_group=1, first_k_dense_replace=1, q_lora_rank=64, kv_lora_rank=32, qk_rope_head_dim=16,
                                         qk_nope_head_dim=16, v_head_dim=32)


MODELS = ("Llama", "Qwen3", "Gemma3", "DeepSeek-V3")
LAYER_NORM_MODELS = ("GPT-2", "BERT")


def model(name: str, dtype: Any, layers: int = 4, seed: int = 1, attention: str = "eager") -> Any:
    """With random weights, those of the norms, which transformers sets to one, too: another weight multiply must show."""
    import transformers
    torch.manual_seed(seed)
    kind = transformers.AutoModel if name == "BERT" else transformers.AutoModelForCausalLM
    made = kind.from_config(config(name, layers), attn_implementation=attention).eval()
    with torch.no_grad():
        for _, norm in norms(made):
            norm.weight += .2 * torch.randn_like(norm.weight)
            if getattr(norm, "bias", None) is not None:
                norm.bias += .2 * torch.randn_like(norm.bias)
    return made.to(dtype)


def norms(made: Any) -> "list[tuple[str, Any]]":
    return [(name, module) for name, module in made.named_modules() if type(module).__name__.endswith(("RMSNorm", "LayerNorm"))]


def tokens(count: int = TOKENS) -> Any:
    return torch.randint(0, 500, (1, count), generator=torch.Generator().manual_seed(5))


# --- Norms in the place of transformers' own. `offset`: Gemma multiplies by 1 + weight. ---

def epsilon_of(norm: Any) -> float:
    return float(getattr(norm, "variance_epsilon", getattr(norm, "eps", 0)))


def root(x: Any, epsilon: float) -> Any:
    return torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon)


def usual(norm: Any, x: Any, r: Any, offset: bool) -> Any:
    """As transformers does with r."""
    wide = x.float() * r
    return (wide * (1 + norm.weight.float())).to(x.dtype) if offset else norm.weight * wide.to(x.dtype)


def other_multiply(norm: Any, x: Any, offset: bool) -> Any:
    """Gemma's in the activation dtype, the others' in fp32."""
    wide = x.float() * root(x.float(), epsilon_of(norm))
    return wide.to(x.dtype) * (1 + norm.weight) if offset else (wide * norm.weight.float()).to(x.dtype)


def cut(exact: Any) -> Any:
    return (exact.view(torch.int32) & -65536).view(torch.float32)


def truncated(norm: Any, x: Any, offset: bool) -> Any:
    wide = x.float() * root(x.float(), epsilon_of(norm))
    return cut(wide * (1 + norm.weight.float()) if offset else cut(wide) * norm.weight.float()).to(x.dtype)


def by_root(make: Callable[[Any, float], Any]) -> Callable[[Any, Any, bool], Any]:
    return lambda norm, x, offset: usual(norm, x, make(x.float(), epsilon_of(norm)), offset)


in_sequence = by_root(lambda x, epsilon: torch.rsqrt(x.pow(2).cumsum(-1)[..., -1:] / x.shape[-1] + epsilon))
in_fp64 = by_root(lambda x, epsilon: root(x.double(), epsilon).float())
without_tail = by_root(lambda x, epsilon: torch.rsqrt(x[..., :-8].pow(2).sum(-1, keepdim=True) / x.shape[-1] + epsilon))
other_epsilon = by_root(lambda x, epsilon: root(x, .03))
one_less = by_root(lambda x, epsilon: torch.rsqrt(x.pow(2).sum(-1, keepdim=True) / (x.shape[-1] - 1) + epsilon))
neighbour = by_root(lambda x, epsilon: root(x, epsilon).roll(1, 1))
coarse_root = by_root(lambda x, epsilon: (root(x, epsilon).view(torch.int32) & -4096).view(torch.float32))


def no_weight(norm: Any, x: Any, offset: bool) -> Any:
    return (x.float() * root(x.float(), epsilon_of(norm))).to(x.dtype)


def one_column(norm: Any, x: Any, offset: bool) -> Any:
    out = usual(norm, x, root(x.float(), epsilon_of(norm)), offset).clone()
    out[..., 3] *= 1.1
    return out


def first_token(norm: Any, x: Any, offset: bool) -> Any:
    out = usual(norm, x, root(x.float(), epsilon_of(norm)), offset).clone()
    out[:, 0] = no_weight(norm, x, offset)[:, 0] * 1.01
    return out


@dataclass(frozen=True)
class Cause:
    name: str
    dtype: Any
    plant: Callable[[Any, "list[str]"], "tuple[Optional[str], Optional[str]]"]
    """Changes the model, whose norms' names are given in the order in which they run. Gives the norm that must be named and how it
    differs; for what is in no norm, None and the first norm whose inputs differ."""


def in_norm(name: str, place: float, forward: Callable[[Any, Any, bool], Any], difference: str, dtype: Any = torch.bfloat16) -> Cause:
    def plant(made: Any, order: "list[str]") -> "tuple[Optional[str], Optional[str]]":
        module = order[int(place * (len(order) - 1))]
        norm = made.get_submodule(module)
        offset = "Gemma" in type(norm).__name__
        norm.forward = lambda hidden_states: forward(norm, hidden_states, offset)
        return module, difference
    return Cause(name, dtype, plant)


def everywhere(name: str, forward: Callable[[Any, Any, bool], Any], difference: str, dtype: Any = torch.bfloat16) -> Cause:
    def plant(made: Any, order: "list[str]") -> "tuple[Optional[str], Optional[str]]":
        for module, norm in norms(made):
            norm.forward = lambda hidden_states, norm=norm: forward(norm, hidden_states, "Gemma" in type(norm).__name__)
        return order[0], difference
    return Cause(name, dtype, plant)


def parameter(name: str, place: float, change: Callable[[Any], None], difference: str) -> Cause:
    def plant(made: Any, order: "list[str]") -> "tuple[Optional[str], Optional[str]]":
        module = order[int(place * (len(order) - 1))]
        with torch.no_grad():
            change(made.get_submodule(module))
        return module, difference
    return Cause(name, torch.bfloat16, plant)


def set_epsilon(norm: Any) -> None:
    setattr(norm, "variance_epsilon" if hasattr(norm, "variance_epsilon") else "eps", 1e-3)


def flip_weight(norm: Any) -> None:
    norm.weight[5] = -norm.weight[5] - .5


def elsewhere(name: str, path: str, first: "Optional[Callable[[list[str]], str]]", dtype: Any = torch.bfloat16) -> Cause:
    """Scales a weight that is no norm's by a bit."""
    def plant(made: Any, order: "list[str]") -> "tuple[Optional[str], Optional[str]]":
        module = made.get_submodule(path)
        module.weight = torch.nn.Parameter(module.weight.detach() * 1.05, requires_grad=False)  # tied ones come apart
        return None, first(order) if first else None
    return Cause(name, dtype, plant)


def after(part: str) -> "Callable[[list[str]], str]":
    return lambda order: next(name for name in order if name.endswith(part))


def both(name: str, one: Cause, other: Cause, guilty: int) -> Cause:
    def plant(made: Any, order: "list[str]") -> "tuple[Optional[str], Optional[str]]":
        said = one.plant(made, order), other.plant(made, order)
        return said[guilty]
    return Cause(name, one.dtype, plant)


FP32 = torch.float32
ATTENTION = elsewhere("attention's output projection", "model.layers.1.self_attn.o_proj", after("layers.1.post_attention_layernorm"))
CAUSES = (
    Cause("nothing", torch.bfloat16, lambda made, order: (None, None)),
    Cause("nothing, fp32", FP32, lambda made, order: (None, None)),
    in_norm("other weight multiply, first norm", 0, other_multiply, "policy"),
    in_norm("other weight multiply, in the middle", .45, other_multiply, "policy"),
    in_norm("other weight multiply, last norm", 1, other_multiply, "policy"),
    everywhere("other weight multiply everywhere", other_multiply, "policy"),
    in_norm("truncated", .6, truncated, "policy"),
    in_norm("summed in sequence", .3, in_sequence, "order", FP32),
    in_norm("summed in fp64", .7, in_fp64, "order", FP32),
    everywhere("summed in sequence everywhere", in_sequence, "order", FP32),
    in_norm("without a tail", .2, without_tail, "bug"),
    in_norm("without a tail, fp32", .8, without_tail, "bug", FP32),
    in_norm("divided by one less", .5, one_less, "bug"),
    in_norm("another epsilon than it says", .35, other_epsilon, "bug"),
    in_norm("another epsilon than it says, fp32", .9, other_epsilon, "bug", FP32),
    in_norm("the neighbour's root", .55, neighbour, "bug"),
    in_norm("12 bits of the root, fp32", .4, coarse_root, "bug", FP32),
    in_norm("no weight multiply", .15, no_weight, "bug"),
    in_norm("one column", .65, one_column, "bug"),
    in_norm("one column, fp32", .1, one_column, "bug", FP32),
    in_norm("the first token", .75, first_token, "bug"),
    parameter("epsilon", .25, set_epsilon, "epsilon"),
    parameter("a number of the weight", .85, flip_weight, "weight"),
    ATTENTION,
    elsewhere("attention's output projection, fp32", "model.layers.2.self_attn.o_proj", after("layers.2.post_attention_layernorm"), FP32),
    elsewhere("the embedding", "model.embed_tokens", lambda order: order[0]),
    elsewhere("the head", "lm_head", None),
    both("attention, then another weight multiply", ATTENTION, in_norm("", .9, other_multiply, "policy"), 1),
    both("attention, then without a tail", ATTENTION, in_norm("", .8, without_tail, "bug"), 1),
    both("another weight multiply, then one column", in_norm("", .3, other_multiply, "policy"), in_norm("", .7, one_column, "bug"), 0),
)

# --- LayerNorms, in the place of torch's own, which follows native on a CPU. ---

def statistics(f: Any, epsilon: float) -> "tuple[Any, Any]":
    mean = f.mean(-1, keepdim=True)
    return mean, torch.rsqrt((f - mean).pow(2).mean(-1, keepdim=True) + epsilon)


def affine(norm: Any, x: Any, mean: Any, root: Any) -> Any:
    """As torch's: fp32, the product and the sum fused. A product of two fp32 numbers is exact in fp64."""
    n = ((x.float() - mean) * root).double()
    return (n * norm.weight.double() + norm.bias.double()).float().to(x.dtype)


def by_statistics(make: Callable[[Any, float], "tuple[Any, Any]"]) -> Callable[[Any, Any, bool], Any]:
    return lambda norm, x, offset: affine(norm, x, *make(x.float(), epsilon_of(norm)))


def mean_in_sequence(f: Any, epsilon: float) -> "tuple[Any, Any]":
    mean = f.cumsum(-1)[..., -1:] / f.shape[-1]
    return mean, torch.rsqrt((f - mean).pow(2).cumsum(-1)[..., -1:] / f.shape[-1] + epsilon)


def of_rms(f: Any, epsilon: float) -> "tuple[Any, Any]":
    return f.mean(-1, keepdim=True), root(f, epsilon)


def of_tail(f: Any, epsilon: float) -> "tuple[Any, Any]":
    return statistics(f[..., :-8], epsilon)


def sample_variance(f: Any, epsilon: float) -> "tuple[Any, Any]":
    mean = f.mean(-1, keepdim=True)
    return mean, torch.rsqrt((f - mean).pow(2).sum(-1, keepdim=True) / (f.shape[-1] - 1) + epsilon)


def of_neighbour(f: Any, epsilon: float) -> "tuple[Any, Any]":
    mean, inverse = statistics(f, epsilon)
    return mean.roll(1, 1), inverse.roll(1, 1)


def as_apex(norm: Any, x: Any, offset: bool) -> Any:
    mean, inverse = statistics(x.float(), epsilon_of(norm))
    return ((x.float() - mean) * inverse).to(x.dtype) * norm.weight + norm.bias


def not_fused(norm: Any, x: Any, offset: bool) -> Any:
    mean, inverse = statistics(x.float(), epsilon_of(norm))
    return ((x.float() - mean) * inverse * norm.weight.float() + norm.bias.float()).to(x.dtype)


def no_bias(norm: Any, x: Any, offset: bool) -> Any:
    mean, inverse = statistics(x.float(), epsilon_of(norm))
    return ((x.float() - mean) * inverse * norm.weight.float()).to(x.dtype)


def one_column_of_layer_norm(norm: Any, x: Any, offset: bool) -> Any:
    out = affine(norm, x, *statistics(x.float(), epsilon_of(norm))).clone()
    out[..., 3] = out[..., 3] * 1.1 + .1
    return out


def first_token_of_layer_norm(norm: Any, x: Any, offset: bool) -> Any:
    out = affine(norm, x, *statistics(x.float(), epsilon_of(norm))).clone()
    out[:, 0] = no_bias(norm, x, offset)[:, 0] * 1.01
    return out


def flip_bias(norm: Any) -> None:
    norm.bias[5] = -norm.bias[5] - .5


def next_norm(place: int) -> "Callable[[list[str]], str]":
    return lambda order: order[place]


# Of each model: attention's output projection of the second layer, the first norm behind it, and the embedding.
PATHS = {"GPT-2": ("transformer.h.1.attn.c_proj", "transformer.h.1.ln_2", "transformer.wte"),
         "BERT": ("encoder.layer.1.attention.output.dense", "encoder.layer.1.attention.output.LayerNorm", "embeddings.word_embeddings")}


def layer_norm_causes(name: str) -> "tuple[Cause, ...]":
    projection, behind, embedding = PATHS[name]
    attention = elsewhere("attention's output projection", projection, after(behind))
    return (
        Cause("nothing", torch.bfloat16, lambda made, order: (None, None)),
        Cause("nothing, fp32", FP32, lambda made, order: (None, None)),
        in_norm("rounded as Apex, first norm", 0, as_apex, "policy"),
        in_norm("rounded as Apex, in the middle", .45, as_apex, "policy"),
        in_norm("rounded as Apex, last norm", 1, as_apex, "policy"),
        everywhere("rounded as Apex everywhere", as_apex, "policy"),
        in_norm("product and sum not fused, fp32", .6, not_fused, "policy", FP32),
        in_norm("summed in sequence", .3, by_statistics(mean_in_sequence), "order", FP32),
        everywhere("summed in sequence everywhere", by_statistics(mean_in_sequence), "order", FP32),
        in_norm("the mean left in the variance", .5, by_statistics(of_rms), "bug"),
        in_norm("without a tail", .2, by_statistics(of_tail), "bug"),
        in_norm("without a tail, fp32", .8, by_statistics(of_tail), "bug", FP32),
        in_norm("divided by one less", .5, by_statistics(sample_variance), "bug"),
        in_norm("another epsilon than it says", .35, by_statistics(lambda f, epsilon: statistics(f, .03)), "bug"),
        in_norm("the neighbour's statistics", .55, by_statistics(of_neighbour), "bug"),
        in_norm("no bias", .15, no_bias, "bug"),
        in_norm("one column", .65, one_column_of_layer_norm, "bug"),
        in_norm("one column, fp32", .1, one_column_of_layer_norm, "bug", FP32),
        in_norm("the first token", .75, first_token_of_layer_norm, "bug"),
        parameter("epsilon", .25, set_epsilon, "epsilon"),
        parameter("a number of the weight", .85, flip_weight, "weight"),
        parameter("a number of the bias", .4, flip_bias, "weight"),
        attention,
        elsewhere("attention's output projection, fp32", projection, after(behind), FP32),
        elsewhere("the embedding", embedding, next_norm(0)),
        both("attention, then rounded as Apex", attention, in_norm("", .9, as_apex, "policy"), 1),
        both("attention, then without a tail", attention, in_norm("", .8, by_statistics(of_tail), "bug"), 1),
        both("rounded as Apex, then one column", in_norm("", .3, as_apex, "policy"), in_norm("", .7, one_column_of_layer_norm, "bug"), 0),
    )


def causes(name: str) -> "tuple[Cause, ...]":
    return layer_norm_causes(name) if name in LAYER_NORM_MODELS else CAUSES
