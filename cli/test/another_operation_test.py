#!/usr/bin/env python3
"""What one row more in the table of operations does: a seventh operation, of known steps, and an eighth with a step
that is a row of its own, which nobody else has heard of. Judges, generator, shrinker, mutators, detective, plug-ins and Python
must serve them from their descriptions; who has no kernel, no bound or no loops for them must say so by their names, or do
without; and the compiler must object where a formula or a call is missing.

The two tables alone are compiled anew, and programs that are built already are linked with them in place of their own.

Usage: another_operation_test.py BUILD-FOLDER SOURCE-FOLDER COMPILER [UNITTEST-ARGUMENT...]
"""
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

BUILD, SOURCES = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
COMPILER = sys.argv[3]
NAME = "another_norm"
POST_NORM = "post_norm_add"
# A fused add that writes both outputs to memory of their own. No operation of ours has these tensors.
ROW = f'''    {{Operation::{NAME}, "{NAME}", "adds the residual, writes the sum elsewhere, normalizes it", kAnotherTensors, kEpsilon,
     kAddAndNormalize, 2, {{}}, Operation::rms_norm}},
'''
# A norm whose residual is added to its output: a step behind the norm.
POST_NORM_ROW = f'''    {{Operation::{POST_NORM}, "{POST_NORM}", "normalizes, then adds the residual", kPostNormTensors, kEpsilon,
     kNormalizeAndAdd, 2, Operation::rms_norm, {{}}}},
'''
STEP = '''void add_to_output(Arithmetic& arithmetic, const Formula& formula, ElementState& element) {
  const Value y = row_of(BeforeQuantization::rounded).function(arithmetic, formula.formats, element.product);
  element.product = {y + element.residual, DType::fp32};
}
constexpr std::array kOfAddition = {Role::residual};
constexpr NormStepRow kAddToOutput{StepPlace::product, false, kOfAddition, {}, add_to_output};
'''
TENSORS = '''constexpr TensorSpec kSeparateResidualOut = {Role::residual_out, Direction::out, Extent::elements, DTypeRule::residual};
constexpr std::array kAnotherTensors = {out(Aliasing::never), kSeparateResidualOut, kInput, kResidual, kWeight};
constexpr std::array kPostNormTensors = {out(Aliasing::never), kInput, kResidual, kWeight};
constexpr std::array kNormalizeAndAdd = {NormStep::normalize, NormStep::add_to_output};
'''


def edited(text, *edits):
    for pattern, replacement in edits:
        text, count = re.subn(pattern, replacement, text, count=1)
        assert count == 1, f"the source has no {pattern!r} any more: this test has to follow it"
    return text


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, **options)


