#!/usr/bin/env python3
"""Drives `normproof verify`, `replay` and `explain` as a user would: exit codes, reports, repros.

Usage: verify_commands_test.py NORMPROOF CORPUS [UNITTEST-ARGUMENT...]
The mutants of the story must have been built beside the program.
"""
import json
import os
import sys
import unittest
import xml.etree.ElementTree as xml

from program_test_case import ProgramTest

CORPUS = sys.argv[2]
STORY = ["B1-fp32-weight-multiply-vectorized", "B1-fp32-weight-multiply-scalar", "B1-fp32-weight-multiply-fp8"]
ONE = {"bf16": "3f80", "fp16": "3c00", "fp32": "3f800000"}


class VerifyCommands(ProgramTest):
    def test_verify_covers_every_combination_and_reports_it(self):
        # So many random cases, on a slow machine too: the properties, which take their time first, have few special values.
        text = self.run_program("verify", "--seconds", "0", "--cases", "2000", "--property-cases", "1", "--seed", "1",
                                "--json", "v.json", "--junit", "v.xml", code=0)
        self.assertIn("320 of 320 combinations", text)
        with open(self.path("v.json")) as file:
            report = json.load(file)
        self.assertEqual(report["exit_code"], 0)
        self.assertEqual(report["seed"], 1)
        self.assertEqual(len(report["combinations"]), 320)
        self.assertTrue(all(row["rows"] > 0 for row in report["combinations"]))
        self.assertEqual(sum(row["elements"] for row in report["combinations"]), report["total"]["elements"])
        self.assertGreater(report["total"]["special_rows"] * 10, report["total"]["rows"])
        suite = xml.parse(self.path("v.xml")).getroot()[0]
        self.assertEqual(int(suite.get("tests")), len(suite.findall("testcase")))
        self.assertEqual(len(suite.findall("testcase")), len(report["checks"]))

    def test_the_same_seed_judges_the_same_cases(self):
        runs = []
        for jobs in ["1", "2"]:
            self.run_program("verify", "--seconds", "0", "--cases", "300", "--seed", "7", "--op", "rms_norm", "--dtype",
                             "fp16", "--jobs", jobs, "--json", "v.json", code=0)
            with open(self.path("v.json")) as file:
                report = json.load(file)
            runs.append([(check["name"], check["cases"]) for check in report["checks"] if check["group"] != "property"])
        self.assertEqual(runs[0], runs[1])

    def test_each_mutant_of_the_story_is_found_with_a_minimal_repro(self):
        for mutant in STORY:
            with self.subTest(mutant):
                target = f"mutant:{mutant}"
                text = self.run_program("verify", "--target", target, "--seed", "1", "--findings", mutant, code=1)
                self.assertIn("VIOLATION found by", text)
                (name,) = os.listdir(self.path(mutant))
                repro = os.path.join(mutant, name)
                self.assertIn(f"replay {repro} --target {target}", text)
                with open(self.path(repro)) as file:
                    case = json.load(file)
                self.assertEqual(case["shape"][0], 1)
                matter = [bits for tensor in ("input", "weight", "residual") if tensor in case
                          for row in case[tensor]["bits"] for bits in ([row] if isinstance(row, str) else row)
                          if bits not in (ONE[case["dtype"]], ONE["fp32"])]
                self.assertLessEqual(len(matter), 3, case)  # at most two elements, one of them with its weight
                self.run_program("replay", repro, "--target", target, code=1)
                self.run_program("replay", repro, code=0)
                explanation = self.run_program("explain", repro, "--target", target, code=1)
                self.assertIn("weight=fp32", explanation)

    def test_what_shrinks_to_a_known_violation_is_known(self):
        os.mkdir(self.path("none"))
        with open(self.path("none/one.json"), "w") as file:
            json.dump({"normproof_case": 1, "operation": "rms_norm", "dtype": "bf16", "shape": [1, 1], "epsilon": 1e-6,
                       "input": {"bits": ["3f80"]}}, file)
        run = ("verify", "--target", f"mutant:{STORY[0]}", "--corpus", "none", "--seconds", "0", "--property-cases", "1")
        self.run_program(*run, "--op", "rms_norm", "--cases", "400", "--seed", "1", "--write-baseline", "known.json", code=1)
        # The fused operation has the same bug, and its cases shrink to the unfused one. So few calls do not reach all that is judged
        # by name (3); more would show the bug in grouped_rms_norm, which is not known.
        self.run_program(*run, "--cases", "100", "--seed", "2", "--baseline", "known.json", "--json", "v.json", code=3)
        with open(self.path("v.json")) as file:
            report = json.load(file)
        known = [check["name"] for check in report["checks"] if check.get("known") and check["group"] == "random"]
        self.assertIn("fused_add_rms_norm fp16", known)
        self.assertEqual(report["violations_found"], report["baseline"]["known_violations"])

    def test_wrong_usage_is_2_and_names_the_value(self):
        self.assertIn("nonsense", self.run_program("verify", "--op", "nonsense", code=2))
        self.assertIn("-1", self.run_program("verify", "--seconds", "-1", code=2))
        self.run_program(code=2)
        seed = os.path.join(CORPUS, "seeds", "B3-unrounded-sum.json")
        self.assertIn("--row 9", self.run_program("explain", seed, "--row", "9", code=2))
        with open(self.path("bad.json"), "w") as file:
            file.write('{"normproof_case": 1, "surprise": 3}')
        self.assertIn("surprise", self.run_program("replay", "bad.json", code=2))

    def test_what_cannot_run_is_3(self):
        self.assertIn("no-such-target", self.run_program("verify", "--target", "no-such-target", code=3))
        self.assertIn("no-such-mutant", self.run_program("replay", "x.json", "--target", "mutant:no-such-mutant", code=3))
        os.mkdir(self.path("empty"))
        self.assertIn("empty", self.run_program("verify", "--corpus", "empty", "--seconds", "0", "--seed", "1", code=3))

    def test_a_layout_beyond_the_address_space_is_3(self):
        with open(self.path("far.json"), "w") as file:
            json.dump({"normproof_case": 1, "operation": "rms_norm", "dtype": "bf16", "shape": [2, 1],
                       "layout": {"input": {"strides": [2 ** 60]}}, "epsilon": 1e-6,
                       "input": {"bits": ["3f80", "3f80"]}}, file)
        self.assertIn("bytes of address space", self.run_program("replay", "far.json", code=3))

    def test_an_unreadable_file_does_not_hide_a_violation(self):
        seed = os.path.join(CORPUS, "seeds", "B1-fp32-weight-multiply.json")
        text = self.run_program("replay", "missing.json", seed, "--target", f"mutant:{STORY[1]}", code=1)
        self.assertIn("missing.json", text)
        self.assertIn("0x3fa3", text)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
