#!/usr/bin/env python3
"""Promises about several calls, and findings that one call does not show again: `verify --demand`, sequences, JUnit.

Usage: promises_test.py NORMPROOF BUILD-FOLDER [UNITTEST-ARGUMENT...]
"""
import glob
import json
import os
import shutil
import sys
import unittest
import xml.etree.ElementTree

from program_test_case import ProgramTest

BUILD = os.path.abspath(sys.argv[2])
STAND_IN = os.path.join(BUILD, "properties", "targets", "worker", "libstand_in_device.so")
FAULTY = os.path.join(BUILD, "properties", "plugin", "libfaulty_plugin.so")
BREACHES = {"deterministic": "bits differ between two calls of the same",
            "batch-invariant": "bits differ between batch sizes", "layout-invariant": "bits differ between layouts",
            "graph-replay": "bits differ in a replayed CUDA graph"}


class Promises(ProgramTest):
    def setUp(self):
        super().setUp()
        shutil.copy(FAULTY, os.path.join(self.folder, "libfaulty.so"))
        os.mkdir(os.path.join(self.folder, "corpus"))
        self.write("corpus/one.json", {"normproof_case": 1, "operation": "rms_norm", "dtype": "bf16", "shape": [1, 8],
                                       "epsilon": 1e-6, "input": {"recipe": {"class": "normal", "seed": 1}}})

    def write(self, name, content):
        with open(os.path.join(self.folder, name), "w") as file:
            json.dump(content, file)

    def read(self, name):
        with open(os.path.join(self.folder, name)) as file:
            return json.load(file)

    def verify(self, fault, code, *more, seconds="0.4"):
        return self.run_program("verify", "--target", "./libfaulty.so", "--corpus", "corpus", "--op", "rms_norm", "--seed", "1",
                                "--seconds", seconds, "--json", "v.json", "--junit", "v.xml", *more, code=code, fault=fault)

    def junit(self):
        cases = xml.etree.ElementTree.parse(os.path.join(self.folder, "v.xml")).iter("testcase")
        return {case.get("name"): [child.tag for child in case] for case in cases}

    def differ(self):
        return {row["name"]: row["bits_differ"] for row in self.read("v.json")["promises"]}

    def assert_promise(self, promise, fault, smallest_rows):
        text = self.verify(fault, 0)
        self.assertIn(f"{BREACHES[promise]}: seen", text)
        self.assertEqual(self.differ()[promise], "seen")
        self.assertEqual(self.junit()[promise], ["skipped"])
        text = self.verify(fault, 1, "--demand", promise)
        self.assertIn(f"VIOLATION found by --demand {promise}", text)
        self.assertIn("replay:", text)
        self.assertEqual(self.junit()[promise], ["failure"])
        (file,) = glob.glob(os.path.join(self.folder, "findings", "*.sequence"))
        with open(file) as content:
            calls = json.load(content)["calls"]
        self.assertEqual([call["shape"][0] for call in calls], smallest_rows)
        name = os.path.relpath(file, self.folder)
        self.assertIn("the bits must be the same",
                      self.run_program("replay", name, "--target", "./libfaulty.so", code=1, fault=fault))
        self.run_program("replay", name, "--target", "./libfaulty.so", code=0)
        os.remove(file)
        return calls

    # --- what is promised about several calls ---

    def test_an_order_that_changes_at_64_rows_breaks_batch_invariance(self):
        self.assert_promise("batch-invariant", "order-from-64-rows", [1, 64])
        self.assertEqual(self.differ()["deterministic"], "not seen")
        self.verify("order-from-64-rows", 0, "--demand", "deterministic")

    def test_an_order_that_changes_from_call_to_call_breaks_determinism(self):
        self.assert_promise("deterministic", "order-by-call", [1, 1])

    def test_an_order_that_changes_with_the_alignment_breaks_layout_invariance(self):
        calls = self.assert_promise("layout-invariant", "order-by-alignment", [1, 1])
        self.assertIn("offset", json.dumps(calls[1]["layout"]))

    def test_what_was_not_compared_never_passes(self):
        text = self.verify("", 0)
        for promise, breach in BREACHES.items():
            self.assertIn(f"{breach}: {'not compared' if promise == 'graph-replay' else 'not seen'} (", text)
        junit = self.junit()
        self.assertEqual([junit[name] for name in ("deterministic", "batch-invariant", "layout-invariant")], [[]] * 3)
        for name in ("graph-replay", "rows-are-independent", "layout-changes-nothing"):
            self.assertEqual(junit[name], ["skipped"], name)
        self.assertEqual(junit["bitwise-equality"], [])
        text = self.verify("", 3, "--demand", "graph-replay,deterministic")
        self.assertIn("NOT CHECKED: --demand graph-replay: not compared", text)
        self.assertIn("'quick'", self.verify("", 2, "--demand", "quick").replace('"', "'").replace("quick", "'quick'"))

    def test_our_kernels_keep_the_promises(self):
        options = ("verify", "--corpus", "corpus", "--op", "rms_norm", "--dtype", "bf16", "--seed", "1", "--seconds", "1")
        text = self.run_program(*options, code=0)
        self.assertIn("bits differ between batch sizes: not seen (by the canonical judge", text)
        text = self.run_program(*options, "--demand", "batch-invariant,deterministic,layout-invariant", code=0)
        self.assertRegex(text, r"bits differ between batch sizes: not seen \(in [1-9]\d* pairs of calls\)")

    def test_a_graph_is_replayed_where_the_kernels_run_on_a_device(self):
        def verify(code, *more, fault=""):
            return self.run_program("verify", "--target", "cuda", "--corpus", "corpus", "--op", "rms_norm", "--dtype", "bf16",
                                    "--seed", "1", "--seconds", "0.4", *more, code=code, NORMPROOF_KERNELS_CUDA=STAND_IN,
                                    NORMPROOF_STAND_IN_FAULT=fault)
        breach = BREACHES["graph-replay"]
        self.assertIn(f"{breach}: not compared (--demand graph-replay asks for it)", verify(0))
        self.assertRegex(verify(0, "--demand", "graph-replay"), breach + r": not seen \(in [1-9]\d* pairs of calls\)")
        # Wrong outputs are a violation, asked for or not; that it cannot be recorded breaks the promise.
        text = verify(1, "--demand", "graph-replay", fault="default-stream:96")
        self.assertIn("comparing calls", text)
        self.assertIn("in a replayed CUDA graph", text)
        text = verify(1, "--demand", "graph-replay", fault="waits:96")
        self.assertIn("VIOLATION found by --demand graph-replay", text)
        self.assertIn("cannot be recorded in a CUDA graph", text)
        (file,) = glob.glob(os.path.join(self.folder, "findings", "*.sequence"))
        with open(file) as content:
            calls = json.load(content)["calls"]
        self.assertEqual([call["shape"] for call in calls], [[1, 96]] * 2)
        self.assertEqual([call.get("launch") for call in calls], [None, {"in_graph": True}])
        for fault, code in (("waits:96", 1), ("", 0)):
            self.run_program("replay", os.path.relpath(file, self.folder), "--target", "cuda", code=code,
                             NORMPROOF_KERNELS_CUDA=STAND_IN, NORMPROOF_STAND_IN_FAULT=fault)

    def test_shards_merge_what_they_have_seen(self):
        for shard in ("1/2", "2/2"):
            self.verify("order-by-call", 0, "--shard", shard)
            os.rename(os.path.join(self.folder, "v.json"), os.path.join(self.folder, f"s{shard[0]}.json"))
        self.assertIn("two calls of the same: seen", self.run_program("merge", "s1.json", "s2.json", code=0))

    # --- what one call does not show again ---

    def findings(self, fault, *more):
        text = self.verify(fault, 1, *more)
        (finding,) = self.read("v.json")["findings"]
        self.assertNotIn("conforms", finding["file"])
        self.assertIn("outputs", finding["case"])  # those that were seen, and by which it was judged
        self.run_program("check", finding["file"], code=1)
        return text, finding

    def replayed(self, text):
        (line,) = [line for line in text.splitlines() if line.startswith("  replay:")]
        return line.split(" replay ")[1].split()

    def test_a_plain_bug_is_replayed_by_its_one_call(self):
        text, finding = self.findings("fp32-weight")
        self.assertEqual(self.replayed(text)[0], finding["file"])
        self.assertNotIn("not reproduced", text)
        self.assertFalse(glob.glob(os.path.join(self.folder, "findings", "*.sequence")))

    def test_right_ten_times_then_not_is_replayed_by_as_many_calls(self):
        text, finding = self.findings("right-ten-times")
        self.assertIn("not reproduced in a fresh process by this call alone", text)
        self.run_program("replay", finding["file"], "--target", "./libfaulty.so", code=0, fault="right-ten-times")
        replayed = self.replayed(text)
        self.assertTrue(replayed[0].endswith(".sequence"), replayed)
        self.assertEqual(self.read(replayed[0])["repeat"], 11)
        self.assertIn("call 11 of 11: wrong bits", self.run_program("replay", *replayed, code=1, fault="right-ten-times"))
        self.assertIn("11 calls, one after the other, conform", self.run_program("replay", *replayed, code=0))

    def test_what_depends_on_another_call_is_replayed_after_it(self):
        text, _ = self.findings("after-other-columns", "--no-shrink")
        replayed = self.replayed(text)
        self.assertTrue(replayed[0].endswith(".sequence"), replayed)
        self.assertEqual(len(self.read(replayed[0])["calls"]), 2)
        self.run_program("replay", *replayed, code=1, fault="after-other-columns")

    def test_what_depends_on_chance_is_judged_from_what_was_seen(self):
        text, finding = self.findings("by-chance")
        self.assertNotIn("VIOLATION found by conforms", text)
        self.assertTrue("not reproduced in a fresh process" in text or "replay:" in text)
        self.assertIn("wrong bits", finding["message"])

    def test_a_damaged_sequence_is_refused_with_its_value(self):
        case = self.read("corpus/one.json")
        good = {"normproof_sequence": 1, "same_bits": False, "repeat": 2, "calls": [case]}
        self.write("s.sequence", good)
        self.assertIn("2 calls", self.run_program("replay", "s.sequence", "--target", "./libfaulty.so", code=0))
        other = {**case, "dtype": "fp32"}
        for change, says in (({"repeat": 0}, "$.repeat"), ({"repeat": 5000}, "5000"), ({"calls": []}, "$.calls"),
                             ({"calls": [case] * 300}, "256"), ({"same_bits": 3}, "got 3"), ({"more": 4}, "more"),
                             ({"calls": [case, {**case, "dtype": "fp99"}]}, "$.calls[1].dtype"),
                             ({"same_bits": True, "calls": [case, other]}, "$.calls[1]"), ({"normproof_sequence": 2}, "got 2")):
            self.write("s.sequence", {**good, **change})
            self.assertIn(says, self.run_program("replay", "s.sequence", "--target", "./libfaulty.so", code=2))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
