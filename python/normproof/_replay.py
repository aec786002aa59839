"""The lines of a failure that are run again: complete, quoted, with everything that is not a default."""
from __future__ import annotations

import functools
import os
import shlex
from typing import Any, Callable, Optional


class Expression(str):
    """Python, in a line that is printed: not quoted as a string."""
    __slots__ = ()


def _place(fn: Any) -> str:
    code = getattr(fn, "__code__", None)
    return f"{os.path.relpath(code.co_filename)}:{code.co_firstlineno}" if code else ""


def described(fn: Callable[..., Any]) -> tuple[str, str]:
    """What the function is called in a line that is run again, and where it is from: "", an import, or a place."""
    if isinstance(fn, functools.partial):
        return "fn", f"fn: {fn!r}"
    name = str(getattr(fn, "__name__", ""))
    if name.isidentifier() and getattr(fn, "__qualname__", "") == name:
        module = str(getattr(fn, "__module__", "") or "__main__")
        return name, "" if module == "__main__" else f"from {module} import {name}"
    place = _place(fn) or _place(getattr(type(fn), "__call__", None))
    return "fn", f"fn: {name or type(fn).__name__}" + (f" of {place}" if place else "")


def call(assertion: str, functions: "tuple[Callable[..., Any], ...]", operation: str, arguments: dict[str, tuple[Any, Any]]) -> list[str]:
    """The call, and below it where its functions are from. `arguments`: name -> value and default; defaults are left out."""
    names, places = [], []
    for number, fn in enumerate(functions):
        name, place = described(fn)
        if name == "fn" and len(functions) > 1:
            name, place = "fg"[number], place.replace("fn:", f"{'fg'[number]}:", 1)
        names.append(name)
        places += [place] if place else []
    words = [*names, repr(operation)]
    for name, (value, default) in arguments.items():
        if isinstance(value, Expression):
            words.append(f"{name}={value}")
        elif callable(value):
            expression, place = described(value)
            words.append(f"{name}={'tensors' if expression == 'fn' else expression}")
            places += [place.replace("fn:", "tensors:", 1)] if place else []
        elif value != default:
            words.append(f"{name}={value!r}")
    return [f"{assertion}({', '.join(words)})", *dict.fromkeys(places)]


def pytest_command(case_file: str) -> Optional[str]:
    """The pytest test that is running, with that case alone; None outside of pytest."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    return f"pytest {shlex.quote(test)} --normproof-case={shlex.quote(case_file)}" if test else None


def check_command(file: str, policy: str, canonical: bool) -> str:
    """Judges the stored outputs in the same way."""
    command = f"normproof check {shlex.quote(file)}"
    if policy != "native":
        command += f" --policy {shlex.quote(policy)}"
    return command + (" --canonical" if canonical else "")
