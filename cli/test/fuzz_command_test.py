#!/usr/bin/env python3
"""`normproof fuzz`: bug reports, resumption, and survival of whatever goes wrong.

fuzz_command_test.py PROGRAM CORPUS MUTANT-TARGET [TEST...]. All tests, three at a time since they wait for the most part, or those
that are named. The fuzzers are stand-ins that behave like libFuzzer programs, so that each
misbehaviour is certain; the real ones are tested where they are built.
"""
import concurrent.futures
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

PROGRAM, CORPUS, MUTANT = sys.argv[1:4]
B2 = os.path.join(CORPUS, "seeds", "B2-rms-norm-vectorized.json")

# One script for all stand-ins: what it does follows from its name and from whether it is given an input or folders.
STAND_IN = """#!/usr/bin/python3
import os, shutil, sys, time
name = os.path.basename(sys.argv[0])
options = dict(a[1:].split("=", 1) for a in sys.argv[1:] if a.startswith("-"))
paths = [a for a in sys.argv[1:] if not a.startswith("-")]
if "set_cover_merge" in options:
    inputs = sorted(os.listdir(paths[1]))
    shutil.copy(os.path.join(paths[1], inputs[0]), paths[0])
    sys.exit(0)
if options.get("runs") == "0":  # a corpus, to be replayed
    os._exit(77 if "UNREPLAYABLE" in os.environ else 0)
if os.path.isfile(paths[0]):  # one input, to be reproduced
    if name == "conformance_fuzzer":
        if "NORMPROOF_CASE" in os.environ:
            shutil.copy(os.environ["FAILING_CASE"], os.environ["NORMPROOF_CASE"])
        print("VIOLATION on target x\\nwrong bits, rms_norm 1x8\\n==1== ERROR: libFuzzer: deadly signal", flush=True)
        os._exit(77)
    print("==1== ERROR: AddressSanitizer: heap-buffer-overflow on address 0x1", flush=True)
    os._exit(1)
if "ORDER_LOG" in os.environ:
    open(os.environ["ORDER_LOG"], "a").write(name + "\\n")
if name == "sluggish_fuzzer":  # reads its seeds for ever
    time.sleep(60)
print("#16 NEW cov: 7 ft: 9 corp: 2/3b", flush=True)
if "SEEDS_LOG" in os.environ:
    open(os.environ["SEEDS_LOG"], "a").write(options["seed"] + "\\n")
knows = os.path.getsize(os.environ["NORMPROOF_KNOWN"]) > 10 if "GOES_ON" in os.environ else False
if name.startswith("steady") or "HARMLESS" in os.environ or knows:
    for number in range(3):
        open(os.path.join(paths[0], f"input-{number}"), "w").write("x")
    time.sleep(float(options["max_total_time"]))
    print("stat::number_of_executed_units: 1234", flush=True)
    sys.exit(0)
if name == "silent_fuzzer":
    sys.exit(5)
open(options["artifact_prefix"] + "crash-1", "w").write("bytes")
print("stat::number_of_executed_units: 42", flush=True)
os._exit(77)
"""