class AnotherOperation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        cls.folder = pathlib.Path(holder.name)
        (cls.folder / "corpus").mkdir()
        header = (SOURCES / "corpus/operation.h").read_text()
        cls.write("corpus/operation.h", edited(
            header, (r"(enum class Operation [^}]*)\}", rf"\1  {NAME},\n  {POST_NORM},\n}}"),
            (r"(enum class NormStep [^}]*)\}", r"\1, add_to_output }")))
        cls.write("operation.cpp", edited(
            (SOURCES / "corpus/operation.cpp").read_text(),
            (r"(constexpr OperationSpec kTable)", TENSORS + r"\1"),
            (r"(kTable\[\] = \{\n(?:.*\n)*?)\};", r"\1" + ROW + POST_NORM_ROW + "};")))
        cls.write("norm_steps.cpp", edited(
            (SOURCES / "oracle/norm_steps.cpp").read_text(),
            (r"(\[\[noreturn\]\] void refuse)", STEP + r"\1"),
            (r"(    case NormStep::normalize:)", r"    case NormStep::add_to_output:\n      return kAddToOutput;\n\1")))
        cls.compile("operation.cpp", "norm_steps.cpp")
        cls.program, cls.worker = cls.linked("bin/normproof"), cls.linked("bin/normproof-worker")
        cls.environment = {**os.environ, "NORMPROOF_CORPUS": str(SOURCES / "corpus"), "NORMPROOF_WORKER": str(cls.worker)}
        cls.build_plugin()

    @classmethod
    def write(cls, name, text):
        (cls.folder / name).write_text(text)

    @classmethod
    def compile(cls, *sources):
        for source in sources:
            done = run(COMPILER, "-std=c++20", "-O1", "-Wall", "-Werror", "-fPIC", f"-I{cls.folder}", f"-I{SOURCES}", "-c", source,
                       cwd=cls.folder)
            assert done.returncode == 0, done.stderr

    @classmethod
    def linked(cls, target, name=None):
        """What the build has linked, linked again with the longer tables before its own."""
        output = cls.folder / (name or pathlib.Path(target).name)
        link = run("ninja", "-C", BUILD, "-t", "commands", target).stdout.rstrip().splitlines()[-1]
        tables = f"{cls.folder}/operation.o" + (f" {cls.folder}/norm_steps.o" if "libnormproof_oracle" in link else "")
        command, count = re.subn(rf" -o {re.escape(target)} ", f" {tables} -o {output} ", link)
        assert count == 1, link
        done = run("sh", "-c", command, cwd=BUILD)
        assert done.returncode == 0, done.stderr
        return output

    @classmethod
    def build_plugin(cls):
        """The example of `new-target` with the operations in place of its own, and a bug on demand."""
        done = run(cls.program, "new-target", "mine", cwd=cls.folder)
        assert done.returncode == 0, done.stderr
        adapter = cls.folder / "mine/adapter.cpp"
        adapter.write_text(edited(
            adapter.read_text(),
            (r'"fused_add_rms_norm", &', f'"{NAME}", &'),
            (r'(const normproof_plugin_operation rms_norm_entry = .*)"rms_norm", &rms_norm, nullptr',
             r"// Small, because the exact path is slow.\n"
             r"const normproof_plugin_limits small = {sizeof small, 1, 300, 2, 0, 8, 1};\n"
             rf'\1"{POST_NORM}", &rms_norm, &small'),
            (r'(const DLTensor\* residual = .*\n)',
             r'\1  const DLTensor* out = normproof_tensor_of(call, "out");\n'
             r'  const DLTensor* sum = normproof_tensor_of(call, "residual_out");\n'),
            (r"store\(residual, residual_begin \+ j,", "store(sum, row * sum->strides[0] + j,"),
            (r"norm_row\(input, input_begin, residual, residual_begin,",
             "norm_row(out, row * out->strides[0], sum, row * sum->strides[0],"),
            (r"\+ epsilon\);", '+ epsilon * (std::getenv("ANOTHER_BUG") ? 2 : 1));'),
            (r"#include <cstdio>", "#include <cstdio>\n#include <cstdlib>"),
            (r"(  for \(.*\) *\n)(    norm_row\(out, .*\n)",
             r'  const DLTensor* residual = normproof_tensor_of(call, "residual");\n'
             r"\1  {\n\2"
             r"    for (std::int64_t j = 0; j < input->shape[1]; ++j)\n"
             r"      store(out, row * out->strides[0] + j,\n"
             r"            load(out, row * out->strides[0] + j) + load(residual, row * residual->strides[0] + j));\n  }\n")))
        done = run(COMPILER, "-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-o", "libmine.so", adapter,
                   cwd=cls.folder)
        assert done.returncode == 0, done.stderr

    def normproof(self, *arguments, code=0, **environment):
        done = run(self.program, *arguments, cwd=self.folder, env={**self.environment, **environment})
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    def test_verify_judges_it_and_finds_a_bug_of_it(self):
        verify = ("verify", "--target", "./libmine.so", "--op", NAME, "--seed", "1", "--seconds", "0", "--cases", "200")
        self.normproof(*verify, "--json", "v.json")
        with open(self.folder / "v.json") as file:
            rows = [row for row in json.load(file)["combinations"] if row["cases"] > 0]
        self.assertEqual({row["operation"] for row in rows}, {NAME})
        self.assertEqual(len(rows), 5)  # bf16 with three kinds of weight, fp32 with two
        self.assertTrue(all(row["cases"] > 20 and row["violations"] == 0 for row in rows), rows)

        text = self.normproof(*verify, code=1, ANOTHER_BUG="1")
        replay = shlex.split(re.search(r"^  replay: (.*)$", text, re.MULTILINE)[1])[1:]
        with open(self.folder / replay[1]) as file:
            stored = json.load(file)
        self.assertEqual(stored["operation"], NAME)
        self.assertLessEqual(stored["shape"][0] * stored["shape"][-1], 4)
        self.normproof(*replay, code=1, ANOTHER_BUG="1")
        self.normproof(*replay)
        self.assertIn("s = rnd_T(x + residual)", self.normproof("explain", replay[1], code=1))
        self.normproof("replay", replay[1], "--target", "./libmine.so", "--dump", "d.safetensors", code=1, ANOTHER_BUG="1")
        self.normproof("check", "d.safetensors", code=1)
        self.normproof("replay", replay[1], "--target", "./libmine.so", "--dump", "d.safetensors")
        self.normproof("check", "d.safetensors")
        self.normproof("minimize", replay[1], "--target", "./libmine.so", code=1, ANOTHER_BUG="1")

    def test_a_step_without_loops_is_judged_on_the_exact_path(self):
        verify = ("verify", "--target", "./libmine.so", "--op", POST_NORM, "--seed", "1", "--seconds", "0", "--cases", "150")
        self.normproof(*verify, "--json", "p.json")
        with open(self.folder / "p.json") as file:
            rows = [row for row in json.load(file)["combinations"] if row["cases"] > 0]
        self.assertEqual({row["operation"] for row in rows}, {POST_NORM})
        self.assertEqual(len(rows), 5)
        self.assertTrue(all(row["cases"] > 10 and row["violations"] == 0 for row in rows), rows)

        text = self.normproof(*verify, code=1, ANOTHER_BUG="1")
        self.assertRegex(text, r"column \d+: x = .*, residual = ")
        replay = shlex.split(re.search(r"^  replay: (.*)$", text, re.MULTILINE)[1])[1:]
        self.normproof(*replay, code=1, ANOTHER_BUG="1")
        self.normproof(*replay)
        explained = self.normproof("explain", replay[1], code=1)
        self.assertIn("residual = ", explained)
        self.assertIn("residual", json.loads((self.folder / replay[1]).read_text()))
        self.normproof("replay", replay[1], "--target", "./libmine.so", "--dump", "p.safetensors", code=1, ANOTHER_BUG="1")
        self.normproof("check", "p.safetensors", code=1)
        # Inside the limits that the plug-in declares.
        calls = ("--target", "./libmine.so", "--op", POST_NORM)
        self.assertRegex(self.normproof("identify", *calls, "--dtype", "bf16"),
                         rf"{POST_NORM} bf16, weight bf16, H 300 +aligned +native")
        self.assertIn(POST_NORM, self.normproof("bound", POST_NORM, "--dtype", "bf16", "--hidden", "64", code=2))

    def test_the_detective_finds_its_policy_its_order_and_its_bound(self):
        calls = ("--target", "./libmine.so", "--op", NAME)
        self.assertRegex(self.normproof("identify", *calls, "--dtype", "bf16"), rf"{NAME} bf16, weight bf16 +aligned +native")
        text = self.normproof("order", *calls, "--dtype", "fp32", "--hidden", "64")
        self.assertRegex(text, r"family +serial")
        self.assertIn("certified", text)
        text = self.normproof("bound", NAME, "--dtype", "bf16", "--hidden", "64")
        self.assertIn("residual_out: 0 ulp", text)

    def test_who_has_no_kernel_for_it_says_so_by_its_name(self):
        self.assertIn(NAME, self.normproof("list"))
        self.assertIn("takes none of the calls", self.normproof("verify", "--op", NAME, code=3))
        self.assertIn(NAME, self.normproof("bench", "--op", NAME, code=2))
        self.write("case.json", json.dumps({
            "normproof_case": 1, "name": "another", "operation": NAME, "dtype": "bf16", "shape": [1, 2], "epsilon": 1e-6,
            "input": {"bits": ["3f80 3f80"]}, "residual": {"bits": ["3f80 3f80"]}}))
        self.assertIn(NAME, self.normproof("replay", "case.json", code=3))

    def test_cases_are_drawn_stored_mutated_and_shrunk(self):
        corpus = "CaseBytes*:CaseJson*:Case.*:DumpTest*:ModelDump*:Operations*:RandomCase*:Shrink*:Simpler*:Minimize*:Validate*"
        # Of the detective those that go through the table; of the judge all but those of codes.
        detective = "Discriminate.TheFirst*:Traits.AnHonestKernelHasNone:Traits.FindTheDivisor"
        judge = "WitnessJudge*-WitnessJudge.ReachableCodes*:WitnessJudge.AgreesWithBruteForceOverEveryFactor"
        # These hold what today's table gives: how many combinations it has, what a seed draws, what a message lists. The first
        # two are long, and of no operation more than of another.
        table = "ShrinkSequence*:RandomCase.HasEveryKindOfLayoutExecutionAndScalar:RandomCase.CoversEveryCombination:RandomCase.IsReproducible:DumpTest.ErrorsNameTheMetadata"
        for target, tests in (("bin/corpus_test", f"{corpus}-{table}"),
                              ("bin/case_mutator_test", "*"), ("bin/detective_test", detective),
                              ("bin/oracle_test", judge)):
            done = run(self.linked(target), f"--gtest_filter={tests}", "--gtest_brief=1", env=self.environment)
            self.assertEqual(done.returncode, 0, f"{target}\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}")
            self.assertRegex(done.stdout, r"\[  PASSED  \] [1-9]")

    def test_python_judges_it(self):
        modules = list((BUILD / "python/package/normproof").glob("_core*.so"))
        if not modules:
            self.skipTest("no Python package was built")
        package = self.folder / "python/normproof"
        package.mkdir(parents=True)
        for file in (BUILD / "python/package/normproof").iterdir():
            if not file.name.startswith("_core"):
                (package / file.name).symlink_to(file)
        self.linked(str(modules[0].relative_to(BUILD)), f"python/normproof/{modules[0].name}")
        python = BUILD / "python/environment/bin/python"
        script = f'''
import numpy, normproof
rng = numpy.random.default_rng(1)
x, residual = (rng.standard_normal((4, 64)).astype(numpy.float32) for _ in range(2))
weight = numpy.ones(64, numpy.float32)
expected = normproof.expected("{NAME}", x=x, residual=residual, weight=weight, epsilon=1e-6)
out, residual_out = expected.out.copy(), expected.residual_out
numpy.testing.assert_array_equal(residual_out, x + residual)
assert normproof.check("{NAME}", x=x, residual=residual, weight=weight, epsilon=1e-6, out=out, residual_out=residual_out)
out[0, 0] *= 2
assert not normproof.check("{NAME}", x=x, residual=residual, weight=weight, epsilon=1e-6, out=out, residual_out=residual_out)
print("judged")
'''
        done = run(python, "-c", script, env={**self.environment, "PYTHONPATH": str(package.parent)})
        self.assertIn("judged", done.stdout, done.stderr)

    def test_a_scale_of_the_row_is_refused_where_magnitudes_may_fall(self):
        self.write("refused.cpp", f'''#include <array>
#include <cstdio>
#include <stdexcept>
#include "oracle/norm_steps.h"
using namespace normproof;
int main() {{
  OperationSpec spec = spec_of(Operation::{POST_NORM});
  oracle::require_formula(spec);
  constexpr std::array kSteps = {{NormStep::normalize, NormStep::add_to_output, NormStep::quantize_by_row}};
  spec.steps = kSteps;
  try {{
    oracle::require_formula(spec);
  }} catch (const std::invalid_argument& error) {{
    std::puts(error.what());
  }}
}}
''')
        self.compile("refused.cpp")
        done = run(COMPILER, "refused.o", "operation.o", "norm_steps.o", BUILD / "oracle/libnormproof_oracle.a",
                   BUILD / "corpus/libnormproof_corpus.a", "-lfmt", "-o", "refused", cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"no formula for {POST_NORM}: a scale of the row behind", run(self.folder / "refused").stdout)

    def test_the_compiler_objects_where_a_formula_or_a_call_is_missing(self):
        overlay = self.folder / "unknown"
        (overlay / "corpus").mkdir(parents=True)
        header = (self.folder / "corpus/operation.h").read_text()
        (overlay / "corpus/operation.h").write_text(edited(
            header, (r"(enum class NormStep [^}]*)\}", r"\1, another_step\n}")))
        for source, missing in (("oracle/norm_steps.cpp", ("another_step",)), ("properties/bound/bound.cpp", ("another_step",)),
                                ("properties/targets/kernel_target.cpp", (NAME,))):
            done = run(COMPILER, "-std=c++20", "-Wall", "-Werror", "-fsyntax-only", f"-I{overlay}", f"-I{SOURCES}",
                       SOURCES / source)
            self.assertNotEqual(done.returncode, 0, source)
            for name in missing:
                self.assertIn(name, done.stderr, f"{source} compiles without {name}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
