#!/usr/bin/env python3
"""Drives `normproof assess --quick`: the figures, and that they can get bad.

Usage: assess_command_test.py NORMPROOF [UNITTEST-ARGUMENT...]
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv[1]


class AssessCommand(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def assess(self, *arguments, expect):
        file = os.path.join(self.folder.name, "figures.json")
        result = subprocess.run([PROGRAM, "assess", "--json", file, *arguments], capture_output=True, text=True,
                                timeout=500)
        self.assertEqual(result.returncode, expect, result.stdout + result.stderr)
        self.assertEqual(result.stderr if expect != 2 else "", "")  # progress is for terminals
        if expect == 2:
            return result.stderr, None
        with open(file) as figures:
            return result.stdout, json.load(figures)

    def test_the_figures_are_reached(self):
        output, figures = self.assess("--quick", "--jobs", "1", expect=0)
        self.assertTrue(figures["passed"])
        honest = figures["false_rejections"]
        self.assertEqual(honest["rejected"], 0)
        self.assertGreaterEqual(honest["elements"], 2_000_000)
        self.assertGreater(honest["special_rows"], 100)
        self.assertGreater(honest["other_policy_rows"], 100)
        self.assertEqual(len(honest["counts"]), 7 * 3)
        for count in honest["counts"]:
            self.assertGreater(count["rows"], 20, count)
        search = figures["brute_force"]
        self.assertEqual(search["disagreements"], 0)
        self.assertGreaterEqual(search["pairs"], 10_000)
        self.assertGreater(search["conforming"], 4_000)
        self.assertGreater(search["pairs"] - search["conforming"], 3_000)
        self.assertEqual(search["certificates"], search["pairs"] - search["conforming"])
        self.assertGreater(len(search["pairs_of_policy"]), 150)
        detection = figures["detection"]["figures"]
        self.assertEqual(len(detection), 8 * 2)
        for figure in detection:
            self.assertEqual(figure["rejected_without_fault"], 0, figure)
        many_rows = figures["many_rows"]["figures"]
        self.assertEqual(len(many_rows), 7)
        for figure in many_rows:
            self.assertEqual((figure["found"], figure["by_fewest_rows"], figure["rejected_without_bug"]), (1, 1, 0),
                             figure)
        naming = figures["naming"]
        self.assertGreaterEqual(naming["kernels"], 40)
        self.assertGreaterEqual(naming["runs"], 40)
        self.assertEqual(naming["named_as_target"], 0, naming)
        self.assertGreaterEqual(naming["described_runs"], 10)
        self.assertEqual(naming["rightly_named"], naming["described_runs"], naming)
        self.assertEqual(len(figures["family"]), 8)
        for study in figures["family"]:
            self.assertTrue(study["passed"], study)
            self.assertEqual(study["honest"]["refused"], 0, study)
            self.assertGreaterEqual(study["honest"]["rows"], 400, study)
            self.assertEqual(study["faulty"]["disagreements"], 0, study)
            self.assertGreater(study["faulty"]["refuted"], 50, study)
            self.assertEqual(sum(study["faulty"]["certificates_by_elements"].values()), study["faulty"]["refuted"], study)
            self.assertGreater(sum(fault["seen"] for fault in study["faults"]), 10, study)
        self.assertIn("named from one dump", output)
        self.assertIn("every figure is reached", output)
        # The number of threads changes no figure, and that of honest rows no other one.
        others = self.assess("--quick", "--jobs", "3", "--rows", "1000", expect=0)[1]
        for study in ("brute_force", "detection", "many_rows", "naming"):
            self.assertEqual(others[study], figures[study])
        self.assertTrue(1000 <= others["false_rejections"]["rows"] < 1100, others["false_rejections"])

    def test_a_judge_with_the_wrong_policy_fails_every_figure(self):
        output, figures = self.assess("--quick", "--plant-wrong-policy", expect=1)
        self.assertFalse(figures["passed"])
        for count in figures["false_rejections"]["counts"]:
            self.assertGreater(count["rejected"], 0, count)
        self.assertGreater(figures["brute_force"]["disagreements"], 1_000)
        self.assertGreaterEqual(figures["naming"]["named_as_target"], 40)
        self.assertEqual(figures["naming"]["named_as_target"], figures["naming"]["runs"])
        for figure in figures["detection"]["figures"]:
            self.assertGreater(figure["rejected_without_fault"], 0, figure)
            self.assertFalse(figure["reached"], figure)
        for figure in figures["many_rows"]["figures"]:
            self.assertFalse(figure["reached"], figure)
        for study in figures["family"]:
            self.assertFalse(study["passed"], study["study"])
            self.assertGreater(study["honest"]["refused"], study["honest"]["rows"] // 20, study["study"])
            self.assertGreater(study["faulty"]["disagreements"], 5, study["study"])
        witness_judge, family = output.split("norm family: ")
        self.assertEqual(witness_judge.count("<- FAILED"), 3 + 8 * 2 + 7)
        self.assertGreater(family.count("<- FAILED"), 2 * 7)
        self.assertIn("the first: ", output)
        self.assertIn("a figure is not reached", output)

    def test_some_operations_with_a_number_of_rows(self):
        output, figures = self.assess("--operation", "rms_norm_mx_quant", "--rows", "700", expect=0)
        self.assertEqual(figures["operations"], ["rms_norm_mx_quant"])
        self.assertNotIn("false_rejections", figures)
        [blocks] = figures["family"]
        self.assertIn("rms_norm_mx_quant", blocks["operations"])
        self.assertTrue(700 <= blocks["honest"]["rows"] < 710, blocks["honest"])
        self.assertNotIn("false rejections", output)
        self.assertEqual(self.assess("--op", "rms_norm_mx_quant", "--rows", "700", "--jobs", "2", expect=0)[1], figures)
        self.assertNotEqual(self.assess("--op", "rms_norm_mx_quant", "--rows", "700", "--seed", "2", expect=0)[1]["family"],
                            figures["family"])
        figures = self.assess("--quick", "--op", "layer_norm,gated_rms_norm", expect=0)[1]
        self.assertEqual([study["study"] for study in figures["family"]], ["LayerNorm", "gated norm"])

    def test_wrong_usage(self):
        self.assertIn("--op", self.assess("--op", "norm", expect=2)[0])
        self.assertIn("--rows", self.assess("--rows", "0", expect=2)[0])
        self.assertIn("--jobs", self.assess("--jobs", "0", expect=2)[0])
        self.assertIn("--seed", self.assess("--seed", "one", expect=2)[0])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
