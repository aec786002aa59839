"""--json of list, identify, replay, explain and minimize says what the text says.

Usage: result_json_test.py NORMPROOF CORPUS MUTANT
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM, CORPUS, MUTANT = (sys.argv.pop(1) for _ in range(3))
MODEL = f"{CORPUS}/models/h2048-rms-norm.json"


class ResultJson(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_program(self, *arguments, expect):
        """What it prints, and its --json."""
        file = self.folder / "result.json"
        file.unlink(missing_ok=True)
        done = subprocess.run([PROGRAM, *map(str, arguments), "--json", file], capture_output=True, text=True, cwd=self.folder)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        result = json.loads(file.read_text())
        self.assertEqual(result[f"normproof_{arguments[0]}"], 1)
        self.assertIn(f" {arguments[0]} ", result["command"])
        self.assertEqual(result["exit_code"], expect)
        return done.stdout + done.stderr, result

    def test_replay(self):
        _, result = self.run_program("replay", MODEL, "--target", "host", expect=0)
        self.assertEqual([(case["file"], case["outcome"]) for case in result["cases"]], [(MODEL, "conforms")])
        text, result = self.run_program("replay", MODEL, "nowhere.json", "--target", MUTANT, expect=1)
        self.assertEqual((result["target"], result["conform"], result["violate"], result["not_read"]), (MUTANT, 0, 1, 1))
        self.assertEqual([case["outcome"] for case in result["cases"]], ["violates", "not read"])
        for case in result["cases"]:
            self.assertIn(case["message"].splitlines()[0], text)

    def test_list(self):
        file = self.folder / "list.json"
        text = subprocess.run([PROGRAM, "list", "--json", file], capture_output=True, text=True, check=True).stdout
        lists = json.loads(file.read_text())
        self.assertEqual(lists["normproof_list"], 1)
        self.assertIn("rms_norm", lists["operations"])
        names = [axis["name"] + "=" + value["name"] for axis in lists["policy_axes"] for value in axis["values"]]
        names += [entry["name"] for key in ("policies", "judged_operations", "targets", "properties") for entry in lists[key]]
        self.assertGreater(len(names), 100)
        for name in names:
            self.assertRegex(text, rf"(?m)^  {re.escape(name)} ")

    def test_identify_explain_and_minimize_outputs(self):
        dump = self.folder / "dump.safetensors"
        self.run_program("replay", MODEL, "--target", MUTANT, "--dump", dump, expect=1)
        text, result = self.run_program("identify", dump, expect=0)
        found, = result["files"]
        self.assertEqual((found["file"], found["policy"], found["identified"]), (str(dump), "weight=fp32", True))
        self.assertIn(f"policy: {found['policy']}", text)
        self.assertTrue(found["axes"]["weight"]["fp32"]["survives"])
        self.assertIn(found["axes"]["weight"]["native"]["reason"].splitlines()[0].strip(), text)
        self.assertTrue(any(name.startswith("vllm.rms_norm") for name in found["names"]), found["names"])

        text, result = self.run_program("explain", dump, expect=1)
        output = next(each for each in result["outputs"] if each["tensor"] == "out")
        self.assertNotEqual(output["wanted"], output["got"])
        for part in (output["wanted"], output["got"], *output["reproduced_by"]):
            self.assertIn(part, text)
        normalized = next(step for step in result["steps"] if step["step"] == "normalized")
        self.assertIn(normalized["bits"], text)

        text, result = self.run_program("minimize", dump, expect=1)
        self.assertTrue(result["violates"])
        smallest = json.loads((self.folder / result["output"]).read_text())
        self.assertEqual(smallest["shape"], [result["rows"], result["hidden_size"]])
        self.assertIn(result["text"], text)

    def test_outputs_that_no_policy_explains_and_files_that_cannot_be_read(self):
        dump = self.folder / "dump.safetensors"
        self.run_program("replay", MODEL, "--target", "host", "--dump", dump, expect=0)
        damaged = bytearray(dump.read_bytes())
        for at in range(-4096 * 2, -4096, 2):  # a part of the last tensor
            damaged[at] ^= 0x40
        dump.write_bytes(damaged)
        (self.folder / "no.json").write_text("{}")
        text, result = self.run_program("identify", dump, "no.json", expect=1)
        found, unread = result["files"]
        self.assertFalse(found["identified"])
        self.assertIn(found["certificate"].splitlines()[0].strip(), text)
        self.assertIn("no.json", unread["error"])
        self.assertNotIn("names", found)

    def test_nothing_to_minimize(self):
        dump = self.folder / "dump.safetensors"
        self.run_program("replay", MODEL, "--target", "host", "--dump", dump, expect=0)
        self.assertFalse(self.run_program("minimize", dump, expect=0)[1]["violates"])
        self.assertFalse(self.run_program("minimize", MODEL, "--target", "host", expect=0)[1]["violates"])

    def test_identify_a_target(self):
        text, result = self.run_program("identify", "--target", "host", "--op", "rms_norm", "--dtype", "bf16", expect=0)
        self.assertEqual((result["target"], result["questions"], result["not_answered"]), ("host", 6, 0))
        self.assertEqual(len(result["calls"]), 6)
        for call in result["calls"]:
            self.assertTrue(call["identified"])
            self.assertIn(call["answer"], text)
        self.assertGreater(len(result["traits"]), 3)


if __name__ == "__main__":
    unittest.main()
