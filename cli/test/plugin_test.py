#!/usr/bin/env python3
"""Drives plug-in targets as a user would: a library in, a verdict out, whatever the library does.

Usage: plugin_test.py NORMPROOF BUILD-FOLDER COMPILER CORPUS [UNITTEST-ARGUMENT...]
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time
import unittest

from program_test_case import PROGRAM, ProgramTest

BUILD, COMPILER, CORPUS = sys.argv[2:5]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FAULTY = os.path.join(BUILD, "properties", "plugin", "libfaulty_plugin.so")
MANY_ROWS = os.path.join(BUILD, "properties", "plugin", "libmany_rows_plugin.so")
KERNELS = os.path.join(BUILD, "properties", "plugin", "libkernels_plugin.so")
CUDA_PLUGIN = os.path.join(BUILD, "bin", "libcuda_plugin.so")
STAND_IN = os.path.join(BUILD, "properties", "targets", "worker", "libstand_in_device.so")


def ones(rows, hidden):
    row = " ".join(["3f80"] * hidden)
    return {"normproof_case": 1, "operation": "rms_norm", "dtype": "bf16", "shape": [rows, hidden], "epsilon": 1e-6,
            "input": {"bits": [row] * rows}}


class Plugins(ProgramTest):
    def setUp(self):
        super().setUp()
        # In a folder with a plus sign, which also divides the names of two targets.
        os.mkdir(os.path.join(self.folder, "c++"))
        self.faulty = "./c++/libfaulty.so"
        shutil.copy(FAULTY, os.path.join(self.folder, self.faulty))
        for hidden in (23, 24, 25):
            self.write(f"{hidden}.json", ones(2, hidden))

    def write(self, name, case):
        with open(os.path.join(self.folder, name), "w") as file:
            json.dump(case, file)

    def read(self, name):
        with open(os.path.join(self.folder, name)) as file:
            return json.load(file)

    def test_mutants_says_what_each_check_sees_in_a_plug_in(self):
        def mutants(target, checks, *more, code, fault=""):
            text = self.run_program("mutants", "--folder", "matrix", "--target", target, "--checks", checks, "--json",
                                    "matrix.json", "--fresh", *more, code=code, fault=fault)
            mine = self.read("matrix.json")["rows"][-1]
            self.assertEqual(mine["target"], target)
            return text, {name: cell["outcome"] for name, cell in mine["cells"].items()}

        parts = "^(corpus|random|witness|refused-calls|negation|vllm 1e-2|fp8 1)$"
        text, outcomes = mutants(KERNELS, parts, code=0)
        self.assertEqual(outcomes.pop("refused-calls"), "not taken")
        self.assertEqual(set(outcomes.values()), {"survived"}, outcomes)
        self.assertIn("0 of 4 checks fail, 1 is not about what it takes\n0 of 2 tolerance tests fail", text)
        # It takes one operation in one dtype, and writes beside its output: no tolerance sees that, nor do outputs alone.
        text, outcomes = mutants(self.faulty, parts, code=1, fault="stray-write")
        self.assertEqual(outcomes, {"corpus": "killed", "random": "killed", "witness": "survived", "negation": "killed",
                                    "refused-calls": "not taken", "vllm 1e-2": "survived", "fp8 1": "not taken"})
        self.assertIn("3 of 4 checks fail: corpus, negation, random; 1 is not about what it takes\n"
                      "0 of 1 tolerance tests fail, 1 is not about what it takes", text)
        # `verify` keeps its findings in a folder named after the target, which is a path here.
        path = os.path.abspath(os.path.join(self.folder, self.faulty))
        _, outcomes = mutants(path, "^verify$", "--shard", "2/2", code=1, fault="stray-write")
        self.assertEqual(outcomes, {"verify": "killed"})
        self.assertTrue(os.path.exists(path))
        self.assertIn("missing.so", self.run_program("mutants", "--target", "./missing.so", code=3))
        for target in ("host", "cuda", "mutant:B1-fp32-weight-multiply-scalar"):
            self.assertIn(f"'{target}'", self.run_program("mutants", "--target", target, code=2))

    def test_a_bug_of_many_rows_is_found_and_shown_by_the_fewest(self):
        arguments = ("verify", "--target", MANY_ROWS, "--seed", "1", "--property-cases", "1", "--json", "sizes.json")
        self.run_program(*arguments, "--seconds", "60", code=1, fault="half-1024")
        shape = self.read("sizes.json")["findings"][0]["case"]["shape"]
        self.assertEqual((shape[:-1], shape[-1] <= 2), ([1024], True), shape)
        # What a run has not reached is named.
        text = self.run_program(*arguments, "--cases", "1", code=0)
        self.assertIn("SIZE NOT REACHED: 65-256 rows with H ", text)
        missing = {row["rows"]: row["not_reached"] for row in self.read("sizes.json")["sizes"]}
        self.assertIn("6144", missing["65-256"])
        self.assertEqual(missing["8388609"], ["1"])

    def replay(self, fault, code, *more, **environment):
        """Three cases, the second of which is 24 elements long."""
        return self.run_program("replay", "23.json", "24.json", "25.json", "--target", self.faulty, *more, code=code,
                                fault=fault, **environment)

    # --- speed ---

    def bench(self, fault, code, *more):
        return self.run_program("bench", "--target", self.faulty, "--op", "rms", "--hidden", "128,1024", "--tokens", "1",
                                *more, code=code, fault=fault)

    def test_the_speed_of_a_plug_in_is_measured_beside_a_copy(self):
        text = self.bench("", 0, "--json", "bench.json")
        self.assertIn("on the CPU", text)
        rows = self.read("bench.json")["rows"]
        self.assertEqual({row["hidden"] for row in rows}, {128, 1024})
        for row in rows:
            self.assertTrue(row["copy_us"] > 0 and row["kernel_us"] > 0 and "best_peer" not in row, row)

    def test_what_a_plug_in_does_while_it_is_measured_is_no_silent_pass(self):
        self.assertIn("it died of signal 11", self.bench("crash", 1))
        self.assertIn("it ended the process", self.bench("exit", 1))
        self.assertIn("nothing was measured", self.bench("not-taken", 3))
        self.assertIn("failed", self.bench("failed", 3))
        self.assertIn("--tune", self.bench("", 2, "--tune", "table.csv"))
        self.assertIn("--interrupted", self.bench("", 2, "--interrupted"))
        self.assertIn("--hot-sets", self.bench("", 2, "--hot-sets", "2"))
        self.run_program("bench", "--target", "./nowhere.so", code=3)

    # --- right and wrong kernels ---

    def test_a_new_target_builds_and_conforms_and_nothing_is_overwritten(self):
        text = self.run_program("new-target", "mine", code=0)
        self.assertIn("verify --target ./mine/build/libmine.so", text)
        build = os.path.join(self.folder, "mine", "build")
        for command in (["cmake", "-S", "mine", "-B", build, f"-DCMAKE_CXX_COMPILER={COMPILER}",
                         "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Werror"],
                        ["cmake", "--build", build]):
            done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        text = self.run_program("verify", "--target", "mine/build/libmine.so", "--seconds", "1", "--seed", "1",
                                "--json", "v.json", code=0)
        self.assertIn("10 of 10 combinations of operation, dtype, and weight that the target takes", text)
        self.assertIn("conforms: in every row, one inverse RMS", text)
        self.assertIn("more than two dimensions", text)  # a reason why cases were not taken
        report = self.read("v.json")
        self.assertEqual(report["judge"], "witness")
        self.assertGreater(report["total"]["not_taken"], 0)
        self.assertTrue(all(row["rows"] > 0 for row in report["combinations"]))

        with open(os.path.join(self.folder, "mine", "adapter.cpp"), "a") as file:
            file.write("// mine\n")
        self.assertIn("already exists", self.run_program("new-target", "mine", code=2))
        with open(os.path.join(self.folder, "mine", "adapter.cpp")) as file:
            self.assertTrue(file.read().endswith("// mine\n"))
        self.assertIn("'9lives'", self.run_program("new-target", "9lives", code=2))
        self.assertIn("nowhere", self.run_program("new-target", "nowhere/mine", code=3))

    # A source that somebody has: pointers, sizes and strides, a template over the type, launched from one function.
    SOURCE = """
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

