"""What a type checker says of the package and of a program that uses it; and the form of all messages about arguments."""
import ast
import pathlib
import re
import subprocess
import sys
import typing

import pytest

import normproof
from normproof import _types

PACKAGE = pathlib.Path(normproof.__file__).parent

PROGRAM = """
import numpy
import normproof
from normproof.promises import assert_same_bits
from normproof.testing import assert_conforms

def norm(x: object, weight: object, epsilon: float) -> object: ...

assert_conforms(norm, "rms_norm", dtype="bf16", weight="fp32", policy="weight=fp32,sum=mixed")
assert_conforms(norm, "rms_norm", dtype="float16", weight=None, policy="vllm.rms_norm", tensors="torch:cuda")
assert_conforms(norm, "rms_norm", dtype=numpy.float16, weight=numpy.dtype("f4"))
normproof.cases("rms_norm_static_fp8_quant", quantized_dtype="fp8_e5m2")
count: int = normproof.beside("rms_norm_dynamic_quant", x=1, out=1, scales=1, epsilon=1.0, unfused=1, policy="vllm.rms_norm_dynamic_quant").codes
"""
WRONG = [
    'assert_conforms(norm, "rms_norm", dtype="bf15")',
    'assert_conforms(norm, "layernorm")',
    'assert_conforms(norm, "rms_norm", weight="none")',
    'assert_same_bits(norm, norm, "rms_norm", dtype="fp8_e5m2")',
    'normproof.cases("rms_norm", quantized_dtype="fp8")',
    'normproof.check("rms_nrom", x=1, out=1, epsilon=1.0)',
    'normproof.order(norm, dtype="bf61")',
    'normproof.beside("rms_norm_block_qant", x=1, out=1, epsilon=1.0, unfused=1)',
]


def mypy(*arguments):
    pytest.importorskip("mypy")
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", "/dev/null", *map(str, arguments)],
                          capture_output=True, text=True)
    return done.stdout + done.stderr


def test_the_package_and_programs_are_checked_strictly(tmp_path, monkeypatch):
    monkeypatch.setenv("MYPYPATH", str(PACKAGE.parent))
    program = tmp_path / "program.py"
    program.write_text(PROGRAM + "\n".join(WRONG) + "\n")
    first = PROGRAM.count("\n") + 1
    said = mypy(PACKAGE, program)
    lines = {int(line): text for line, text in re.findall(r"program\.py:(\d+): error: (.*)", said)}
    assert sorted(lines) == list(range(first, first + len(WRONG))), said
    assert all("incompatible type" in text or "No overload variant" in text for text in lines.values()), said
    assert not [line for line in said.splitlines() if "error" in line and "program.py" not in line], said


def test_the_names_that_a_checker_knows_are_those_of_the_tables():
    assert set(typing.get_args(_types.PolicyName)) == {policy.name for policy in normproof.policies()}
    assert typing.get_args(_types.Operation) == normproof.OPERATIONS
    assert typing.get_args(_types.JudgedOperation) == tuple(entry["name"] for entry in normproof._core.judged_operation_table())


@pytest.mark.parametrize("file", sorted(PACKAGE.glob("*.py")), ids=lambda file: file.name)
def test_messages_about_arguments_have_one_form(file):
    """ARGUMENT: expected WHAT, got WHAT; or what an operation has and needs."""
    form = re.compile(r"^[\w{}. \']+: (expected .*, got .*|.* needs it, got None|.* has none, got .*|the .* must return .*, got .*|{error}|"
                      r".*, got shape .*|the bits of .*, got .*|the conversion does not keep .*)$", re.DOTALL)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and getattr(node.exc.func, "id", "") in ("ValueError", "TypeError"):
            text = ast.unparse(node.exc.args[0])
            text = re.sub(r"\{[^{}]*\}", "{}", text.removeprefix("f")).strip("\"'") if "{error}" not in text else text.removeprefix("f").strip("\"'")
            assert form.match(text), f"{file.name}:{node.lineno}: {text}"
