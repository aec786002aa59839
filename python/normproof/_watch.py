"""Watching a model's norm modules, whatever made them: anything with ``named_modules`` whose modules have torch's forward hooks."""
from __future__ import annotations

import contextlib
import fnmatch
import inspect
import math
import os
from typing import Any, Callable, Iterable, Iterator, Optional, Union

from normproof._judged import is_judged, judged_outputs
from normproof._model import Watched
from normproof._tensors import output_names
from normproof._types import Policy

CLASSES = ("*RMSNorm*", "*LayerNorm*")
NAMES = ("*norm", "ln_*")

# Classes that are called LayerNorm and subtract no mean.
_RMS_CLASSES = ("*RMS*", "*T5LayerNorm*", "Pop2PianoLayerNorm", "Pix2StructLayerNorm", "SwitchTransformersLayerNorm", "UdopLayerNorm")
# What a pattern may find, and is no norm of the last dimension.
_OTHER_CLASSES = ("*BatchNorm*", "*GroupNorm*", "*InstanceNorm*", "*ResponseNorm*")
# What calls itself a norm, whatever the patterns say; and norms of weights, which are none of a row.
_ANY_NORM = ("*Norm", "*Norm?d", "*NormGated")
_WEIGHT_NORMS = ("*SpectralNorm", "*WeightNorm")
# What forward functions call z, of a gated norm.
_GATES = frozenset(("gate", "z", "g"))
_GROUPS = ("group_size", "n_groups", "num_groups", "ngroups")
_EPSILONS = ("variance_epsilon", "eps", "epsilon", "norm_eps", "rms_norm_eps", "layer_norm_epsilon")
_WEIGHTS = ("weight", "scale", "gamma")
_BIASES = ("bias", "beta")
# What torch.nn.RMSNorm adds where it is told nothing: torch.finfo(x.dtype).eps, as its documentation has it, or that of the dtype
# in which it computes. Its outputs tell.
_USUAL_EPSILON = {"bf16": math.ldexp(1, -7), "fp16": math.ldexp(1, -10), "fp32": math.ldexp(1, -23)}
# What wrappers put before a module's name.
_WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")


class _NotJudged(Exception):
    """Why nothing is said of a module."""


