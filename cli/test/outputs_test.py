#!/usr/bin/env python3
"""Outputs are tried before the work, their folders are made, and findings come in SARIF.

outputs_test.py PROGRAM CORPUS MUTANT-TARGET
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

import jsonschema

PROGRAM, CORPUS, MUTANT = sys.argv[1:4]
SEED = os.path.join(CORPUS, "seeds", "B2-rms-norm-vectorized.json")

# What the schema of SARIF 2.1.0 demands of the parts that we write.
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "items": {
            "type": "object",
            "required": ["tool", "results"],
            "properties": {
                "tool": {"type": "object", "required": ["driver"], "properties": {"driver": {
                    "type": "object", "required": ["name", "rules"], "properties": {
                        "rules": {"type": "array", "uniqueItems": True, "items": {
                            "type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "shortDescription": TEXT}}}}}}},
                "invocations": {"type": "array", "items": {
                    "type": "object", "required": ["executionSuccessful"],
                    "properties": {"executionSuccessful": {"type": "boolean"}, "exitCode": {"type": "integer"}}}},
                "results": {"type": "array", "items": {
                    "type": "object",
                    "required": ["ruleId", "message", "locations"],  # locations: code scanning takes nothing without
                    "properties": {
                        "ruleId": {"type": "string", "minLength": 1},
                        "level": {"enum": ["none", "note", "warning", "error"]},
                        "message": TEXT,
                        "locations": {"type": "array", "minItems": 1, "items": {
                            "type": "object", "required": ["physicalLocation"], "properties": {"physicalLocation": {
                                "type": "object", "required": ["artifactLocation"], "properties": {"artifactLocation": {
                                    "type": "object", "required": ["uri"],
                                    "properties": {"uri": {"type": "string", "pattern": "^[A-Za-z0-9._~/:%-]+$"}}}}}}}}}}}}}},
    }}


class Outputs(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "corpus").mkdir()
        (self.folder / "corpus" / "seed.json").write_text(pathlib.Path(SEED).read_text())

    def run_program(self, *arguments, code):
        done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    def verify(self, *arguments, code):
        return self.run_program("verify", "--corpus", "corpus", "--op", "rms_norm", "--dtype", "bf16", "--seconds", "0", "--cases", "8",
                                "--property-cases", "1", "--seed", "1", *arguments, code=code)

    def test_missing_folders_are_made(self):
        for option in ("--json", "--junit", "--html", "--sarif"):
            self.verify(option, f"results{option}/deep/1.out", code=0)
            self.assertTrue((self.folder / f"results{option}" / "deep" / "1.out").exists())

    def test_every_command_refuses_an_output_that_cannot_be_before_any_work(self):
        (self.folder / "file").write_text("")
        every_option = (
            ("verify", "--json"), ("verify", "--junit"), ("verify", "--html"), ("verify", "--sarif"), ("verify", "--findings"),
            ("fuzz", "--json"), ("fuzz", "--sarif"), ("fuzz", "--folder"), ("fuzz", "--regressions"),
            ("mutants", "--json"), ("mutants", "--html"), ("mutants", "--markdown"), ("mutants", "--folder"),
            ("prove", "--certificate"), ("assess", "--json"), ("drift", "--json"), ("drift", "--svg"), ("bench", "--json"),
            ("bench", "--csv"), ("bench", "--svg"), ("bench", "--tune"), ("check", "--json"), ("check", "--html"),
            ("identify", "--html"), ("merge", "--json"), ("merge", "--html"), ("replay", "--dump"), ("replay", "--repro"),
            ("minimize", "--output"))
        for command, option in every_option:
            begin = time.monotonic()
            text = self.run_program(command, option, "file/deep/x", code=2)
            self.assertIn("file/deep/x", text)
            self.assertLess(time.monotonic() - begin, 20)
        self.assertIn("is a folder", self.verify("--json", "corpus", code=2))

    def test_nothing_is_left_of_the_trial(self):
        self.verify("--json", "v.json", code=0)
        self.assertEqual(sorted(os.listdir(self.folder)), ["corpus", "v.json"])

    def test_a_violation_in_sarif(self):
        self.verify("--target", MUTANT, "--findings", "a folder/findings", "--sarif", "v.sarif", code=1)
        log = json.loads((self.folder / "v.sarif").read_text())
        jsonschema.validate(log, SARIF)
        run = log["runs"][0]
        self.assertEqual(run["invocations"][0]["exitCode"], 1)
        self.assertTrue(run["invocations"][0]["executionSuccessful"])
        result = run["results"][0]
        self.assertEqual(result["ruleId"], "rms_norm-bf16-wrong-bits")
        self.assertEqual([rule["id"] for rule in run["tool"]["driver"]["rules"]], [result["ruleId"]])
        self.assertIn(MUTANT, result["message"]["text"])
        self.assertIn("the contract says", result["message"]["text"])
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        self.assertRegex(uri, r"^a%20folder/findings/.*\.json$")
        self.assertTrue((self.folder / uri.replace("%20", " ")).exists())

    def test_what_could_not_be_checked_is_no_success_in_sarif(self):
        (self.folder / "corpus" / "broken.json").write_text("{}")
        self.verify("--sarif", "v.sarif", code=3)
        run = json.loads((self.folder / "v.sarif").read_text())["runs"][0]
        jsonschema.validate({"version": "2.1.0", "runs": [run]}, SARIF)
        self.assertEqual(run["results"], [])
        self.assertFalse(run["invocations"][0]["executionSuccessful"])
        self.assertIn("broken.json", run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