namespace theirs {
template <typename T>
__global__ void norm_kernel(T* out, const T* in, const T* weight, int columns, int in_stride, int out_stride, float eps) {
  __shared__ float squares[256];
  float sum = 0;
  for (int i = threadIdx.x; i < columns; i += blockDim.x)
    sum += float(in[blockIdx.x * in_stride + i]) * float(in[blockIdx.x * in_stride + i]);
  squares[threadIdx.x] = sum;
  __syncthreads();
  sum = 0;
  for (int i = 0; i < blockDim.x; ++i) sum += squares[i];
  const float r = rsqrtf(sum / columns + eps);
  for (int i = threadIdx.x; i < columns; i += blockDim.x)
    out[blockIdx.x * out_stride + i] = T(float(in[blockIdx.x * in_stride + i]) * r) * weight[i];
}
template <typename T>
cudaError_t RMSNorm(T* input, T* weight, T* output, uint32_t batch_size, uint32_t d, uint32_t stride_input,
                    uint32_t stride_output, float eps, bool enable_pdl, cudaStream_t stream) {
  if (batch_size == 0) return cudaSuccess;
  norm_kernel<<<batch_size, 64, 0, stream>>>(output, input, weight, int(d), int(stride_input), int(stride_output), EPSILON);
  return cudaGetLastError();
}
}  // namespace theirs
"""

    def cmake(self, *arguments):
        done = subprocess.run(["cmake", *arguments], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_a_plugin_of_a_cuda_source_is_written_built_and_judged(self):
        os.mkdir(os.path.join(self.folder, "their"))
        with open(os.path.join(self.folder, "their", "norm.cuh"), "w") as file:
            file.write(self.SOURCE)
        # Its sanitizer's runtime is loaded first, where the program has none of its own.
        with open(PROGRAM, "rb") as file:
            sanitizers = "" if b"san_init" in file.read() else "address"
        text = self.run_program("new-target", "good", "--from", "their/norm.cuh", "--define", "EPSILON=eps", code=0)
        self.cmake("-S", "good", "-B", "good/build", f"-DCMAKE_CXX_COMPILER={COMPILER}", "-DCMAKE_BUILD_TYPE=Debug",
                   f"-DNORMPROOF_SANITIZERS={sanitizers}")
        self.cmake("--build", "good/build")
        self.assertIn("theirs::RMSNorm(input, weight, out, rows, columns, input_stride, out_stride, epsilon, flag, stream), "
                      "the argument order of FlashInfer", text)
        self.assertIn("set without knowing: enable_pdl = false", text)
        self.assertIn("verify --target ./good/build/libgood.so", text)
        with open(os.path.join(self.folder, "good", "adapter.cu")) as file:
            lines = [line for line in file.read().splitlines() if line and not line.startswith("//")]
        self.assertLessEqual(len(lines), 15, lines)
        text = self.run_program("verify", "--target", "good/build/libgood.so", "--seconds", "0", "--cases", "30",
                                "--property-cases", "1", "--seed", "1", code=0)
        self.assertIn("3 of 3 combinations", text)
        # In the same build folder, where all but the kernel is compiled already.
        self.run_program("new-target", "bad", "--from", "their/norm.cuh", "--define", "EPSILON=1e-5f", code=0)
        for name in ("adapter.cu", "CMakeLists.txt"):
            shutil.copy(self.path(f"bad/{name}"), self.path(f"good/{name}"))
        self.cmake("--build", "good/build")
        text = self.run_program("verify", "--target", "good/build/libbad.so", "--dtype", "bf16", "--seconds", "0", "--cases", "30",
                                "--property-cases", "1", "--seed", "1", "--keep-going", "--json", "v.json", code=1)
        self.assertIn("wrong bits", text)
        self.assertRegex(text, r"by cause, 1 of them:\n +[0-9]+ x wrong bits; rms_norm [^\n]*\n +[0-9]+ x findings/")
        self.assertIn("epsilon: its own, 1e-05, whatever the call says", text)
        self.assertIn("say so and the rest is judged: .limits = {.epsilon = 1e-05f}", text)
        learnt = self.read("v.json")["learnt"]
        self.assertEqual([row["limits"] for row in learnt], [".epsilon = 1e-05f"])

    def test_what_a_plugin_cannot_be_written_of_is_said(self):
        with open(os.path.join(self.folder, "kernels.cu"), "w") as file:
            file.write("__global__ void rms_norm_kernel(float* x) {}\nvoid rms_norm(float* out, float* x, Context& c) {}\n")
        text = self.run_program("new-target", "mine", "--from", "kernels.cu", code=2)
        self.assertIn("rms_norm, line 2: what is 'Context& c'?", text)
        self.assertIn("cannot read", self.run_program("new-target", "mine", "--from", "nowhere.cu", code=3))
        self.assertIn("belong to --from", self.run_program("new-target", "mine", "--define", "A=1", code=2))
        self.assertFalse(os.path.exists(os.path.join(self.folder, "mine")))

    def test_the_header_is_c(self):
        subprocess.run([COMPILER, "-x", "c", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only",
                        "-I", ROOT, os.path.join(ROOT, "properties", "plugin", "test", "header_test.c")], check=True)

    def test_our_kernels_as_a_plugin_reach_every_combination_by_either_judge(self):
        # The witness judge also compares calls of every combination with each other: so of one dtype.
        for count, arguments in ((160, ("--judge", "canonical")), (60, ("--judge", "witness", "--dtype", "bf16"))):
            text = self.run_program("verify", "--target", KERNELS, *arguments, "--seconds", "0", "--cases", "480",
                                    "--property-cases", "1", "--seed", "2", code=0)
            self.assertIn(f"{count} of {count} combinations", text)
        text = self.run_program("replay", os.path.join(CORPUS, "seeds"), "--quiet", "--target", KERNELS, "--also", "host",
                                code=0)
        self.assertIn("0 cases differ", text)

    def test_int8_rows_and_upper_bounds_come_where_the_plug_in_takes_them(self):
        arguments = ("verify", "--target", KERNELS, "--op", "rms_norm_dynamic_quant", "--dtype", "bf16", "--seconds", "0", "--cases", "120",
                     "--property-cases", "8", "--seed", "5", "--judge", "canonical", "--json", "rows.json")
        self.assertIn("15 of 15 combinations", self.run_program(*arguments, code=0))
        # One that was built before is called with neither: that would end it.
        self.assertIn("12 of 12 combinations", self.run_program(*arguments, code=0, NORMPROOF_PLUGIN_ROWS="fp8"))
        # What is taken is said once, for all codes: a bound may be declined, whatever the limits are.
        text = self.run_program(*arguments, code=0, NORMPROOF_PLUGIN_ROWS="declining")
        self.assertRegex(text, "not taken, [0-9]+ cases: it gives no reason")
        self.run_program(*arguments, code=1, NORMPROOF_PLUGIN_ROWS="unbounded")
        case = self.read("rows.json")["findings"][0]["case"]
        self.assertIn("scale_ub", case)
        self.write("bounded.json", case)
        for how, code in (("unbounded", 1), ("", 0)):
            self.run_program("replay", "bounded.json", "--target", KERNELS, code=code, NORMPROOF_PLUGIN_ROWS=how)
        self.write("bounded.json", {**case, "quantized_dtype": "fp8_e4m3fn"})
        text = self.run_program("replay", "bounded.json", "--target", KERNELS, code=3, NORMPROOF_PLUGIN_ROWS="fp8")
        self.assertIn("it does not take an upper bound of scales (scale_ub)", text)

    def test_another_faithful_order_is_no_violation_unless_the_canonical_one_is_demanded(self):
        self.run_program("verify", "--target", self.faulty, "--seconds", "1", "--seed", "3", code=0, fault="other-order")
        text = self.run_program("verify", "--target", self.faulty, "--seconds", "1", "--seed", "3", "--judge", "canonical",
                                code=1, fault="other-order")
        self.assertIn(f"--target {self.faulty} --judge canonical", text)

    def test_the_story_is_found_explained_minimized_and_identified(self):
        story = {"fault": "fp32-weight"}
        text = self.run_program("verify", "--target", self.faulty, "--seconds", "5", "--seed", "1", code=1, **story)
        self.assertIn("VIOLATION found by", text)
        self.assertIn("rounding violation", text)
        self.assertIn("no r explains", text)
        (name,) = os.listdir(os.path.join(self.folder, "findings"))
        repro = os.path.join("findings", name)
        self.assertIn(f"replay {repro} --target {self.faulty}", text)
        self.run_program("replay", repro, "--target", self.faulty, code=1, **story)
        self.run_program("replay", repro, "--target", self.faulty, code=0)
        self.run_program("replay", repro, "--target", self.faulty, "--policy", "weight=fp32", code=0, **story)
        self.assertIn("--judge canonical demands it",
                      self.run_program("replay", repro, "--target", self.faulty, "--repro", "repro.py", code=2, **story))
        self.assertIn("weight=fp32", self.run_program("explain", repro, "--target", self.faulty, code=1, **story))
        text = self.run_program("minimize", repro, "--target", self.faulty, "--policy", "native", code=1, **story)
        self.assertIn("replay minimized.json", text)
        text = self.run_program("identify", "--target", self.faulty, "--op", "rms_norm", "--dtype", "bf16", "--weight", "bf16",
                                code=0, **story)
        self.assertIn("weight=fp32", text)
        self.run_program("verify", "--target", self.faulty, "--op", "rms_norm", "--seconds", "1", "--seed", "1", "--policy",
                         "weight=fp32", code=0, **story)
        self.assertIn("--policy", self.run_program("verify", "--target", self.faulty, "--policy", "weight=fp33", code=2))

    # --- repros ---

    def test_two_crashes_of_one_signal_are_told_apart_by_their_place(self):
        os.mkdir(os.path.join(self.folder, "cases"))
        for columns in (7, 8, 9, 10):
            self.write(f"cases/{columns}.json", ones(1, columns))
        self.run_program("verify", "--target", self.faulty, "--corpus", "cases", "--seconds", "0", "--cases", "0",
                         "--property-cases", "1", "--seed", "1", "--op", "rms_norm", "--keep-going", "--json", "result.json",
                         code=1, fault="two-crashes")
        findings = [f for f in self.read("result.json")["findings"] if f["found_by"].startswith("corpus")]
        places = [re.findall(r"signal 11 \(Segmentation fault\) at (libfaulty\w*\.so\+0x[0-9a-f]+)", f["message"])
                  for f in findings]
        if any("ended with status" in f["message"] for f in findings):
            self.skipTest("a sanitizer turns the crash into an exit")
        self.assertEqual([len(place) for place in places], [1, 1], findings)
        self.assertNotEqual(*places)
        self.assertEqual(sorted(f["case"]["shape"] for f in findings), [[1, 1], [1, 2]])

    def test_a_crash_shrinks_to_the_same_crash_and_its_duplicates_are_counted(self):
        fault = {"fault": "misaligned-or-no-rows"}
        shifted = dict(ones(3, 40), layout={"input": {"offset": 1}})
        self.write("shifted.json", shifted)
        text = self.run_program("minimize", "shifted.json", "--target", self.faulty, code=1, **fault)
        self.assertIn("signal 11", text)
        small = self.read("minimized.json")
        self.assertEqual(small["shape"], [1, 1])
        self.assertEqual(small["layout"]["input"]["offset"], 1)
        os.mkdir(os.path.join(self.folder, "cases"))
        for number in range(3):
            self.write(f"cases/shifted-{number}.json", dict(shifted, shape=[3 - number, 40], input={
                "bits": shifted["input"]["bits"][number:]}))
            self.write(f"cases/void-{number}.json", dict(ones(0, 8 + number), input={"bits": []}))
        text = self.run_program("verify", "--target", self.faulty, "--corpus", "cases", "--seconds", "0", "--cases", "0",
                                "--property-cases", "1", "--seed", "1", "--op", "rms_norm", "--keep-going", "--json",
                                "result.json", code=1, **fault)
        findings = [f for f in self.read("result.json")["findings"] if f["found_by"].startswith("corpus")]
        self.assertEqual([("signal 8" in f["message"], "signal 11" in f["message"], f["case"]["shape"][0])
                          for f in findings], [(False, True, 1), (True, False, 0)])
        for finding in findings:
            self.assertGreaterEqual(finding["count"], 3)
            self.assertEqual(len([by for by in finding["also_found_by"] if by.startswith("corpus")]), 2)
            self.assertIn(f"{finding['count']:>6} x {finding['file']}\n", text)

    def test_shrinking_that_runs_out_of_time_says_so(self):
        self.write("long.json", ones(3, 1000))
        text = self.run_program("minimize", "long.json", "--target", self.faulty, "--seconds", "0.2", code=1, fault="slow")
        self.assertIn("shrinking stopped early after 0.2 s", text)
        text = self.run_program("minimize", "long.json", "--target", self.faulty, "--seconds", "100", code=1, fault="slow")
        self.assertNotIn("stopped early", text)
        self.assertEqual(self.read("minimized.json")["shape"], [1, 1])

    # --- what is not taken ---

    # The plug-in ends its process where a call lies outside its limits.
    def test_cases_are_drawn_within_declared_limits_and_one_inside_must_be_taken(self):
        command = ["verify", "--target", KERNELS, "--op", "rms_norm", "--seconds", "3", "--seed", "3"]
        text = self.run_program(*command, code=0, NORMPROOF_PLUGIN_LIMITS="kept")
        self.assertIn("it also has what this program does not know: weight_norm", text)
        calls = int(re.search(r"memory\): (\d+) calls", text)[1])
        outside = sum(int(count) for count in re.findall(r"not taken, (\d+) cases", text))
        self.assertGreater(calls, 1000)
        self.assertLess(outside, calls)  # the corpus and the properties alone, whose cases are what they are
        # So are the calls that are compared with each other.
        text = self.run_program(*command, "--demand", "batch-invariant,deterministic,layout-invariant", "--json", "v.json", code=0,
                                NORMPROOF_PLUGIN_LIMITS="kept")
        compared = {row["name"]: row["comparisons"] for row in self.read("v.json")["promises"]}
        self.assertGreater(min(compared["batch-invariant"], compared["deterministic"]), 10, compared)
        # And the questions of the detective, as far as an epsilon of its own allows.
        text = self.run_program("identify", "--target", KERNELS, "--op", "rms_norm", "--dtype", "bf16", "--weight", "bf16", code=0,
                                NORMPROOF_PLUGIN_LIMITS="kept")
        self.assertRegex(text, r"weight bf16, H 504 +aligned +native")
        self.assertRegex(text, r"one NaN in a row +NaN in 12 of 12 outputs")
        self.assertRegex(text, r"by what the sum of squares is divided +H\n")
        text = self.run_program("certify", "--target", KERNELS, "--op", "rms_norm", "--dtype", "bf16", code=1,
                                NORMPROOF_PLUGIN_LIMITS="kept")
        self.assertIn("rms_norm bf16, weight bf16, aligned: policy native", text)
        self.assertIn("rms_norm bf16 H 2400: no order: the target does not answer: not taken: it does not take an epsilon", text)
        text = self.run_program(*command, code=1, NORMPROOF_PLUGIN_LIMITS="broken")
        self.assertIn("its limits say that it takes the call, but it does not: not today", text)

    def test_what_is_not_taken_is_neither_right_nor_wrong(self):
        text = self.replay("not-taken:24", 0)
        self.assertIn("2 conform, 0 violate, 1 not taken", text)
        self.assertIn("not in the mood", text)
        self.assertIn("took none of the cases", self.replay("not-taken", 3))
        fp16 = dict(ones(1, 8), dtype="fp16", input={"bits": [" ".join(["3c00"] * 8)]})
        self.write("fp16.json", fp16)
        self.assertIn("does not take fp16", self.run_program("replay", "fp16.json", "--target", self.faulty, code=3))
        self.assertIn("does not take fp16", self.run_program("explain", "fp16.json", "--target", self.faulty, code=3))
        self.assertIn("NOT REACHED: rms_norm bf16", self.run_program("verify", "--target", self.faulty, "--seconds", "0.5",
                                                                    code=3, fault="not-taken"))
        self.assertIn("none of the calls selected by --op and --dtype",
                      self.run_program("verify", "--target", self.faulty, "--dtype", "fp16", code=3))
        self.assertIn("takes no operation", self.run_program("verify", "--target", self.faulty, code=3,
                                                             fault="load-nothing"))
        self.assertIn("not supported by the target", self.run_program("identify", "--target", self.faulty, "--dtype", "fp16",
                                                                  code=3))
        self.assertIn("memory violation", self.replay("written-not-taken:24", 1))

    # --- what a library may do to its process ---

    def test_every_fault_is_a_verdict_for_its_case_and_the_run_goes_on(self):
        for fault, words in {
                "crash": "signal 11", "abort": "signal 6", "exit": "status 0", "hang": "no answer within 0.5 s",
                "eat": "MiB of memory, of at most 300", "print": "hello from the kernel", "failed": "no more resources",
                "bad-status": "returned 77", "stray-write": "out: byte -1", "input-written": "input was modified"}.items():
            with self.subTest(fault):
                text = self.replay(fault + ":24", 1, NORMPROOF_PATIENCE="0.5" if fault == "hang" else "20",
                                   NORMPROOF_MEMORY="300")
                self.assertIn(words, text)
                self.assertIn("2 conform, 1 violate", text)

    def test_what_it_writes_to_standard_error_steers_nothing_and_has_a_bound(self):
        text = self.replay("hostile-errors:24", 0)
        self.assertIn(r"\x1b[31m\xff\xfe]]>\x07 grün <b>", text)
        self.assertNotRegex(text, r"[\x00-\x08\x0b-\x1f]")
        text = self.replay("many-errors:24", 0)
        self.assertIn("writes more than 64 KiB to standard error; the rest is not shown", text)
        self.assertIn(f"{self.faulty} wrote {(64 << 20) - (64 << 10)} bytes more to standard error, which are not shown", text)
        self.assertLess(len(text), 70000)
        text = self.replay("errors-for-ever:24", 1, NORMPROOF_PATIENCE="0.5")
        self.assertIn("no answer within 0.5 s", text)
        self.assertLess(len(text), 70000)

    def test_much_that_it_prints_is_one_finding(self):
        text = self.replay("much-output:24", 1)
        self.assertIn(f'it printed to standard output, which is its caller\'s (standard error is free): "{"x" * 128}" and '
                      f"{(64 << 20) - 128} bytes more", text)
        self.assertIn("2 conform, 1 violate", text)

    def test_verify_writes_a_repro_of_a_crash_and_ends_in_order(self):
        text = self.run_program("verify", "--target", self.faulty, "--seconds", "1", "--seed", "1", code=1, fault="crash")
        self.assertIn("the target says: the worker died of signal 11", text)
        (name,) = os.listdir(os.path.join(self.folder, "findings"))
        self.run_program("replay", os.path.join("findings", name), "--target", self.faulty, code=1, fault="crash")
        self.run_program("replay", os.path.join("findings", name), "--target", self.faulty, code=0)

    def test_damage_of_earlier_calls_is_told_apart(self):
        text = self.run_program("replay", *["23.json"] * 200, "--quiet", "--target", self.faulty, code=1, fault="leak",
                                NORMPROOF_MEMORY="300")
        self.assertIn("an earlier call may have done the damage", text)

    def test_many_faults_in_a_row(self):
        for fault, count, environment in (("crash", 100, {}), ("hang", 20, {"NORMPROOF_PATIENCE": "0.05"}),
                                          ("eat", 6, {"NORMPROOF_MEMORY": "300"})):
            with self.subTest(fault):
                text = self.run_program("replay", *["24.json"] * count, "25.json", "--target", self.faulty, code=1,
                                        fault=fault + ":24", **environment)
                self.assertIn(f"{count + 1} cases on target {self.faulty}: 1 conform, {count} violate", text)

    def left_behind(self):
        with open(os.path.join(self.folder, "left_behind")) as file:
            return int(file.read())

    def assert_ends(self, processes, deadline):
        for process in processes:
            while os.path.exists(f"/proc/{process}"):
                try:
                    with open(f"/proc/{process}/stat") as file:
                        if file.read().rsplit(")", 1)[1].split()[0] == "Z":  # nobody here has to fetch its status
                            break
                except (FileNotFoundError, ProcessLookupError):
                    break
                self.assertLess(time.monotonic(), deadline, process)
                time.sleep(0.01)

    def test_the_memory_that_is_shared_cannot_be_taken_away(self):
        text = self.replay("truncate:24", 0)
        self.assertIn("3 conform", text)
        self.assertIn("not truncated: 1", text)  # it found the memory, and was not permitted to

    def test_what_a_plug_in_writes_to_the_connection_is_a_finding(self):
        for fault in ("write-to-sockets", "flood-sockets"):
            with self.subTest(fault):
                start = time.monotonic()
                text = self.replay(fault + ":24", 1)
                self.assertIn("something else than the answer came over the connection", text)
                self.assertIn("2 conform, 1 violate", text)
                self.assertLess(time.monotonic() - start, 15)  # no patience of 20 s was used up

    def test_what_a_plug_in_begins_ends_with_its_worker(self):
        for fault, code, words in (("fork:24", 0, "3 conform"), ("fork-crash:24", 1, "signal 11"),
                                   ("fork-eat:24", 1, "MiB of memory, of at most 300"),
                                   ("fork-both-return:24", 0, "3 conform")):
            with self.subTest(fault):
                start = time.monotonic()
                # Returns when nobody holds standard output and error any more.
                self.assertIn(words, self.replay(fault, code, NORMPROOF_MEMORY="300"))
                self.assertLess(time.monotonic() - start, 15)
                if "return" not in fault:
                    self.assert_ends([self.left_behind()], time.monotonic() + 5)
                    os.remove(os.path.join(self.folder, "left_behind"))

    def test_a_program_that_its_plug_in_kills_leaves_nothing_behind(self):
        done = subprocess.run([PROGRAM, "replay", "24.json", "--target", self.faulty], cwd=self.folder, timeout=60,
                              env={**os.environ, "NORMPROOF_FAULT": "kill-program"}, capture_output=True)
        self.assertEqual(done.returncode, -9)
        self.assert_ends([self.left_behind()], time.monotonic() + 5)

    def test_the_shared_memory_has_a_limit_too(self):
        self.assertIn("MiB of memory, of at most 300", self.replay("eat-shared:24", 1, NORMPROOF_MEMORY="300"))

    def test_a_plug_in_gets_neither_standard_input_nor_open_files(self):
        self.addCleanup(os.close, os.dup2(1, 77))
        done = subprocess.run([PROGRAM, "replay", "24.json", "--target", self.faulty], cwd=self.folder, input=b"secret",
                              env={**os.environ, "NORMPROOF_FAULT": "read-input"}, stdout=subprocess.DEVNULL,
                              pass_fds=(77,), timeout=60)
        self.assertEqual(done.returncode, 0)

    def test_nothing_outlives_a_killed_program(self):
        bench = ["bench", "--op", "rms", "--hidden", "128", "--tokens", "1"]
        for arguments, fault in ((["replay", "24.json"], "hang"), (["replay", "24.json"], "fork-eat"),
                                 (bench, "hang"), (bench, "fork-eat")):
            with self.subTest(arguments=arguments, fault=fault):
                program = subprocess.Popen([PROGRAM, *arguments, "--target", self.faulty], cwd=self.folder,
                                           env={**os.environ, "NORMPROOF_FAULT": fault}, stdout=subprocess.DEVNULL)
                deadline = time.monotonic() + 20
                begun = []
                while len(begun) < 2:  # a supervisor and its child
                    begun = self.descendants(program.pid)
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.01)
                time.sleep(0.3)  # until the call hangs
                begun = self.descendants(program.pid)
                program.kill()
                program.wait()
                if fault == "fork-eat":
                    begun.append(self.left_behind())
                    os.remove(os.path.join(self.folder, "left_behind"))
                self.assert_ends(begun, deadline)

    def descendants(self, process):
        try:
            with open(f"/proc/{process}/task/{process}/children") as file:
                children = [int(each) for each in file.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            return []
        return children + [each for child in children for each in self.descendants(child)]

    # --- libraries that are no plug-ins ---

    def test_what_is_no_plugin_is_refused_with_a_reason(self):
        with open(os.path.join(self.folder, "text.so"), "w") as file:
            file.write("not a library")
        self.assertIn("cannot be loaded", self.run_program("verify", "--target", "text.so", code=3))
        self.assertIn("no such file", self.run_program("verify", "--target", "./missing.so", code=3))
        self.assertIn("not a file", self.run_program("verify", "--target", "./c++", code=3))
        self.assertIn("no symbol normproof_plugin", self.run_program("verify", "--target", STAND_IN, code=3))
        for fault, words in {"load-abi": "ABI version is 99", "load-null": "returned NULL", "load-no-name": "name",
                             "load-memory": "DLDeviceType 7", "load-print": "hello from the library",
                             "load-exit": "status 5", "load-crash": "signal 11", "load-hang": "no answer within 5.0 s",
                             }.items():
            with self.subTest(fault):
                text = self.run_program("replay", "24.json", "--target", self.faulty, code=3, fault=fault,
                                        NORMPROOF_PATIENCE="0.5" if fault == "load-hang" else "20")
                self.assertIn(words, text)
                self.assertIn(self.faulty, text)
        self.assertIn("NORMPROOF_MEMORY is 'much'",
                      self.run_program("replay", "24.json", "--target", self.faulty, code=3, NORMPROOF_MEMORY="much"))

    # --- device memory, by a stand-in for a device, and on one ---

    def test_device_memory_is_copied_there_and_back(self):
        device = {"NORMPROOF_KERNELS_PLUGIN_DEVICE": "1", "NORMPROOF_KERNELS_CUDA": STAND_IN}
        text = self.run_program("verify", "--target", KERNELS, "--seconds", "1", "--seed", "4", "--judge", "canonical", code=0,
                                **device)
        self.assertIn("device memory", text)
        device["NORMPROOF_KERNELS_CUDA"] = "/nowhere/libkernels_cuda.so"
        self.assertIn("wants device memory, and there is no /nowhere",
                      self.run_program("replay", "24.json", "--target", KERNELS, code=3, **device))

    def test_a_cuda_kernel_is_judged_on_a_gpu_whatever_it_does_there(self):
        if not os.path.exists(CUDA_PLUGIN):
            self.skipTest("there is no CUDA build")
        probe = subprocess.run([PROGRAM, "replay", "24.json", "--target", CUDA_PLUGIN], cwd=self.folder,
                               capture_output=True, text=True)
        if probe.returncode == 3 and "no usable NVIDIA GPU" in probe.stderr:
            self.skipTest(probe.stderr)
        text = self.run_program("verify", "--target", CUDA_PLUGIN, "--seconds", "3", "--seed", "1", code=0)
        self.assertIn("4 of 4 combinations", text)
        self.assertIn("one block per row (device memory)", text)
        self.run_program("verify", "--target", CUDA_PLUGIN, "--seconds", "3", "--seed", "1", code=1, fault="fp32-weight")
        for fault, words in {"illegal-address": "illegal", "hang": "no answer within 2.0 s"}.items():
            text = self.run_program("replay", "23.json", "24.json", "25.json", "--target", CUDA_PLUGIN, code=1,
                                    fault=fault + ":24", NORMPROOF_PATIENCE="2")
            self.assertIn(words, text)
            self.assertIn("2 conform, 1 violate", text)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[5:]])