def _matches(name: str, patterns: "tuple[str, ...]") -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def _plain_name(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    return name.removeprefix("module.") or "(model)"


def norm_modules(model: Any, classes: "tuple[str, ...]", names: "tuple[str, ...]") -> "dict[str, Any]":
    """The modules whose class, or whose name's last part, matches a pattern; of one within another the inner."""
    found = {name: module for name, module in model.named_modules()
             if _matches(type(module).__name__, classes) or _matches(name.rpartition(".")[2], names)}
    return {_plain_name(name): module for name, module in found.items()
            if not any(other.startswith(name + ".") for other in found if other != name)}


def left_out(model: Any, classes: "tuple[str, ...]", names: "tuple[str, ...]", watched: "dict[str, Any]") -> "dict[str, str]":
    """Why norms of the model are not among those that are watched."""
    reasons: "dict[str, str]" = {}
    for name, module in model.named_modules():
        kind, plain = type(module).__name__, _plain_name(name)
        asked = _matches(kind, classes) or _matches(name.rpartition(".")[2], names)
        named = _matches(kind, _ANY_NORM) and not _matches(kind, _WEIGHT_NORMS)
        if plain in watched or not (asked or named):
            continue
        inner = [other for other in watched if name == "" or other.startswith(plain + ".")]
        if inner:
            if asked and name:
                reasons[plain] = f"{kind}: has norms within, which are watched"
        elif _matches(kind, _OTHER_CLASSES):
            reasons[plain] = f"{kind}: is no norm over the last dimension"
        else:
            reasons[plain] = f"{kind}: neither class nor name matches a pattern"
    return reasons


def _groups(module: Any, hidden: int) -> str:
    """What says that not whole rows are normalized."""
    for name in _GROUPS:
        value = getattr(module, name, None)
        if isinstance(value, int) and value not in ((hidden,) if name == "group_size" else (1,)):
            return f"{name}={value}"
    return ""


def _operation(module: Any, taken: "dict[str, Any]") -> str:
    """Raises _NotJudged where no operation stands for the module."""
    name = type(module).__name__
    if _matches(name, _OTHER_CLASSES) or len(tuple(getattr(module, "normalized_shape", None) or (0,))) > 1:
        raise _NotJudged(f"{name}: is no norm over the last dimension")
    if groups := _groups(module, taken["x"].array.shape[-1]):
        raise _NotJudged(f"{name}: normalizes groups of a row ({groups}), which is not judged")
    subtracts = _matches(name, ("*LayerNorm*",)) and not _matches(name, _RMS_CLASSES)
    biased = _parameter(module, _BIASES) is not None
    if biased and not subtracts:
        raise _NotJudged(f"{name}: a norm with a bias that is no LayerNorm is not judged")
    if "gate" in taken:
        if subtracts:
            raise _NotJudged(f"{name}: a LayerNorm with a gate is not judged")
        return "gated_rms_norm"
    return ("fused_add_" if "residual" in taken else "") + ("layer_norm" if subtracts else "rms_norm")


def _epsilon(module: Any, dtype: str) -> "float | tuple[float, ...]":
    for name in _EPSILONS:
        if hasattr(module, name):
            value = getattr(module, name)
            return (_USUAL_EPSILON[dtype], _USUAL_EPSILON["fp32"]) if value is None else float(value)
    raise _NotJudged(f"{type(module).__name__}: has none of {', '.join(_EPSILONS)}")


def _parameter(module: Any, names: "tuple[str, ...]") -> Any:
    for name in names:
        value = getattr(module, name, None)
        if hasattr(value, "shape"):
            return value
    return None


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and len(value.shape) >= 1


def _named(module: Any, arguments: "tuple[Any, ...]", keywords: "dict[str, Any]") -> "dict[str, Any]":
    """The arguments by the names that forward has for them; by their numbers where it has none."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        parameters = {}.values()
    names = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    names += map(str, range(len(names), len(arguments)))
    return dict(zip(names, arguments)) | keywords


class _Hooks:
    """Of one module: what is done before and after its calls."""

    def __init__(self, watched: Watched, name: str, module: Any) -> None:
        self.watched, self.name, self.module = watched, name, module
        self._taken: "list[Any]" = []

    def before(self, module: Any, arguments: "tuple[Any, ...]", keywords: "Optional[dict[str, Any]]" = None) -> None:
        self._taken.clear()  # of a call that raised
        named = _named(module, arguments, keywords or {})
        tensors = {name: named[name] for name in sorted(named, key=lambda name: name in (*_GATES, "residual")) if _is_tensor(named[name])}
        if self.name in self.watched.not_judged:
            return
        shapes = [tuple(value.shape) for value in tensors.values()]
        if len(shapes) not in (1, 2) or shapes[0] != shapes[-1]:
            self.watched.not_judged[self.name] = (f"{type(module).__name__}: expected x, or x and a residual or a gate of its shape, got "
                                                  f"{' and '.join(map(str, shapes)) or 'no tensor'}")
            return
        second = list(tensors)[-1]
        gated = second in _GATES or (second != "residual" and "Gated" in type(module).__name__)
        roles = ("x", "gate" if gated else "residual")
        try:
            self._taken.append(self.watched.before(self.name, **dict(zip(roles, tensors.values()))))
        except (TypeError, ValueError) as error:
            self.watched.not_judged[self.name] = str(error)

    def after(self, module: Any, arguments: "tuple[Any, ...]", returned: Any) -> None:
        taken = self._taken.pop() if self._taken else None
        if taken is None:
            return
        residual = "residual" in taken
        outputs = tuple(returned) if isinstance(returned, (tuple, list)) else (returned,)
        try:
            if len(outputs) != (2 if residual else 1) or not all(map(_is_tensor, outputs)):
                raise _NotJudged(f"{type(module).__name__}: expected {'(out, residual)' if residual else 'a tensor'} from it, got "
                                 f"{len(outputs)} of {type(returned).__name__}")
            operation: Any = _operation(module, taken)
            names = judged_outputs(operation) if is_judged(operation) else output_names(operation)
            self.watched.after(self.name, operation, taken, epsilon=_epsilon(module, taken["x"].dtype), 
                               weight=_parameter(module, _WEIGHTS), bias=_parameter(module, _BIASES), **dict(zip(names, outputs)))
        except (TypeError, ValueError, _NotJudged) as error:
            self.watched.not_judged[self.name] = str(error)


def _hook(module: Any, hooks: _Hooks, wrap: Callable[[Any], Any]) -> "list[Any]":
    """Handles to remove them by. Old torch has no keywords for hooks: what is given by keyword is then not seen."""
    try:
        before = module.register_forward_pre_hook(wrap(hooks.before), with_kwargs=True)
    except TypeError:
        before = module.register_forward_pre_hook(wrap(hooks.before))
    return [before, module.register_forward_hook(wrap(hooks.after))]


def _patterns(name: str, patterns: "Union[str, Iterable[str]]") -> "tuple[str, ...]":
    made = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    if not all(isinstance(pattern, str) for pattern in made):
        raise TypeError(f"{name}: expected patterns as \"*RMSNorm*\", got {made!r}")
    return made


@contextlib.contextmanager
def watch(model: Any, *, dump: "Union[str, os.PathLike[str], None]" = None, classes: "Union[str, Iterable[str]]" = CLASSES,
          names: "Union[str, Iterable[str]]" = NAMES, rows: int = 32, calls: int = 4, policy: Optional[Policy] = None,
          wrap: Callable[[Any], Any] = lambda hook: hook) -> "Iterator[Watched]":
    """As ``normproof.torch.watch``, for any model with ``named_modules`` whose modules have torch's forward hooks. `wrap`: around
    each hook."""
    watched = Watched(rows, calls, policy)
    classes, names = _patterns("classes", classes), _patterns("names", names)
    modules = norm_modules(model, classes, names)
    if not modules:
        raise ValueError(f"model: expected a module whose class matches {classes!r} or whose name matches {names!r}, got none in "
                         f"{type(model).__name__}")
    handles: "list[Any]" = []
    try:
        for name, module in modules.items():
            handles += _hook(module, _Hooks(watched, name, module), wrap)
        yield watched
    finally:
        for handle in handles:
            handle.remove()
    for name in modules:
        if name not in watched._recorded:
            watched.not_judged.setdefault(name, "did not run")
    watched.not_judged |= left_out(model, classes, names, modules)
    watched.judge()
    if dump is not None:
        watched.write(dump)
