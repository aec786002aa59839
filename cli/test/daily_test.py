#!/usr/bin/env python3
"""The program of every day: the same words as the whole one, the same verdicts, and no other command by half.

Usage: daily_test.py DAILY-PROGRAM WHOLE-PROGRAM [UNITTEST-ARGUMENT...]
"""
import re
import subprocess
import sys
import unittest

DAILY, WHOLE = sys.argv[1:3]
COMMANDS = ("verify", "replay", "check", "identify", "explain", "list")


def run(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout.replace("normproof-daily", "normproof"), done.stderr.replace("normproof-daily", "normproof")


class Daily(unittest.TestCase):
    def test_its_commands_are_those_of_the_whole_program(self):
        for arguments in [(), ("--help",), ("list",), *((command, "--help") for command in COMMANDS)]:
            self.assertEqual(run(DAILY, *arguments), run(WHOLE, *arguments), arguments)
        verify = ("verify", "--seed", "1", "--seconds", "0", "--cases", "20", "--property-cases", "1", "--op", "rms_norm")
        without_times = [(code, re.sub(r"[\d.]+ s\b", "", out)) for code, out, _ in (run(DAILY, *verify), run(WHOLE, *verify))]
        self.assertEqual(without_times[0][0], 0)
        self.assertEqual(*without_times)

    def test_the_others_say_where_they_are(self):
        listed = re.findall(r"^  ([a-z][a-z-]+)  ", run(WHOLE, "--help")[1], re.MULTILINE)
        others = set(listed) - {*COMMANDS, "completion", "help", "version"}
        self.assertGreater(len(others), 10, listed)
        for command in others:
            for options in [(), ("--hidden", "3"), ("some-file.json",)]:
                code, _, message = run(DAILY, command, *options)
                self.assertEqual((code, "target `normproof`" in message), (3, True), (command, options, message))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
