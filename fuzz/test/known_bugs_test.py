#!/usr/bin/env python3
"""A fuzzer goes on past what is known, and past nothing else.

known_bugs_test.py CONFORMANCE-FUZZER SEEDS MUTANTS-FOLDER. The fuzzer may be the one that replays files.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

FUZZER, SEEDS, MUTANTS = sys.argv[1:4]
MUTANT = "mutant:B1-fp32-weight-multiply-vectorized"
FP32 = {"name": "the story", "kind": "wrong-bits", "operation": "rms_norm", "policy": "weight=fp32"}


class KnownBugs(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def run_fuzzer(self, *known):
        (self.folder / "known.json").write_text(json.dumps(known))
        environment = dict(os.environ, NORMPROOF_TARGET=MUTANT, NORMPROOF_MUTANTS=MUTANTS, NORMPROOF_FINDINGS=str(self.folder),
                           NORMPROOF_KNOWN=str(self.folder / "known.json"), NORMPROOF_KNOWN_TALLY=str(self.folder / "tally"))
        return subprocess.run([FUZZER, "-runs=0", SEEDS], env=environment, capture_output=True, text=True, timeout=120)

    def tally(self):
        violations, left_out, seconds = (self.folder / "tally").read_text().split()
        return int(violations), int(left_out), float(seconds)

    def test_what_is_unknown_ends_it(self):
        done = self.run_fuzzer()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("\nkind: wrong-bits\n", done.stderr)

    def test_a_known_policy_is_passed_in_every_operation(self):
        done = self.run_fuzzer(FP32)
        self.assertEqual(done.returncode, 0, done.stderr)
        violations, left_out, seconds = self.tally()
        self.assertGreater(violations, 5)
        self.assertEqual(left_out, 0)
        self.assertGreater(seconds, 0)

    def test_other_kinds_and_policies_are_not_passed(self):
        for change in ({"kind": "memory-violation"}, {"policy": "variance=activation"}):
            self.assertNotEqual(self.run_fuzzer(FP32 | change).returncode, 0, change)

    def test_without_a_policy_its_operation_and_those_made_of_it_are_passed(self):
        bug = {key: value for key, value in FP32.items() if key != "policy"}
        done = self.run_fuzzer(bug)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreater(self.tally()[0], 5)
        self.assertNotEqual(self.run_fuzzer(bug | {"operation": "fused_add_rms_norm"}).returncode, 0)

    def test_cases_around_a_bug_that_ends_the_process_are_left_out(self):
        sizes = ["0", "1", "2"] + [f"{2 ** k // 2 + 1} to {2 ** k}" for k in range(2, 40)]
        dtypes = ["bf16", "fp16", "fp32", "none", "fp8_e4m3fn", "fp8_e5m2", "fp8_e4m3fnuz", "fp8_e5m2fnuz", "int8"]
        everything = {
            "operation": ["rms_norm", "fused_add_rms_norm", "rms_norm_static_fp8_quant", "fused_add_rms_norm_static_fp8_quant",
                          "rms_norm_dynamic_quant", "fused_add_rms_norm_dynamic_quant"],
            "dtype": dtypes, "weight": dtypes, "out": dtypes, "rows": sizes, "hidden size": sizes,
            "path": ["automatic", "vectorized", "scalar"], "vectors": ["possible", "impossible"], "in place": ["yes", "no"]}
        self.assertEqual(self.run_fuzzer(FP32 | {"region": everything}).returncode, 0)
        violations, left_out, _ = self.tally()
        self.assertEqual(violations, 0)
        # libFuzzer adds an empty input.
        self.assertIn(left_out - len(os.listdir(SEEDS)), (0, 1))
        # What lies outside is run.
        self.assertNotEqual(self.run_fuzzer({"name": "a", "kind": "b", "region": everything | {"weight": ["none"]}}).returncode, 0)

    def test_a_damaged_list_is_no_list(self):
        done = self.run_fuzzer({"kind": "wrong-bits"})
        self.assertEqual(done.returncode, 3)
        self.assertIn("NORMPROOF_KNOWN: ", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
