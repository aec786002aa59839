"""--help, --version, slips of the finger, and the progress line on terminals of all kinds.

Usage: help_test.py NORMPROOF
"""
import fcntl
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import termios
import unittest

PROGRAM = sys.argv.pop(1)
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("NORMPROOF_")}


def run(*arguments, **environment):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, env={**ENVIRONMENT, **environment})
    return done.returncode, done.stdout, done.stderr


def commands():
    """Those that the help names, with a word on each."""
    return re.findall(r"^  ([a-z][a-z-]+)  +[A-Z]", run("--help", COLUMNS="100")[1], re.MULTILINE)


class Help(unittest.TestCase):
    def test_every_line_fits(self):
        for command in ("", *commands()):
            for columns in (60, 80, 100):
                status, text, _ = run(*filter(None, [command]), "--help", COLUMNS=str(columns))
                self.assertEqual(status, 0)
                for line in text.splitlines():
                    # What holds no blank cannot be broken; commands are copied.
                    if " " in line.strip() and not line.startswith(("  normproof", "Usage:", "  --")):
                        self.assertLessEqual(len(line), columns, f"{command}: {line}")

    def test_nothing_of_the_library_shows(self):
        for command in commands():
            text = run(command, "--help")[1]
            self.assertIsNone(re.search(r"TEXT|\bINT\b|UINT|FLOAT|\{false\}|\{|REQUIRED|OPTIONS|Excludes", text), f"{command}: {text}")
            self.assertNotIn(os.path.dirname(os.path.dirname(PROGRAM)), text, "a path of this machine")

    def test_options_stand_in_groups_and_examples_are_real(self):
        self.assertGreaterEqual(len(commands()), 16)
        for command in commands():
            text = run(command, "--help")[1]
            others = text.split("Other options:\n")[1].split("\n\n")[0].splitlines()
            self.assertEqual(len(others), 1, f"{command}: give these a row in cli/help_tables.cpp: {others}")
            self.assertIn("Exit codes: 0 all good", text)
            examples = re.findall(r"^  normproof (.*)", text.split("Examples:\n")[1], re.MULTILINE)
            self.assertGreaterEqual(len(examples), 2, f"{command}: two examples belong into cli/help_tables.cpp")
            for example in examples:
                self.assertEqual(example.split()[0], command)
                for option in re.findall(r"--[a-z-]+", example):
                    self.assertRegex(text, rf"(?m)^  .*{option}\b", f"the example {example}")

    def test_the_same_thing_has_the_same_name(self):
        """A table: which command lacks an option that all have, and why."""
        no_result = ("completion", "new-target")
        lacking = {
            "--json FILE": no_result,
            "--html FILE": (*no_result, "list"),
            "--quiet": (*no_result, "list"),
            # Of one thread: what they do takes no time, or is one search after the other.
            "--jobs N": (*no_result, "list", "replay", "minimize", "explain", "bound", "merge", "bench"),
            # What they do is given: there is no choice that a seed could make.
            "--seed N": (*no_result, "list", "replay", "check", "minimize", "explain", "bound", "merge", "prove", "bench"),
        }
        texts = {command: run(command, "--help", COLUMNS="100")[1] for command in commands()}
        for option, exceptions in lacking.items():
            self.assertEqual({command for command, text in texts.items() if not re.search(rf"^  {option}\b", text, re.MULTILINE)},
                             set(exceptions), f"these lack {option}")
        # Whatever is written beside a report is written to --output; older names go on working and are not shown.
        for command in ("verify", "fuzz", "mutants", "certify", "compare", "bound"):
            self.assertIn("--output DIR", texts[command], command)
        for command in ("minimize", "completion"):
            self.assertIn("--output FILE", texts[command], command)
        for name in ("--threads", "--hidden-size", "--findings", "--folder", "--examples", "--certificate", "--fuzzers"):
            self.assertEqual([command for command, text in texts.items() if re.search(rf"^  {name}\b", text, re.MULTILINE)], [], name)
        # One name takes the same everywhere, but for --output, which is a file where one thing is written, and choices.
        values = {}
        for command, text in texts.items():
            for option, value in re.findall(r"^  (--[a-z-]+) ([A-Z]\S*(?: \S+)*?)(?:  .*)?$", text, re.MULTILINE):
                values.setdefault(option, {}).setdefault(value.replace(" ...", ""), []).append(command)
        self.assertEqual({option: found for option, found in values.items() if len(found) > 1 and option != "--output"}, {})

    def test_nothing_is_printed_where_all_is_good(self):
        for arguments in (("prove", "--stride", "100000000", "--proof", "multiply-bf16"), ("order", "--dtype", "bf16", "--hidden", "64"),
                          ("verify", "--op", "rms_norm", "--dtype", "bf16", "--seconds", "0", "--property-cases", "1")):
            status, out, errors = run(*arguments, "--quiet")
            self.assertEqual((status, out, errors), (0, "", ""), arguments)
        self.assertNotEqual(run("prove", "--stride", "100000000", "--proof", "multiply-bf16")[1], "")
        # What is found is told all the same.
        status, out, _ = run("compare", "host", "host", "--op", "rms_norm", "--dtype", "fp32", "--hidden", "3", "--rows-per-call", "1")
        self.assertEqual(status, 0)
        # Old command lines go on working.
        self.assertNotIn("expected", run("check", "--threads", "1", "no-such-file.json")[2])
        self.assertNotIn("no option", run("check", "--threads", "1", "no-such-file.json")[2])

    def test_what_exit_code_1_says(self):
        self.assertIn("1 a violation was found, 2", " ".join(run("verify", "--help")[1].split()))
        self.assertIn("1 the outputs of the case violate, 2", " ".join(run("explain", "--help")[1].split()))

    def test_words_for_help_and_version(self):
        self.assertEqual(run("help")[:2], run("--help")[:2])
        self.assertEqual(run("help", "verify")[:2], run("verify", "--help")[:2])
        self.assertEqual(run()[:2], (2, run("--help")[1]))
        status, text, _ = run("--version")
        self.assertEqual((status, text), run("version")[:2])
        self.assertRegex(text, r"^normproof \d+\.\d+\.\d+ \(commit ([0-9a-f]{7,}(\+changes)?|unknown), (clang|g\+\+) \d+\.\d+\.\d+, "
                               r"(CUDA \d+\.\d+\S*|no CUDA), corpus [0-9a-f]{16}: \d+ files\)\n$")
        self.assertIn("no corpus", run("--version", NORMPROOF_CORPUS="/nowhere")[1])

    def test_slips_of_the_finger(self):
        for words, said in ((["verifi"], "did you mean 'verify'?"), (["verifi", "--help"], "did you mean 'verify'?"),
                            (["new_target", "x"], "did you mean 'new-target'?"), (["help", "chek"], "did you mean 'check'?"),
                            (["verify", "--secnds", "3"], "did you mean '--seconds'?"), (["check", "x.json", "--jsno=a"], "did you mean '--json'?"),
                            (["verify", "--sede", "1"], "did you mean '--seed'?"), (["frobnicate"], "there is no command")):
            status, out, errors = run(*words)
            self.assertEqual((status, out), (2, ""), words)
            self.assertIn(said, errors)
        self.assertNotIn("did you mean", run("frobnicate")[2])
        self.assertNotIn("\x1b", run("veri\x1b[31mfy")[2])


