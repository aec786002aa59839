"""The lines of a failure that are run again: complete, quoted, with everything that is not a default."""
from __future__ import annotations

import ast
import functools
import inspect
import os
import shlex
import sys
from types import CodeType
from typing import Any, Callable, Optional


class Expression(str):
    """Python, in a line that is printed: not quoted as a string."""
    __slots__ = ()


def _place(fn: Any) -> str:
    code = getattr(fn, "__code__", None)
    return f"{os.path.relpath(code.co_filename)}:{code.co_firstlineno}" if code else ""


def _imports(module: Any, names: "list[str]") -> "list[str]":
    return [] if not names or module in (None, "", "__main__") else [f"from {module} import {', '.join(names)}"]


def _lambda_code(code: CodeType) -> Optional[CodeType]:
    """Of the only lambda in what was compiled."""
    return next((constant for constant in code.co_consts if isinstance(constant, CodeType)), None)


def _words(code: CodeType) -> tuple[Any, ...]:
    """What a lambda speaks of. Its instructions may differ where it is compiled alone."""
    return code.co_names, code.co_varnames, tuple(map(repr, (constant for constant in code.co_consts if not isinstance(constant, CodeType))))


def _lambda_source(fn: Any) -> Optional[str]:
    """The text of a lambda that needs nothing but its module's names; None where it cannot be told."""
    code = fn.__code__
    if fn.__closure__ or fn.__defaults__ or fn.__kwdefaults__:
        return None
    try:
        lines, _ = inspect.findsource(fn)
        source = "".join(lines)
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno]
    except (OSError, SyntaxError, TypeError):
        return None
    texts = set()
    for node in nodes:
        text = ast.get_source_segment(source, node) or ""
        found = _lambda_code(compile(f"({text})", "<lambda>", "eval"))
        if found is not None and _words(found) == _words(code):
            texts.add(" ".join(text.split()))
    return texts.pop() if len(texts) == 1 else None


def _is_literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError):
        return False


def _expression(fn: Any) -> "Optional[tuple[str, list[str]]]":
    """Python that stands for the function, and the imports that it needs; None where there is none."""
    if isinstance(fn, functools.partial):
        inner = _expression(fn.func)
        if inner is None or not all(map(_is_literal, [*fn.args, *fn.keywords.values()])):
            return None
        words = [inner[0], *map(repr, fn.args), *(f"{name}={value!r}" for name, value in fn.keywords.items())]
        return f"functools.partial({', '.join(words)})", ["import functools", *inner[1]]
    name, module = str(getattr(fn, "__name__", "")), getattr(fn, "__module__", "")
    if name.isidentifier() and getattr(fn, "__qualname__", "") == name:
        return name, _imports(module, [name])
    text = _lambda_source(fn) if name == "<lambda>" else None
    if text is None:
        return None
    return text, _imports(module, [used for used in fn.__code__.co_names if used in fn.__globals__])


def described(fn: Callable[..., Any]) -> tuple[str, "list[str]"]:
    """What stands for the function in a line that is run again, and what is said below it: imports, or where it is from."""
    found = _expression(fn)
    if found:
        return found
    if isinstance(fn, functools.partial):
        return "fn", [f"fn: {fn!r}"]
    name = str(getattr(fn, "__name__", ""))
    place = _place(fn) or _place(getattr(type(fn), "__call__", None))
    return "fn", [f"fn: {name or type(fn).__name__}" + (f" of {place}" if place else "")]


def call(assertion: str, functions: "tuple[Callable[..., Any], ...]", operation: str, arguments: dict[str, tuple[Any, Any]]) -> list[str]:
    """The call, and below it the imports that it needs, or where its functions are from. `arguments`: name -> value and default; defaults
    are left out."""
    names, places = [], []
    for number, fn in enumerate(functions):
        name, below = described(fn)
        if name == "fn" and len(functions) > 1:
            name, below = "fg"[number], [line.replace("fn:", f"{'fg'[number]}:", 1) for line in below]
        names.append(name)
        places += below
    words = [*names, repr(operation)]
    for name, (value, default) in arguments.items():
        if isinstance(value, Expression):
            words.append(f"{name}={value}")
        elif callable(value):
            expression, below = described(value)
            words.append(f"{name}={'tensors' if expression == 'fn' else expression}")
            places += [line.replace("fn:", "tensors:", 1) for line in below]
        elif value != default:
            words.append(f"{name}={value!r}")
    module = "testing" if assertion == "assert_conforms" else "promises"
    own = f"import normproof; from normproof.{module} import {assertion}"
    return [f"{assertion}({', '.join(words)})", *dict.fromkeys([own, *places])]


def pytest_command(case_file: str) -> Optional[str]:
    """The pytest test that is running, with that case alone; None outside of pytest."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    return f"pytest {shlex.quote(test)} --normproof-case={shlex.quote(case_file)}" if test else None


def only_case() -> Optional[str]:
    """The file of the case that a script is to be run with."""
    return os.environ.get("NORMPROOF_ONLY_CASE")


def script_command(case_file: str) -> Optional[str]:
    """The script that is running, with that case alone; None where there is none, or pytest runs."""
    script = sys.argv[0] if sys.argv else ""
    if "PYTEST_CURRENT_TEST" in os.environ or not os.path.isfile(script):
        return None
    return f"NORMPROOF_ONLY_CASE={shlex.quote(case_file)} {shlex.quote(os.path.basename(sys.executable))} {shlex.join(sys.argv)}"


def check_command(file: str, policy: str, canonical: bool) -> str:
    """Judges the stored outputs in the same way."""
    command = f"normproof check {shlex.quote(file)}"
    if policy != "native":
        command += f" --policy {shlex.quote(policy)}"
    return command + (" --canonical" if canonical else "")
