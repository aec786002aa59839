#!/usr/bin/env python3
"""`verify --baseline` and `--write-baseline`: what is known by its cause does not fail, what is new does, and what is gone is said.

Usage: baseline_test.py NORMPROOF BUILD-FOLDER [UNITTEST-ARGUMENT...]
"""
import json
import os
import shutil
import sys
import unittest
import xml.etree.ElementTree

from program_test_case import ProgramTest

FAULTY = os.path.join(os.path.abspath(sys.argv[2]), "properties", "plugin", "libfaulty_plugin.so")
BOUNDED = ("--seconds", "0", "--cases", "48", "--property-cases", "1")


class Baselines(ProgramTest):
    def setUp(self):
        super().setUp()
        shutil.copy(FAULTY, self.path("libfaulty.so"))
        os.mkdir(self.path("corpus"))
        self.write("corpus/one.json", {"normproof_case": 1, "operation": "rms_norm", "dtype": "bf16", "shape": [1, 64],
                                       "weight_dtype": "bf16", "epsilon": 1e-6, "weight": {"recipe": {"class": "normal", "seed": 2}},
                                       "input": {"recipe": {"class": "normal", "seed": 1}}})

    def write(self, name, content):
        with open(self.path(name), "w") as file:
            json.dump(content, file)

    def read(self, name):
        with open(self.path(name)) as file:
            return json.load(file)

    def verify(self, fault, code, *more, seed="1", bounded=BOUNDED):
        return self.run_program("verify", "--target", "./libfaulty.so", "--corpus", "corpus", "--op", "rms_norm", "--dtype", "bf16",
                                "--seed", seed, *bounded, "--json", "v.json", "--junit", "v.xml", "--sarif", "v.sarif", *more,
                                code=code, fault=fault)

    def junit(self):
        return xml.etree.ElementTree.parse(self.path("v.xml")).getroot()[0]

    def sarif(self):
        return [(result.get("baselineState"), result["level"]) for result in self.read("v.sarif")["runs"][0]["results"]]

    def random_check(self):
        (check,) = [check for check in self.read("v.json")["checks"] if check["group"] == "random"]
        return check

    def test_known_violations_do_not_fail_and_new_ones_do(self):
        self.verify("fp32-weight", 1, "--write-baseline", "known.json")
        self.assertEqual({state for state, _ in self.sarif()}, {None})
        self.assertNotIn("baseline", self.read("v.json"))
        known = self.read("known.json")["known"]
        self.assertTrue(all(cause["outcome"] == "wrong bits" for entry in known for cause in entry["causes"]))
        shutil.rmtree(self.path("findings"))

        # The same bug in other cases: nothing fails, nothing is shrunk or stored, and every case is judged.
        text = self.verify("fp32-weight", 0, "--baseline", "known.json", seed="2")
        result = self.read("v.json")
        violations = result["violations_found"]
        self.assertGreater(violations, 10)
        self.assertEqual(result["baseline"]["known_violations"], violations)
        self.assertTrue(all(finding["known"] for finding in result["findings"]))
        self.assertEqual([entry["state"] for entry in result["baseline"]["entries"]], ["seen"] * len(known))
        random = self.random_check()
        self.assertEqual((random["passed"], random["known"]), (False, True))
        self.assertFalse(os.path.exists(self.path("findings")))
        last = text.strip().splitlines()[-3:]
        self.assertIn(f"known: {violations} violations, of {len(known)} of the {len(known)} causes in known.json", last)
        self.assertIn(f"conforms but for {violations} known violations", "".join(last))
        self.assertEqual(self.junit().get("failures"), "0")
        self.assertIn("known, in known.json", {skipped.get("message") for skipped in self.junit().iter("skipped")})
        self.assertEqual(set(self.sarif()), {("unchanged", "note")})

        self.verify(None, 0, seed="2")
        self.assertEqual(random["cases"], self.random_check()["cases"])

        # Of another dtype it is another one.
        other = self.read("known.json")
        for entry in other["known"]:
            for cause in entry["causes"]:
                cause["dtype"] = "fp32"
        self.write("other.json", other)
        self.verify("fp32-weight", 1, "--baseline", "other.json", "--no-shrink")

        # Another bug.
        text = self.verify("stray-write", 1, "--baseline", "known.json")
        self.assertIn("memory violation", text)
        self.assertIn("1 new violation found", text)
        self.assertNotEqual(self.junit().get("failures"), "0")
        self.assertIn(("new", "error"), self.sarif())
        self.assertIn("not looked for", text)
        text = self.verify("stray-write", 1, "--baseline", "known.json", "--keep-going", "--no-shrink")
        self.assertIn("known: 0 violations, of 0 of", text)
        self.assertIn("NOT SEEN AGAIN: wrong bits, rms_norm bf16", text)

    def test_what_is_gone_is_said_and_no_longer_written(self):
        self.verify("fp32-weight", 1, "--write-baseline", "known.json")
        says = self.read("known.json")["known"][0]["says"]
        text = self.verify(None, 0, "--baseline", "known.json", "--write-baseline", "known.json")
        self.assertIn(f"NOT SEEN AGAIN: {says}; its repro conforms now", text)
        self.assertEqual(self.sarif(), [("absent", "note")] * len(self.sarif()))
        self.assertGreater(len(self.sarif()), 0)
        self.assertEqual(self.read("known.json")["known"], [])
        # A repro that no other case comes upon is tried itself.
        self.verify("fp32-weight", 1, "--write-baseline", "known.json")
        text = self.verify("fp32-weight", 0, "--baseline", "known.json", bounded=("--seconds", "0", "--cases", "0",
                                                                                  "--property-cases", "1"))
        self.assertNotIn("NOT SEEN AGAIN", text)

    def test_a_new_cause_beside_a_known_one_fails(self):
        # Two bugs in one run; the second one is taken out of the file.
        self.verify("two-crashes", 1, "--write-baseline", "both.json")
        both = self.read("both.json")
        faults = {entry["causes"][0]["fault"] for entry in both["known"]}
        self.assertEqual(len(faults), 2, both)
        one = [entry for entry in both["known"] if entry["causes"][0]["fault"] == both["known"][0]["causes"][0]["fault"]]
        self.write("one.json", {**both, "known": one})
        text = self.verify("two-crashes", 1, "--baseline", "one.json", "--write-baseline", "again.json")
        findings = self.read("v.json")["findings"]
        self.assertEqual({finding["known"] for finding in findings}, {True, False})
        self.assertIn("new violation", text)
        self.assertEqual({entry["causes"][0]["fault"] for entry in self.read("again.json")["known"]}, faults)
        # Without --keep-going the run goes past what is known, and ends at what is not.
        self.verify("two-crashes", 1, "--baseline", "one.json")
        self.assertEqual([finding["known"] for finding in self.read("v.json")["findings"]], [True, False])

    def test_a_broken_promise_is_known_too(self):
        demand = ("--demand", "batch-invariant")
        clock = ("--seconds", "0.4")
        self.verify("order-from-64-rows", 1, *demand, "--write-baseline", "known.json", bounded=clock)
        text = self.verify("order-from-64-rows", 0, *demand, "--baseline", "known.json", bounded=clock)
        self.assertIn("conforms but for 1 known violation:", text)
        (promise,) = [case for case in self.junit().iter("testcase") if case.get("name") == "batch-invariant"]
        self.assertEqual([child.tag for child in promise], ["skipped"])

    def test_shards_have_the_baseline_of_the_run(self):
        self.verify("fp32-weight", 1, "--write-baseline", "known.json")
        self.assertIn("whole run", self.verify("fp32-weight", 2, "--write-baseline", "x.json", "--shard", "1/2"))
        for shard in "12":
            self.verify("fp32-weight", 0, "--baseline", "known.json", "--shard", f"{shard}/2")
            os.rename(self.path("v.json"), self.path(f"{shard}.json"))
        text = self.run_program("merge", "1.json", "2.json", "--json", "merged.json", code=0)
        merged, parts = self.read("merged.json"), [self.read("1.json"), self.read("2.json")]
        self.assertEqual(merged["baseline"]["known_violations"], sum(part["violations_found"] for part in parts))
        self.assertEqual({entry["state"] for entry in merged["baseline"]["entries"]}, {"seen"})
        self.assertIn("conforms but for", text)
        self.write("2.json", {**parts[1], "violations_found": parts[1]["violations_found"] + 1})
        self.assertIn("it has no repro", self.run_program("merge", "1.json", "2.json", code=1))

    def test_a_file_that_is_no_baseline_of_this_run_is_refused(self):
        self.verify(None, 0)
        self.write("other.json", {"normproof_baseline": 1, "target": "x", "judge": "witness", "policy": "weight=fp32", "known": []})
        self.write("newer.json", {"normproof_baseline": 2})
        self.write("cause.json", {"normproof_baseline": 1, "target": "x", "judge": "witness", "policy": "native", "known": [
            {"says": "x", "found_by": "y", "causes": [{"outcome": "bad luck"}]}]})
        with open(self.path("text.json"), "w") as file:
            file.write("known: all of it")
        for name, words in (("nowhere.json", "nowhere.json"), ("corpus", "corpus"), ("text.json", "not JSON"),
                            ("v.json", "no baseline"), ("other.json", "weight=fp32"), ("newer.json", "from 1 to 1"),
                            ("cause.json", "outcome")):
            text = self.run_program("verify", "--target", "./libfaulty.so", "--baseline", name, code=2)
            self.assertIn(words, text)
            self.assertIn(name, text)
            self.assertLess(len(text.splitlines()), 6, text)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
