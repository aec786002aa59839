#!/usr/bin/env python3
"""The measuring scripts refuse what makes no sense (2), say what is not built (3), and count what a fuzzer did."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "fuzz"))
import script

FIND_BUGS = ROOT / "kernels/host/examples/find_bugs.py"
RATE, TIME_TO_FIND, FAULT_TRIALS = (ROOT / "fuzz" / name for name in ("rate.py", "time_to_find.py", "fault_trials.py"))
HOSTILE_WORLD = ROOT / "fuzz" / "hostile_world.py"


def run(program, *arguments):
    done = subprocess.run([sys.executable, program, *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


class Build:
    """A folder like a build of preset fuzz, in which a shell script stands for the fuzzer."""

    def __init__(self, folder, fuzzer):
        self.folder = pathlib.Path(folder)
        (self.folder / "bin").mkdir()
        for name in ("conformance", "wide"):
            path = self.folder / "bin" / f"{name}_fuzzer"
            path.write_text(f"#!/bin/sh\n{fuzzer}\n")
            path.chmod(0o755)
        (self.folder / "hosted").mkdir()
        for patch in FIND_BUGS.parent.glob("bugs/*.patch"):
            (self.folder / "hosted" / f"libhosted_{patch.stem}.so").touch()
        (self.folder / "mutants").mkdir()
        (self.folder / "mutants/libmutant_B5-truncated-bf16.so").touch()


VIOLATION = "VIOLATION on target mutant:x\\nwrong bits, rms_norm\\n{\\nstat::number_of_executed_units: %s\\n"


class Scripts(unittest.TestCase):
    def test_wrong_arguments_are_named_with_their_value(self):
        for program, arguments in ((FIND_BUGS, ("x",)), (TIME_TO_FIND, ("x",)), (FAULT_TRIALS, ("x", "y")), (HOSTILE_WORLD, ("x", "y"))):
            for option, value in (("--only", "("), ("--jobs" if program != FAULT_TRIALS else "--kills", "0")):
                status, _, errors = run(program, *arguments, option, value)
                self.assertEqual(status, 2, errors)
                self.assertIn(f"argument {option}: '{value}'", errors)

    def test_a_name_that_matches_nothing_is_no_success(self):
        with tempfile.TemporaryDirectory() as folder:
            build = Build(folder, "exit 0")
            for program, arguments in ((FIND_BUGS, (folder,)), (TIME_TO_FIND, (folder,)),
                                       (FAULT_TRIALS, ("/bin/true", build.folder / "bin")),
                                       (HOSTILE_WORLD, ("/bin/true", "/bin/true"))):
                status, _, errors = run(program, *arguments, "--only", "no such name")
                self.assertEqual(status, 2, errors)
                self.assertIn("'no such name'", errors)

    def test_what_is_not_built_is_named(self):
        for program, arguments in ((FIND_BUGS, ("/nowhere",)), (RATE, ("/nowhere",)), (TIME_TO_FIND, ("/nowhere",)),
                                   (FAULT_TRIALS, ("/bin/true", "/nowhere/bin"))):
            status, _, errors = run(program, *arguments)
            self.assertEqual(status, 3, errors)
            self.assertIn("/nowhere/bin/conformance_fuzzer is not built", errors)

    def expect(self, fuzzer, status_of_find_bugs, found_bug, found_mutant):
        """What both scripts say of a fuzzer; the time to find is no judgement, so it ends with 0."""
        with tempfile.TemporaryDirectory() as folder:
            Build(folder, fuzzer)
            for wanted, part, program, *arguments in (
                    (status_of_find_bugs, found_bug, FIND_BUGS, "--only", "truncated"),
                    (0, found_mutant, TIME_TO_FIND, "--only", "B5-truncated-bf16", "--seeds", "3")):
                status, output, errors = run(program, folder, *arguments)
                self.assertEqual(status, wanted, errors)
                self.assertIn(part, output)

    def test_findings_are_counted(self):
        self.expect(f"printf '{VIOLATION % 7}' >&2; exit 1", 0, "| conformance | wrong bits | 7 |", "| 3 of 3 | 7 | 7 |")

    def test_bugs_that_are_not_found_are_a_failure(self):
        self.expect("exit 0", 1, "| not found | 36,000 |", "| 0 of 3 | > 100,000 |")

    def test_a_fuzzer_that_breaks_is_no_finding(self):
        with tempfile.TemporaryDirectory() as folder:
            Build(folder, "echo out of disk >&2; exit 1")
            for program in (FIND_BUGS, TIME_TO_FIND):
                status, _, errors = run(program, folder, "--only", "truncated-bf16")
                self.assertEqual(status, 3, errors)
                self.assertRegex(errors, "status 1 without a finding\nout of disk")

    def test_the_fuzzer_gets_the_target_and_its_limits(self):
        with tempfile.TemporaryDirectory() as folder:
            build = Build(folder, "echo $NORMPROOF_TARGET $* >&2; exit 1")
            run = script.hunt(build.folder, "wide", 60, 4, {"NORMPROOF_TARGET": "mutant:x"}, ["-use_value_profile=1"])
            self.assertEqual((run.status, run.executed), (1, None))
            self.assertRegex(run.log, r"^mutant:x -runs=60 -seed=4 .*-use_value_profile=1 \S+/corpus$")


if __name__ == "__main__":
    unittest.main()
