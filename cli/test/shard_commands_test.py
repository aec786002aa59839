#!/usr/bin/env python3
"""`--shard K/N` and `normproof merge`: the shards of a run are the run, and nothing else is merged.

Usage: shard_commands_test.py NORMPROOF CORPUS [UNITTEST-ARGUMENT...]
The mutants of the story must have been built beside the program.
"""
import json
import os
import shutil
import subprocess
import sys
import unittest

from program_test_case import PROGRAM, ProgramTest

CORPUS = sys.argv[2]
MUTANT = "mutant:B1-fp32-weight-multiply-vectorized"
# A run whose end no clock decides.
EXACT = ("verify", "--op", "rms_norm", "--dtype", "fp16", "--seconds", "0", "--cases", "100", "--property-cases", "3")


class ShardCommands(ProgramTest):
    def result(self, name):
        with open(self.path(name)) as file:
            return json.load(file)

    def shards(self, count, *arguments, code=0):
        names = [f"{index}of{count}.json" for index in range(1, count + 1)]
        for index, name in enumerate(names, 1):
            self.run_program(*arguments, "--shard", f"{index}/{count}", "--json", name, code=code)
        return names

    def test_the_shards_of_verify_are_the_run(self):
        self.run_program(*EXACT, "--seed", "7", "--json", "whole.json", code=0)
        names = self.shards(3, *EXACT, "--seed", "7")
        self.run_program("merge", *reversed(names), "--json", "merged.json", code=0)
        whole, merged = self.result("whole.json"), self.result("merged.json")
        for key in ("target", "seed", "exit_code", "total", "combinations", "other_calls", "unchecked", "findings",
                    "sizes"):
            self.assertEqual(merged[key], whole[key], key)

        def checks(result):
            return sorted((c["group"], c["name"], c["passed"], c["cases"]) for c in result["checks"])

        self.assertEqual(checks(merged), checks(whole))
        self.assertEqual(len(checks(whole)), len({check[:2] for check in checks(whole)}))
        # Nothing is done twice, and no shard does it all.
        for group in ("corpus", "property"):
            parts = [{c["name"] for c in self.result(name)["checks"] if c["group"] == group} for name in names]
            self.assertTrue(all(parts), group)
            self.assertEqual(sum(map(len, parts)), len(set.union(*parts)), group)
        self.assertEqual([self.result(name)["total"]["cases"] < whole["total"]["cases"] for name in names], [True] * 3)
        self.assertEqual(merged["run"], whole["run"])
        self.assertEqual(merged["shard"], {"index": 1, "count": 1, "merged_from": 3})
        self.assertIn("already a merged result", self.run_program("merge", "merged.json", code=2))

    def test_what_the_fuzzer_of_merge_starts_from_merges(self):
        # Where a format of results changes, these must.
        version = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True).stdout.split()[1]
        folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "fuzz", "results")
        for name, code in (("verify", 0), ("verify-violation", 1), ("mutants", 0), ("fuzz", 0)):
            with open(os.path.join(folder, name)) as file:
                texts = file.read().replace("@PROJECT_VERSION@", version).split("\x1e")
            for index, text in enumerate(texts):
                with open(self.path(f"{index}.json"), "w") as file:
                    file.write(text)
            text = self.run_program("merge", *[f"{index}.json" for index in range(len(texts))], code=code)
            self.assertIn(f"{len(texts)} shards merged", text)
        self.assertEqual(len(os.listdir(folder)), 4)

    def test_a_shard_that_says_otherwise_in_any_way_is_not_lost(self):
        names = self.shards(2, *EXACT, "--seed", "7")
        good = self.result(names[1])
        for change, code, words in (({"stopped_early": True}, 3, "it stopped early, and does not say why"),
                                    ({"violations_found": 3}, 1, "violations found: 3; it has no repro"),
                                    ({"exit_code": 1}, 1, "its exit code is 1; it has no repro"),
                                    ({"exit_code": 3}, 3, "its exit code is 3, and it does not say why")):
            with open(self.path(names[1]), "w") as file:
                json.dump({**good, **change}, file)
            text = self.run_program("merge", *names, code=code)
            self.assertIn(words, text)
            self.assertNotIn("conforms:", text)
        finding = {"found_by": "x", "message": "y", "file": "z.json", "count": 1, "also_found_by": []}
        with open(self.path(names[1]), "w") as file:
            json.dump({**good, "findings": [finding]}, file)
        self.assertIn("the case of its file is missing", self.run_program("merge", *names, code=2))

    def test_the_violations_of_all_shards_are_those_of_the_run_and_what_is_not_stored_is_said(self):
        os.mkdir(self.path("cases"))
        shutil.copy(os.path.join(CORPUS, "seeds", "B22-zero-row.json"), self.path("cases"))
        arguments = ("verify", "--target", MUTANT, "--op", "rms_norm", "--dtype", "bf16", "--seconds", "0", "--cases", "200",
                     "--property-cases", "1", "--seed", "5", "--corpus", "cases", "--keep-going", "--no-shrink")

        def found_by(result):
            return [by for f in result["findings"] for by in [f["found_by"], *f["also_found_by"]]]

        text = self.run_program(*arguments, "--json", "whole.json", code=1)
        whole = self.result("whole.json")
        random = [by for by in found_by(whole) if by.startswith("random case")]
        self.assertEqual(len(random), 8)
        numbers = [int(by.split()[2]) for by in random]
        (check,) = [c for c in whole["checks"] if c["group"] == "random"]
        violating = int(check["message"].split()[0])
        self.assertGreater(violating, 12)
        self.assertEqual(check["cases"], 200)
        self.assertEqual(whole["violations_found"], len(found_by(whole)) - 8 + violating)
        self.assertIn(f"{whole['violations_found']} violations found", text)
        self.assertLess(len(whole["findings"]), len(found_by(whole)))
        self.assertIn(f"{len(found_by(whole))} of them are shown above: of random cases a run shrinks and stores the "
                      "first 8", text)
        names = self.shards(5, *arguments, code=1)  # five: each has cases of the vectorized path
        merged_text = self.run_program("merge", *names, "--json", "merged.json", code=1)
        merged = self.result("merged.json")
        self.assertEqual(merged["violations_found"], whole["violations_found"])
        self.assertIn(f"{whole['violations_found']} violations found", merged_text)
        self.assertEqual(merged["total"]["violations"], whole["total"]["violations"])

    def test_what_no_shard_reaches_is_not_reached(self):
        os.mkdir(self.path("cases"))
        shutil.copy(os.path.join(CORPUS, "seeds", "B1-fp32-weight-multiply.json"), self.path("cases"))
        arguments = ("verify", "--seconds", "0", "--cases", "0", "--property-cases", "1", "--seed", "1", "--corpus", "cases")
        names = self.shards(2, *arguments)  # each is good: what it does not reach, another may
        whole = self.run_program(*arguments, code=3)
        merged = self.run_program("merge", *names, "--json", "merged.json", code=3)
        self.assertEqual(self.result("merged.json")["exit_code"], 3)

        def not_reached(text):
            return sorted(line for line in text.splitlines() if line.startswith("NOT REACHED"))

        self.assertEqual(not_reached(merged), not_reached(whole))
        self.assertGreater(len(not_reached(whole)), 1)

    def test_a_bug_that_one_shard_finds_is_in_the_merged_result(self):
        os.mkdir(self.path("cases"))
        for name, seed in ("a", "B22-zero-row"), ("b", "B12-row-stride-ignored-long"), ("c", "B22-zero-row"):
            shutil.copy(os.path.join(CORPUS, "seeds", seed + ".json"), self.path(f"cases/{name}.json"))
        arguments = ("verify", "--target", MUTANT, "--seconds", "0", "--cases", "0", "--seed", "1", "--property-cases", "1",
                     "--corpus", "cases", "--keep-going")
        names, found = [], []
        for index in (1, 2, 3):
            names.append(f"{index}.json")
            done = subprocess.run([PROGRAM, *arguments, "--shard", f"{index}/3", "--json", names[-1]], cwd=self.folder,
                                  capture_output=True, text=True, timeout=280)
            self.assertIn(done.returncode, (0, 1), done.stderr)
            found.append([by for f in self.result(names[-1])["findings"] for by in [f["found_by"], *f["also_found_by"]]])
        self.assertEqual([any("corpus case b.json" in f for f in each) for each in found], [False, True, False])
        text = self.run_program("merge", *names, "--json", "merged.json", "--html", "merged.html", code=1)
        self.assertIn("corpus case b.json", text)
        with open(self.path("merged.html")) as file:
            self.assertIn("corpus case b.json", file.read())
        findings = self.result("merged.json")["findings"]
        self.assertEqual(len(findings), len({os.path.basename(f["file"]) or f["message"] for f in findings}))
        # The repro is in the result itself.
        (finding,) = [f for f in findings if "corpus case b.json" in " ".join([f["found_by"], *f["also_found_by"]])]
        with open(self.path("repro.json"), "w") as file:
            json.dump(finding["case"], file)
        self.run_program("replay", "repro.json", "--target", MUTANT, code=1)
        self.run_program("replay", "repro.json", code=0)

    def test_what_is_not_one_run_is_refused(self):
        names = self.shards(3, "verify", "--op", "rms_norm", "--dtype", "fp32", "--seconds", "0", "--cases", "0",
                            "--property-cases", "1", "--seed", "7")

        def refused(*wanted, merge):
            text = self.run_program("merge", *merge, "--json", "merged.json", code=2)
            for part in wanted:
                self.assertIn(part, text)
            self.assertFalse(os.path.exists(self.path("merged.json")))

        refused("missing shards: 2/3", merge=[names[0], names[2]])
        refused("missing shards: 1/3, 3/3", merge=[names[1]])
        shutil.copy(self.path(names[1]), self.path("copy.json"))
        refused("shard 2 of 3 twice", "2of3.json and copy.json", merge=[*names, "copy.json"])

        def altered(change):
            result = self.result(names[1])
            change(result)
            with open(self.path("altered.json"), "w") as file:
                json.dump(result, file)
            return [names[0], "altered.json", names[2]]

        refused("seed is 7 in 1of3.json, 8 in altered.json", merge=altered(lambda r: r["run"].update(seed=8)))
        refused('target is "host"', merge=altered(lambda r: r["run"].update(target="mutant:x")))
        refused("cases is 0", "absent", merge=altered(lambda r: r["run"].pop("cases")))
        refused("number of shards is 3", merge=altered(lambda r: r["shard"].update(count=4)))
        refused("corrupt result file", merge=altered(lambda r: r["shard"].update(index=5)))
        refused("the totals say", merge=altered(lambda r: r["combinations"][0].update(cases=10 ** 6)))
        refused("corrupt result file", merge=altered(lambda r: r["combinations"][0].pop("rows")))
        refused("missing.json: cannot be read", merge=["missing.json"])
        with open(self.path("text.json"), "w") as file:
            file.write("no JSON")
        refused("text.json: not a result in JSON", merge=["text.json"])
        with open(self.path("other.json"), "w") as file:
            file.write("{}")
        refused("other.json: not a result file of verify, mutants or fuzz", merge=["other.json"])

    def small_run(self):
        return self.shards(3, "verify", "--op", "rms_norm", "--dtype", "fp32", "--seconds", "0", "--cases", "60",
                           "--property-cases", "1", "--seed", "7")

    def alter(self, name, change):
        result = self.result(name)
        change(result)
        with open(self.path("altered.json"), "w") as file:
            json.dump(result, file)
        return "altered.json"

    def test_what_a_shard_says_of_itself_decides(self):
        names = self.small_run()
        self.run_program("merge", *names, code=0)

        def violation(result):
            result["combinations"][0]["violations"] += 3
            result["total"]["violations"] += 3

        def failed_check(result):
            next(c for c in result["checks"] if c["cases"] > 0)["passed"] = False

        for change, code, words in ((lambda r: r.update(exit_code=1), 1, "its exit code is 1"),
                                    (violation, 1, "3 of its cases violate"), (failed_check, 1, "it failed "),
                                    (lambda r: r.update(exit_code=3), 3, "its exit code is 3"),
                                    (lambda r: r["unchecked"].append("half of it"), 3, "half of it")):
            with self.subTest(words):
                altered = self.alter(names[1], change)
                text = self.run_program("merge", names[0], altered, names[2], "--json", "merged.json", code=code)
                self.assertIn(words, text)
                self.assertNotIn("conforms", text)
                self.assertEqual(self.result("merged.json")["exit_code"], code)

    def test_what_verify_does_not_write_is_refused_with_the_value(self):
        names = self.small_run()

        def row(**fields):
            return lambda r: r["combinations"][0].update(fields)

        def run(**fields):
            return lambda r: r["run"].update(fields)

        for change, words in ((lambda r: r.update(normproof_verify=2), "normproof_verify is 2"),
                              (lambda r: r.update(normproof_verify="1"), 'normproof_verify is "1"'),
                              (lambda r: r.update(exit_code=7), "exit_code is 7"),
                              (run(version="99.0.0"), 'version is "99.0.0"'),
                              (row(path="tensor core"), 'path is "tensor core"'),
                              (row(dtype="fp12"), 'dtype is "fp12"'), (row(weight_dtype="int4"), 'weight_dtype is "int4"'),
                              (row(weight_dtype="bf16"), "no combination rms_norm fp32 weight bf16"),
                              (row(operation="layer_norm"), 'operation is "layer_norm"'),
                              (row(rows=-1), "rows is -1"), (row(rows=1.5), "rows is 1.5"),
                              (row(elements=2 ** 63), "elements is 9223372036854775808"),
                              (row(mismatches=5), "the totals say"),
                              (lambda r: r["combinations"].append(r["combinations"][0]), "its combinations are others"),
                              (lambda r: r["other_calls"].append(r["combinations"][0]), "a second row for rms_norm fp32"),
                              (lambda r: r.update(combinations=[]), "combinations is []"),
                              (lambda r: r.update(combinations=None), "combinations is null"),
                              (lambda r: r["combinations"].pop(), "its combinations are others"),
                              (lambda r: r["checks"][0].update(group="mood"), 'group is "mood"'),
                              (lambda r: r["checks"][0].update(passed="yes"), 'passed is "yes"'),
                              (lambda r: r.update(findings=[{"found_by": 3}]), "found_by is 3"),
                              (lambda r: r.update(findings=["bad"]), 'findings[0]: corrupt result file: "bad" is no object'),
                              (lambda r: r["shard"].update(count=10 ** 9), "count is 1000000000"),
                              (lambda r: r["shard"].update(count=1e9), "count is 1000000000.0"),
                              (lambda r: r["shard"].update(index=1.5), "index is 1.5"),
                              (lambda r: r.update(shard=[]), "[] is no object"),
                              (lambda r: r.pop("run"), "run is missing")):
            with self.subTest(words):
                text = self.run_program("merge", names[0], self.alter(names[1], change), names[2], code=2)
                self.assertIn(words, text)
                self.assertIn("altered.json", text)
        # What decides what is run is the same in all.
        for key, value in (("judge", "jury"), ("policy", "weight=fp33"), ("seed", -1), ("seconds", "all"),
                           ("property_cases", 0), ("dtype", "fp12"), ("operation", "layer_norm")):
            with self.subTest(key):
                for name in names:
                    result = self.result(name)
                    result["run"][key] = value
                    with open(self.path("run-" + name), "w") as file:
                        json.dump(result, file)
                text = self.run_program("merge", *("run-" + name for name in names), code=2)
                self.assertIn(f"{key} is {json.dumps(value)}", text)
        # Many shards of which one is here: a few are named.
        only = self.alter(names[1], lambda r: r["shard"].update(count=100000))
        text = self.run_program("merge", only, code=2)
        self.assertIn("missing shards: 1/100000, 3/100000", text)
        self.assertIn("and 99991 more", text)

    def test_wrong_shards_are_2_and_named(self):
        for value in ("0/3", "4/3", "1", "1/", "/2", "a/b", "1/2/3", "-1/2", "1/1000000000000"):
            with self.subTest(value):
                self.assertIn(f"'{value}'", self.run_program("verify", f"--shard={value}", "--seed", "1", code=2))
        # Every shard with a seed of its own would be no run.
        self.assertIn("--seed", self.run_program("verify", "--shard", "1/2", code=2))

    def test_the_shards_of_mutants_are_the_matrix(self):
        arguments = ("mutants", "--only", "^B1-.*-(scalar|vectorized)$", "--checks", "^(corpus|bf16 2e-1)$", "--jobs", "2")
        self.run_program(*arguments, "--folder", "whole", "--json", "whole.json", code=0)
        names = self.shards(2, *arguments, "--folder", "parts")
        self.run_program("merge", *names, "--json", "merged.json", "--html", "merged.html", code=0)
        whole, merged = self.result("whole.json"), self.result("merged.json")

        def rows(result):
            return [(row["name"], [(check, cell["outcome"], cell["executions"]) for check, cell in sorted(row["cells"].items())])
                    for row in result["rows"]]

        self.assertGreater(len(rows(whole)), 2)
        self.assertEqual(rows(merged), rows(whole))
        self.assertEqual(merged["checks"], whole["checks"])
        self.assertEqual(merged["run"], whole["run"])
        self.assertEqual(merged["shard"], {"index": 1, "count": 1, "merged_from": 2})
        self.assertEqual([len(self.result(name)["rows"]) for name in names],
                         [(len(rows(whole)) + 1) // 2, len(rows(whole)) // 2])
        with open(self.path("merged.html")) as file:
            self.assertIn("B1-fp32-weight-multiply-scalar", file.read())
        for change, words in ((lambda r: r["summary"].update(false_alarms=2), "false_alarms"),
                              (lambda r: next(iter(r["rows"][0]["cells"].values())).update(outcome="bored"), "'bored'"),
                              (lambda r: r.update(normproof_mutants=2), "normproof_mutants is 2")):
            self.assertIn(words, self.run_program("merge", names[0], self.alter(names[1], change), code=2))
        for name in names:
            result = self.result(name)
            result["run"]["rows"] += 1
            with open(self.path(name), "w") as file:
                json.dump(result, file)
        self.assertIn(f"{len(rows(whole))} rows of {len(rows(whole)) + 1}", self.run_program("merge", *names, code=2))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
