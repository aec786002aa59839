#!/usr/bin/env python3
"""Judged operations of a plug-in: what `verify`, `replay` and `merge` make of them, and planted bugs.

Usage: judged_plugin_test.py NORMPROOF BUILD-FOLDER SOURCE-FOLDER COMPILER [UNITTEST-ARGUMENT...]
"""
import json
import os
import re
import shlex
import subprocess
import sys
import unittest

from program_test_case import PROGRAM, ProgramTest

BUILD, SOURCES = (os.path.abspath(argument) for argument in sys.argv[2:4])
COMPILER = sys.argv[4]
PLUGIN = os.path.join(BUILD, "properties", "plugin", "libjudged_plugin.so")
QUANTIZING = os.path.join(BUILD, "properties", "plugin", "libquantizing_plugin.so")
sys.path.insert(0, os.path.join(SOURCES, "properties", "plugin", "test"))
import planted_bugs  # noqa: E402


class JudgedPlugin(ProgramTest):
    def verify(self, fault, code, *more, cases=1200, **environment):
        """A number of calls, not a time: what is looked at must not depend on the machine."""
        return self.run_program("verify", "--target", PLUGIN, "--seed", "1", "--seconds", "0", "--cases", str(cases), "--json",
                                "v.json", *more, code=code, fault=fault, **environment)

    def read(self, name="v.json"):
        with open(self.path(name)) as file:
            return json.load(file)

    def replay_commands(self, text):
        return [shlex.split(line.split(":", 1)[1])[1:] for line in text.splitlines() if line.startswith("  replay:")]

    def test_honest_kernels_conform_and_the_counts_add_up(self):
        text = self.verify("", 0, "--junit", "v.xml", "--html", "v.html", "--sarif", "v.sarif")
        self.assertIn("conforms: in every call, statistics or sums", text)
        judged = self.read()["judged"]
        self.assertEqual({row["operation"] for row in judged["combinations"]},
                         {"layer_norm", "fused_add_layer_norm", "rms_norm_backward", "layer_norm_backward", "qk_norm_rope",
                          "rms_norm_block_quant", "layer_norm_static_fp8_quant", "layer_norm_dynamic_quant", "gated_rms_norm"})
        self.assertEqual(len(judged["combinations"]), 8 * (6 + 2 + 1 + 2))  # two dtypes of codes, one, two
        for row in judged["combinations"]:
            self.assertTrue(row["calls"] > 4 and row["elements"] > row["rows"] > row["calls"], row)
            self.assertEqual((row["not_conforming"], row["violations"], row["not_taken"]), (0, 0, 0), row)
        total = re.search(r"^total +([\d ]+?)  ", text, re.MULTILINE).group(1).replace(" ", "")
        self.assertEqual(int(total), sum(row["calls"] for row in judged["combinations"]))
        for row in judged["promises"]:
            self.assertTrue(row["comparisons"] > 40 and row["differing"] == 0, row)
        # What some call has looked at is not among what none has; memory and other calls were looked at.
        blind = [line for row in judged["operations"] for line in row["not_looked_at"]]
        # The plug-in does not say that it takes an upper bound of scales, or scales in other layouts.
        self.assertFalse([line for line in blind if "not given" in line and "scale_ub" not in line or "memory" in line], blind)
        for each in ("scale_ub, which was not given", "scales by columns"):
            self.assertIn(each, blind)
        self.assertTrue(all(any("summation" in line for line in row["not_looked_at"]) for row in judged["operations"]))

    def test_a_kernel_that_always_computes_the_statistics_is_verified(self):
        for operation in "rms_norm_backward", "layer_norm_backward":
            text = self.verify("statistics-not-taken", 0, "--op", operation)
            self.assertRegex(text, r"not taken, \d+ calls: it computes the statistics itself")
            (row,) = self.read()["judged"]["operations"]
            self.assertNotIn("calls without the statistics, which the kernel then computes", row["not_looked_at"])
        # Of all calls together, not of each.
        self.assertGreater(row["undecided"], 1)
        self.assertIn(f"not looked at: {row['undecided']} rows as a whole, whose search was given up", text)

    def test_every_planted_bug_is_found(self):
        missed = []
        for plugin in PLUGIN, QUANTIZING:
            for fault, operation, _, _ in planted_bugs.bugs_of(plugin):
                code, result, text = planted_bugs.verify(PROGRAM, plugin, fault, self.folder, "--op", operation, "--seed", "1",
                                                         "--seconds", "0", "--cases", "4000", "--no-shrink")
                if code != 1 or operation not in result["findings"][0]["found_by"]:
                    missed.append((fault, code, text))
        self.assertEqual(missed, [])

    def test_honest_quantization_by_blocks_conforms(self):
        self.run_program("verify", "--target", QUANTIZING, "--seed", "1", "--seconds", "0", "--cases", "600", "--json", "v.json", code=0)
        rows = self.read()["judged"]["combinations"]
        self.assertEqual({row["operation"] for row in rows},
                         {"rms_norm_block_quant", "rms_norm_mx_quant", "rms_norm_nvfp4_quant"})
        self.assertTrue(all(row["rows"] > 0 and row["violations"] == 0 for row in rows), rows)

    def test_a_finding_is_small_and_its_replay_and_check_say_the_same(self):
        text = self.verify("variance-over-h-minus-1", 1)
        self.assertIn("layer_norm", text)
        (replay,) = self.replay_commands(text)
        with open(self.path(replay[1])) as file:
            stored = json.load(file)
        self.assertEqual(stored["tensors"]["x"]["shape"], [1, 2])
        self.assertIn("1 violate", self.run_program(*replay, code=1, fault="variance-over-h-minus-1"))
        self.assertIn("1 conform", self.run_program(*replay, code=0, fault=""))
        self.run_program("check", replay[1], code=1)  # the outputs that were seen
        self.run_program(*replay, "--dump", "honest.safetensors", code=0, fault="")
        self.run_program("check", "honest.safetensors", code=0)
        text = self.run_program("explain", replay[1], "--json", "e.json", code=1)
        self.assertRegex(text, r"n = fl\(fl\(x - mean\) \* rstd\)\n(.*\n)*  mean = .*, rstd = .*\n  out = .*; the file has .* ulp apart")
        self.assertEqual(self.read("e.json")["outputs"][0]["tensor"], "out")
        # Our own kernels have the operation, and not the bug.
        self.assertIn("canonical judge", self.run_program("replay", replay[1], code=0))

    def test_the_policy_that_is_followed_is_named_and_can_be_demanded(self):
        text = self.verify("sum-not-rounded", 1, "--op", "fused_add_layer_norm")
        self.assertIn("it follows sum=fp32", text)
        policy = re.search(r"--policy '(fused_add_layer_norm:sum=fp32)'", text).group(1)
        self.verify("sum-not-rounded", 0, "--op", "fused_add_layer_norm", "--policy", policy)
        self.assertEqual(self.read()["judged"]["operations"][0]["policy"], "sum=fp32")
        self.verify("", 1, "--op", "fused_add_layer_norm", "--policy", policy, "--no-shrink")
        # Without an operation's name it holds for all that have it; several are told apart by ';'.
        self.verify("interleaved", 0, "--op", "qk_norm_rope", "--policy", "layer_norm:statistics=welford; pairs=interleaved")
        for wrong in ("pairs=sideways", "rms_norm:pairs=neox", "nothing:native", "qk_norm_rope:sum=fp32"):
            self.assertIn("--policy", self.verify("", 2, "--policy", wrong))

    def test_what_is_not_taken_is_counted_and_named(self):
        text = self.verify("not-taken", 3, "--op", "layer_norm")
        self.assertIn("not today", text)
        self.assertIn("the target took none of", text)
        self.verify("not-taken", 3)
        self.assertIn("NOT CHECKED: no call of layer_norm bf16, weight none was judged: the target took none", self.verify(
            "not-taken", 3))
        self.assertIn("takes none of the calls", self.verify("", 3, "--op", "rms_norm"))
        text = self.verify("limits", 0)
        self.assertIn("it also has what this program does not know: nobody_knows_this_norm", text)
        self.assertIn("nobody", self.verify("limits", 2, "--op", "nobody_knows_this_norm"))

    def test_crashes_hangs_and_what_earlier_calls_did_have_a_replay(self):
        text = self.verify("crash-at-513", 1, "--op", "layer_norm")
        self.assertIn("signal 11", text)
        (replay,) = self.replay_commands(text)
        self.run_program(*replay, code=1, fault="crash-at-513")
        text = self.verify("hang-at-513", 1, "--op", "layer_norm", "--no-shrink", NORMPROOF_PATIENCE="0.3")
        self.assertIn("hung", text)
        text = self.verify("eps-of-the-first-call", 1, "--op", "layer_norm")
        (replay,) = self.replay_commands(text)
        self.assertGreater(sum(argument.endswith(".json") for argument in replay), 1)
        self.run_program(*replay, code=1, fault="eps-of-the-first-call")

    def test_promises_about_several_calls(self):
        text = self.verify("order-of-many-rows", 0, "--op", "layer_norm")
        self.assertIn("bits differ between batch sizes: seen", text)
        text = self.verify("order-of-many-rows", 1, "--op", "layer_norm", "--demand", "batch-invariant")
        self.assertIn("VIOLATION found by --demand batch-invariant of judged operations", text)
        self.verify("", 0, "--op", "layer_norm", "--demand", "batch-invariant,deterministic,layout-invariant")

    def test_both_kinds_of_operations_share_the_time(self):
        text = self.verify("both-kinds", 0)
        self.assertIn("layer_norm: policy native", text)
        result = self.read()
        self.assertGreater(result["total"]["cases"], 100)
        self.assertGreater(sum(row["calls"] for row in result["judged"]["combinations"]), 100)
        self.assertNotIn("layer_norm:", self.verify("both-kinds", 0, "--op", "rms_norm"))

    def test_device_memory_is_copied_there_and_back(self):
        stand_in = os.path.join(BUILD, "properties", "targets", "worker", "libstand_in_device.so")
        self.assertIn("(device memory)", self.verify("device", 0, NORMPROOF_KERNELS_CUDA=stand_in))

    def test_a_new_target_of_layer_norm_compiles_and_conforms(self):
        self.assertIn("adapter.cpp", self.run_program("new-target", "mine", "--op", "layer_norm", code=0))
        done = subprocess.run([COMPILER, "-std=c++17", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                               "-shared", "-fPIC", "-o", "libmine.so", "mine/adapter.cpp"], cwd=self.folder,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        text = self.run_program("verify", "--target", "./libmine.so", "--seconds", "0", "--cases", "400", "--seed", "1", code=0)
        self.assertIn("mine (host memory)", text)
        self.assertIn("conforms", text)
        with open(self.path("mine/README.md")) as file:
            self.assertNotIn("identify", file.read())
        self.run_program("new-target", "other", "--op", "layer_norm", "--from", "norm.cu", code=2)
        self.run_program("new-target", "other", "--op", "qk_norm_rope", code=2)

    def test_shards_add_up(self):
        for shard in ("1/2", "2/2"):
            self.verify("", 0, "--shard", shard, "--op", "qk_norm_rope", cases=400)
            os.rename(self.path("v.json"), self.path(shard[0] + ".json"))
        self.verify("", 0, "--op", "qk_norm_rope", cases=400)
        text = self.run_program("merge", "1.json", "2.json", "--json", "merged.json", code=0)
        self.assertIn("qk_norm_rope: policy native", text)
        whole, merged = (self.read(name)["judged"]["combinations"] for name in ("v.json", "merged.json"))
        self.assertEqual(whole, merged)
        for name in "1.json", "2.json":
            document = self.read(name)
            document["judged"]["operations"][0]["undecided"] = int(name[0]) + 1
            with open(self.path(name), "w") as file:
                json.dump(document, file)
        text = self.run_program("merge", "1.json", "2.json", code=0)
        self.assertIn("not looked at: 5 rows as a whole, whose search was given up", text)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[5:])
