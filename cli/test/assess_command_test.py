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
        self.assertIn("named from one dump", output)
        self.assertIn("every figure is reached", output)
        # Neither the number of threads nor anything but the seed changes a figure.
        self.assertEqual(self.assess("--quick", "--jobs", "3", expect=0)[1], figures)
        self.assertNotEqual(self.assess("--quick", "--seed", "2", expect=0)[1]["brute_force"], search)

    def test_a_judge_with_the_wrong_policy_fails_every_figure(self):
        output, figures = self.assess("--quick", "--plant-wrong-policy", expect=1)
        self.assertFalse(figures["passed"])
        for count in figures["false_rejections"]["counts"]:
            self.assertGreater(count["rejected"], 0, count)
        self.assertGreater(figures["brute_force"]["disagreements"], 1_000)
        self.assertGreaterEqual(figures["naming"]["named_as_target"], 40)
        for figure in figures["detection"]["figures"]:
            self.assertGreater(figure["rejected_without_fault"], 0, figure)
            self.assertFalse(figure["reached"], figure)
        for figure in figures["many_rows"]["figures"]:
            self.assertFalse(figure["reached"], figure)
        self.assertEqual(output.count("<- FAILED"), 3 + 8 * 2 + 7)
        self.assertIn("the first: ", output)
        self.assertIn("a figure is not reached", output)

    def test_wrong_usage(self):
        self.assertIn("--jobs", self.assess("--jobs", "0", expect=2)[0])
        self.assertIn("--seed", self.assess("--seed", "one", expect=2)[0])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