class FuzzCommand(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.fuzzers = self.folder / "bin"
        self.fuzzers.mkdir()
        (self.fuzzers / "run.sh").write_text('#!/bin/sh\nexec "$@"\n')
        (self.fuzzers / "run.sh").chmod(0o755)
        self.corpus = self.folder / "cases"
        self.corpus.mkdir()
        (self.corpus / "seed.json").write_text(pathlib.Path(B2).read_text())

    def add(self, name, seeds="none"):
        program = self.fuzzers / f"{name}_fuzzer"
        program.write_text(STAND_IN)
        program.chmod(0o755)
        (self.fuzzers / f"{name}_fuzzer.seeds").write_text(f"/nowhere/{seeds}\n")

    def command(self, *arguments):
        return [PROGRAM, "fuzz", "--fuzzers", str(self.fuzzers), "--folder", str(self.folder / "campaign"), "--corpus",
                str(self.corpus), "--regressions", str(self.folder / "regressions"),
                *(() if "--jobs" in arguments else ("--jobs", "2")), *arguments]

    def fuzz(self, *arguments, expect):
        # As in the background of a shell, which has what it starts ignore SIGINT.
        result = subprocess.run(self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                env=dict(os.environ, FAILING_CASE=os.environ.get("FAILING", B2)), timeout=120,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        self.assertEqual(result.returncode, expect, result.stdout)
        return result.stdout

    def test_a_violation_becomes_a_bug_report(self):
        self.add("conformance", "cases")
        output = self.fuzz("--minutes", "0.05", "--target", MUTANT, expect=1)
        self.assertIn("FINDING rms_norm-weight-fp32-wrong-bits: ", output)
        self.assertIn("1 findings, 0 problems", output)
        folder = self.folder / "campaign" / "findings" / "rms_norm-weight-fp32-wrong-bits"
        report = (folder / "report.md").read_text()
        for part in ("Every bit is what policy weight=fp32 gives.", "no r explains the element", "python3 repro.py"):
            self.assertIn(part, report)
        repro = subprocess.run(["/usr/bin/python3", folder / "repro.py"], stdout=subprocess.PIPE, text=True)
        self.assertEqual(repro.returncode, 1, repro.stdout)
        self.assertIn("the contract says", repro.stdout)
        # The same JSON is a regression: it violates on the mutant and conforms on the production kernels.
        regression = self.folder / "regressions" / "rms_norm-weight-fp32-wrong-bits.json"
        self.assertEqual(json.loads(regression.read_text()), json.loads((folder / "case.json").read_text()))
        for target, status in ((MUTANT, 1), ("host", 0)):
            replay = subprocess.run([PROGRAM, "replay", regression, "--target", target], stdout=subprocess.DEVNULL)
            self.assertEqual(replay.returncode, status)
        check = subprocess.run([PROGRAM, "check", folder / "outputs.safetensors"], stdout=subprocess.DEVNULL)
        self.assertEqual(check.returncode, 1)
        # Found again by a later campaign: no second report, but counted.
        self.assertIn("(known)", self.fuzz("--minutes", "0.05", "--target", MUTANT, expect=1))
        self.assertEqual(sorted(os.listdir(folder.parent)), [folder.name])
        self.assertGreaterEqual(int((folder / "count").read_text()), 2)

    def test_a_call_by_name_lies_beside_its_report(self):
        self.add("conformance", "kernel_calls")
        self.fuzz("--minutes", "0.03", "--target", "host", expect=1)
        folder, = (self.folder / "campaign" / "findings").iterdir()
        self.assertEqual((folder / "call.json").read_text(), pathlib.Path(B2).read_text())
        self.assertIn("replay call.json --target host\n", (folder / "report.md").read_text())
        self.assertFalse((folder / "case.json").exists())

    def test_known_means_the_same_target_and_a_case_that_still_violates(self):
        self.add("conformance", "cases")
        findings = self.folder / "campaign" / "findings"
        name = "rms_norm-weight-fp32-wrong-bits"
        self.fuzz("--minutes", "0.03", "--target", MUTANT, expect=1)
        # Another library's bug of the same kind is another bug: its own report, its own case, and no regression is replaced.
        other = MUTANT.replace("vectorized", "scalar")
        first = (self.folder / "regressions" / f"{name}.json").read_text()
        with unittest.mock.patch.dict(os.environ, FAILING=os.path.join(CORPUS, "seeds", "B2-rms-norm-scalar.json")):
            output = self.fuzz("--minutes", "0.03", "--target", other, expect=1)
        self.assertIn(f"FINDING {name}-2: ", output)
        self.assertNotIn("(known)", output)
        self.assertIn(other, (findings / f"{name}-2" / "report.md").read_text())
        self.assertEqual((self.folder / "regressions" / f"{name}.json").read_text(), first)
        for folder, target in ((name, MUTANT), (f"{name}-2", other)):
            case = str(findings / folder / "case.json")
            self.assertEqual(subprocess.run([PROGRAM, "replay", case, "--target", target], stdout=subprocess.DEVNULL).returncode, 1)
        # A bug whose stored case conforms by now is mended; what is found then is new.
        case = json.loads((findings / name / "case.json").read_text())
        case["input"] = {"bits": [" ".join(["3f80"] * case["shape"][1])] * case["shape"][0]}
        case.pop("weight", None)
        case.pop("weight_dtype", None)
        (findings / name / "case.json").write_text(json.dumps(case))
        output = self.fuzz("--minutes", "0.03", "--target", MUTANT, expect=1)
        self.assertIn(f"FINDING {name}-3: ", output)
        self.assertNotIn("(known)", output)

    def test_an_open_bug_is_named_though_it_is_not_found_again(self):
        self.add("conformance", "cases")
        self.fuzz("--minutes", "0.03", "--target", MUTANT, expect=1)
        with unittest.mock.patch.dict(os.environ, HARMLESS="1"):
            self.assertIn("wrong-bits (known): ", self.fuzz("--minutes", "0.03", "--target", MUTANT, expect=1))

    def test_the_last_command_of_a_report_works(self):
        self.add("conformance", "cases")
        self.fuzz("--minutes", "0.03", "--target", MUTANT, expect=1)
        folder = self.folder / "campaign" / "findings" / "rms_norm-weight-fp32-wrong-bits"
        commands = (folder / "report.md").read_text().rstrip("`\n").splitlines()
        bare = {"PATH": os.environ["PATH"], "FAILING_CASE": B2}
        last = subprocess.run(commands[-1], shell=True, cwd=folder, env=bare, stdout=subprocess.PIPE, text=True)
        self.assertEqual(last.returncode, 77, last.stdout)
        self.assertIn("VIOLATION on target", last.stdout)
        mutants = re.search(r"NORMPROOF_MUTANTS=(\S+)", commands[-1]).group(1)
        self.assertTrue(os.path.isfile(os.path.join(mutants, "libmutant_" + MUTANT.split(":")[1] + ".so")))

    def test_every_fuzzer_has_its_part_of_the_time(self):
        names = ["conformance", "wide"] + [f"steady{letter}" for letter in "abcde"]
        for name in names:
            self.add(name)
        self.add("sluggish")
        log = self.folder / "order"
        with unittest.mock.patch.dict(os.environ, ORDER_LOG=str(log), HARMLESS="1"):
            begin = time.monotonic()
            output = self.fuzz("--minutes", "0.2", "--jobs", "2", expect=3)
            self.assertLess(time.monotonic() - begin, 50)
        for name in names:
            self.assertRegex(output, rf"{name} +[1-9]\d* +[1-9]")
        # Start-up is part of the time: one that does nothing but start is ended, and named.
        self.assertIn("sluggish: no execution", output)
        self.assertIn("1 problems", output)
        self.assertEqual(set(log.read_text().split()[:2]), {"conformance_fuzzer", "wide_fuzzer"})

    def test_a_fuzzer_that_the_time_did_not_reach_is_named(self):
        for letter in "abcdefgh":
            self.add(f"steady{letter}")
        output = self.fuzz("--minutes", "0.05", "--jobs", "1", expect=3)
        idle = re.findall(r"steady(.): no execution; 3 s are too few for 8 fuzzers, 1 at a time", output)
        ran = re.findall(r"steady(.) +[1-9]", output)
        self.assertGreaterEqual(len(idle), 4)
        self.assertEqual(sorted(idle + ran), list("abcdefgh"))

    def test_a_fuzzer_that_dies_of_a_bug_goes_on_with_its_turn(self):
        names = ["conformance", "steadya", "steadyb", "steadyc"]
        for name in names:
            self.add(name, "cases")
        log = self.folder / "order"
        with unittest.mock.patch.dict(os.environ, ORDER_LOG=str(log), GOES_ON="1"):
            output = self.fuzz("--minutes", "0.1", "--jobs", "1", "--target", MUTANT, expect=1)
        self.assertEqual(log.read_text().split()[:3], [f"{name}_fuzzer" for name in (names[0], names[0], names[1])])
        for name in names[:2]:
            self.assertRegex(output, rf"{name} +[1-9]\d* +[1-9]\d{{3}}")

    def test_findings_in_sarif(self):
        self.add("parser")
        self.fuzz("--minutes", "0.03", "--sarif", str(self.folder / "deep" / "f.sarif"), expect=1)
        run = json.loads((self.folder / "deep" / "f.sarif").read_text())["runs"][0]
        self.assertEqual([result["ruleId"] for result in run["results"]], ["parser-AddressSanitizer-heap-buffer-overflow"])
        uri = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        self.assertTrue(os.path.isfile(uri.removeprefix("file://")), uri)

    def test_shards_share_the_seeds_and_merge(self):
        self.add("steady")
        self.add("silent")
        log = self.folder / "seeds"
        names = [str(self.folder / f"{index}.json") for index in (1, 2)]
        shards = [subprocess.Popen(self.command("--minutes", "0.1", "--fuzzer", "steady", "--seed", "7", "--shard", f"{index}/2",
                                                "--json", name), env=dict(os.environ, SEEDS_LOG=str(log)),
                                   stdout=subprocess.DEVNULL) for index, name in enumerate(names, 1)]
        self.assertEqual([shard.wait(timeout=120) for shard in shards], [0, 0])
        # The runs of both together are the runs of one campaign: each seed once, from the first on.
        seeds = sorted(int(line) for line in log.read_text().split())
        results = [json.loads(pathlib.Path(name).read_text()) for name in names]
        runs = [result["fuzzers"][0]["runs"] for result in results]
        self.assertEqual(len(seeds), sum(runs))
        self.assertEqual(seeds, sorted([8 + 2 * run for run in range(runs[0])] + [9 + 2 * run for run in range(runs[1])]))
        self.assertEqual(sorted(os.listdir(self.folder / "campaign")), ["shard-1-of-2", "shard-2-of-2"])

        def merge(expect):
            merged = self.folder / "merged.json"
            merge = subprocess.run([PROGRAM, "merge", *names, "--json", str(merged)], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
            self.assertEqual(merge.returncode, expect, merge.stdout)
            return json.loads(merged.read_text()), merge.stdout

        merged, _ = merge(0)
        self.assertEqual(merged["fuzzers"][0]["executions"], 1234 * sum(runs))
        self.assertEqual(merged["run"], results[0]["run"])
        self.assertEqual(merged["shard"], {"index": 1, "count": 1, "merged_from": 2})
        # What a shard says of itself counts, also where its lists do not say it.
        for code in (1, 3):
            pathlib.Path(names[1]).write_text(json.dumps(dict(results[1], exit_code=code)))
            merged, text = merge(code)
            self.assertIn(f"shard 2 of 2 ({names[1]}) ended with exit code {code}", text)
            self.assertEqual(merged["exit_code"], code)
        # A bug that both shards found is one finding, and a new one only where no shard knew it.
        bug = {"signature": "rms_norm-weight-fp32-wrong-bits", "is_new": True, "folder": "/findings/bug"}
        for name, result, known in zip(names, results, (True, False)):
            result["findings"] = [dict(bug, is_new=known)]
            result["problems"] = ["a full disk"]
            pathlib.Path(name).write_text(json.dumps(result))
        merged, text = merge(1)
        self.assertEqual(merged["findings"], [dict(bug, is_new=False)])
        self.assertEqual(merged["problems"], ["a full disk"])
        self.assertIn("1 findings, 1 problems", text)

    def test_a_campaign_that_is_stopped_says_and_writes_what_it_has_done(self):
        self.add("steady")
        process = subprocess.Popen(self.command("--minutes", "10", "--json", str(self.folder / "f.json")),
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.kill)
        self.assertIn("everything is kept in", process.stdout.readline())
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        text, _ = process.communicate(timeout=20)  # and no fuzzer holds the pipe
        self.assertEqual(process.returncode, 143, text)
        self.assertRegex(text, r"stopped by SIGTERM after 0\.\d of 10\.0 minutes")
        self.assertRegex(text, r"(?m)^steady +2 +32 ")  # two runs of 16 executions so far
        result = json.loads((self.folder / "f.json").read_text())
        self.assertEqual((result["exit_code"], result["stopped_early"]), (143, True))
        self.assertEqual(result["fuzzers"][0]["executions"], 32)

    def test_a_repro_agrees_with_the_oracle_on_every_seed(self):
        # The script asserts that it computes the oracle's bits, special values included.
        def write(seed):
            """The repro.py of a seed; None where it is none of a script's size, or a call that must be refused."""
            case = json.loads(seed.read_text())
            if case["shape"][-1] > 64 or math.prod(case["shape"]) > 1 << 12:
                return None  # the script takes an element at a time: 256 rows of 64 take as long as all the others
            script = self.folder / f"{seed.stem}.py"
            result = subprocess.run([PROGRAM, "replay", str(seed), "--repro", str(script)], stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, text=True)
            if "gave no outputs" in result.stdout:
                return None
            self.assertEqual(result.returncode, 0, result.stdout)
            return script

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            scripts = [each for each in pool.map(write, sorted(pathlib.Path(CORPUS, "seeds").glob("*.json"))) if each]
        self.assertGreater(len(scripts), 30)
        # All in one interpreter: to load numpy takes longer than most of them.
        run = ("import runpy, sys\nfor script in sys.argv[1:]:\n  print(script)\n  try: runpy.run_path(script, run_name='__main__')\n"
               "  except SystemExit as end: print('status', end.code or 0)\n  else: print('status 0')\n")
        repro = subprocess.run(["/usr/bin/python3", "-c", run, *map(str, scripts)], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
        self.assertEqual(repro.returncode, 0, repro.stdout)
        for script, printed in zip(scripts, re.split(r"(?m)^.*\.py\n", repro.stdout)[1:], strict=True):
            self.assertIn("0 of ", printed, script)
            self.assertTrue(printed.endswith("status 0\n"), f"{script}: {printed}")

    def test_a_crash_is_a_finding_and_the_rest_goes_on(self):
        self.add("parser")
        self.add("silent")
        self.add("steady")
        output = self.fuzz("--minutes", "0.1", expect=1)
        self.assertIn("FINDING parser-AddressSanitizer-heap-buffer-overflow: ", output)
        self.assertIn("silent: a run ended with status 5 and left no input", output)
        runs, executions = re.search(r"steady +(\d+) +(\d+)", output).groups()
        self.assertEqual(int(executions), 1234 * int(runs))
        self.assertEqual(output.count("silent: "), 1)
        self.assertEqual(os.listdir(self.folder / "campaign" / "steady" / "corpus"), ["input-0"])  # minimized
        # One input of one byte; the other fuzzers have none.
        self.assertRegex(output, r"the corpora: 1 inputs, 1 bytes, replayed in [0-9.]+ s of processor time")
        self.assertTrue((self.folder / "campaign" / "findings" / "parser-AddressSanitizer-heap-buffer-overflow" /
                         "input").exists())

    def test_a_corpus_that_does_not_replay_is_named(self):
        self.add("steady")
        with unittest.mock.patch.dict(os.environ, UNREPLAYABLE="1"):
            output = self.fuzz("--minutes", "0.05", expect=3)
        self.assertIn("steady: its corpus cannot be replayed; the log is ", output)

    def test_a_corrupt_corpus_file_is_named_and_left_out(self):
        self.add("steady", "cases")
        (self.corpus / "broken.json").write_text('{"normproof_case": 1, "operation": "softmax"}')
        output = self.fuzz("--minutes", "0.05", expect=3)
        self.assertIn("broken.json", output)
        self.assertIn("left out", output)
        self.assertEqual(os.listdir(self.folder / "campaign" / "seeds"), ["seed"])

    def test_a_killed_campaign_leaves_no_process_and_is_resumed(self):
        self.add("steady")
        process = subprocess.Popen(self.command("--minutes", "5"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        corpus = self.folder / "campaign" / "steady" / "corpus"
        deadline = time.monotonic() + 30
        while not corpus.exists() or len(os.listdir(corpus)) < 3:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.5)
        running = subprocess.run(["pgrep", "-f", str(self.fuzzers)], stdout=subprocess.PIPE, text=True)
        self.assertEqual(running.stdout, "")
        # Killed in the middle of exchanging a corpus, and with a failure that nobody has looked at.
        corpus.rename(str(corpus) + ".old")
        (corpus.parent / "failures" / "run-1-crash-9").write_text("bytes")
        output = self.fuzz("--minutes", "0.05", expect=1)
        self.assertIn("FINDING steady-AddressSanitizer-heap-buffer-overflow", output)
        self.assertEqual(os.listdir(corpus), ["input-0"])

    def test_wrong_usage(self):
        self.add("steady")
        self.assertIn("not all of the fuzzers", self.fuzz("--fuzzer", "nobody", expect=3))
        self.fuzz("--minutes", "0", expect=2)
        (self.fuzzers / "steady_fuzzer").unlink()
        self.assertIn("`./normproof fuzz` in a clone builds them", self.fuzz(expect=3))


def main():
    """Each test in a process of its own: they change the environment."""
    tests = unittest.TestLoader().getTestCaseNames(FuzzCommand)

    def run(test):
        done = subprocess.run([sys.executable, *sys.argv, f"FuzzCommand.{test}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        return test, done

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        failed = [(test, done) for test, done in pool.map(run, tests) if done.returncode != 0]
    for test, done in failed:
        print(f"{test}\n{done.stdout}")
    print(f"{len(tests)} tests, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) == 4:
        sys.exit(main())
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