class Completion(unittest.TestCase):
    def completed(self, *words):
        """What bash offers for the last word."""
        status, script, _ = run("completion", "bash")
        self.assertEqual(status, 0)
        line = f"COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}; _normproof; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        done = subprocess.run(["bash", "--norc", "-c", script + line], capture_output=True, text=True, check=True)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_commands_options_and_values_are_completed(self):
        self.assertEqual(self.completed("normproof", "veri"), ["verify"])
        self.assertEqual(set(commands()) - set(self.completed("normproof", "")), set())
        self.assertEqual(self.completed("normproof", "verify", "--sec"), ["--seconds"])
        self.assertEqual(sorted(self.completed("normproof", "check", "--j")), ["--jobs", "--json", "--junit"])
        self.assertIn("--no-witness", self.completed("normproof", "verify", "--no"))
        self.assertEqual(self.completed("normproof", "verify", "--judge", "w"), ["witness"])
        self.assertEqual(self.completed("normproof", "help", "mer"), ["merge"])
        self.assertIn(PROGRAM, self.completed("normproof", "check", PROGRAM[:-2]))

    def test_the_man_page_says_what_help_says(self):
        page = run("completion", "man")[1].replace("\\-", "-")
        for command in commands():
            self.assertIn(f".SH {command}\n", page)
            for option in re.findall(r"^  (--[a-z-]+)", run(command, "--help")[1], re.MULTILINE):
                self.assertIn(f"\\fB{option}", page)
        if shutil.which("man"):
            done = subprocess.run(["man", "-l", "--warnings=all", "-Tutf8", "-"], input=run("completion", "man")[1], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))


class Progress(unittest.TestCase):
    def on_terminal(self, columns, **environment):
        """What a terminal of that width gets to see of a run."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen([PROGRAM, "verify", "--seed", "1", "--cases", "3000", "--property-cases", "5", "--op", "rms_norm",
                                    "--dtype", "bf16"], stdout=subprocess.DEVNULL, stderr=follower, stdin=subprocess.DEVNULL,
                                   env={**ENVIRONMENT, **environment})
        os.close(follower)
        seen = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # Linux: the other side has closed
                break
            if not piece:
                break
            seen += piece
        process.wait()
        os.close(leader)
        return seen.decode()

    def test_the_line_fits_and_is_removed(self):
        for columns in (20, 60, 79, 120):
            seen = self.on_terminal(columns, TERM="xterm")
            lines = [line for line in seen.split("\r\x1b[K") if line]
            self.assertGreater(len(lines), 0, columns)
            for line in lines:
                self.assertNotIn("\n", line)
                self.assertLess(len(line), columns)
            self.assertTrue(seen.endswith("\r\x1b[K"), columns)
        self.assertIn("elements/s", seen)

    def test_a_terminal_without_control_sequences_gets_none(self):
        self.assertEqual(self.on_terminal(80, TERM="dumb"), "")


if __name__ == "__main__":
    unittest.main()
