#!/usr/bin/env python3
"""Runs that are stopped by a signal, and runs that the system gives too little: nothing is lost, and all of it is said. Here is what
fuzz/hostile_stops.py, which tries all signals and limits, does not look at.

Usage: stops_and_limits_test.py NORMPROOF BUILD-FOLDER [UNITTEST-ARGUMENT...]
"""
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.path.abspath(sys.argv[1])
FAULTY = os.path.join(os.path.abspath(sys.argv[2]), "properties", "plugin", "libfaulty_plugin.so")
SHORT = ("verify", "--op", "rms_norm", "--dtype", "fp32", "--seconds", "0", "--cases", "40", "--property-cases", "1", "--seed",
         "7")


def default_signals():
    """Who runs this in the background may ignore SIGINT, which the program then leaves ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class StopsAndLimits(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        shutil.copy(FAULTY, os.path.join(self.folder, "faulty.so"))

    def result(self, name):
        with open(os.path.join(self.folder, name)) as file:
            return json.load(file)

    def start(self, *arguments, fault="", **environment):
        """A run that has begun: it has printed its first line."""
        process = subprocess.Popen([PROGRAM, *arguments], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env={**os.environ, "NORMPROOF_FAULT": fault, **environment}, preexec_fn=default_signals)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertIn("seed", process.stdout.readline())
        time.sleep(0.5)
        return process

    def stop(self, process, number):
        """Sends the signal; returns exit status and text."""
        begin = time.monotonic()
        process.send_signal(number)
        text = "".join(process.communicate(timeout=60))
        self.assertLess(time.monotonic() - begin, 15)
        self.assertEqual([name for name in os.listdir(self.folder) if "unfinished" in name], [])
        return process.returncode, text

    # --- signals ---

    def test_the_replay_of_a_finding_that_hangs_is_not_waited_for(self):
        process = self.start("verify", "--target", "./faulty.so", "--op", "rms_norm", "--seconds", "100", "--seed", "1",
                             "--no-shrink", "--keep-going", "--json", "v.json", fault="hang", NORMPROOF_PATIENCE="1.5")
        time.sleep(1.7)  # the first case has hung, and hangs again in a process of its own
        begin = time.monotonic()
        status, text = self.stop(process, signal.SIGTERM)
        self.assertLess(time.monotonic() - begin, 1.2)
        self.assertEqual(status, 1, text)
        self.assertIn("NOT CHECKED: stopped by SIGTERM after", text)
        self.assertIn("not repeated in a fresh process: the run was stopped", text)
        result = self.result("v.json")
        self.assertEqual((result["stopped_by"], result["total"]["violations"]), ("SIGTERM", 1))

    def test_a_second_signal_ends_the_program_at_once(self):
        process = self.start("verify", "--target", "./faulty.so", "--seconds", "100", "--seed", "1", fault="hang")
        process.send_signal(signal.SIGINT)
        status, text = self.stop(process, signal.SIGTERM)  # both are there before the first has an effect
        self.assertIn(status, (-signal.SIGINT, -signal.SIGTERM))
        self.assertNotIn("NOT CHECKED", text)

    def test_a_shard_that_was_stopped_is_not_merged_as_if_it_were_whole(self):
        process = self.start("verify", "--seconds", "100", "--seed", "1", "--shard", "1/1", "--json", "1.json")
        self.stop(process, signal.SIGINT)
        done = subprocess.run([PROGRAM, "merge", "1.json"], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        self.assertIn("NOT CHECKED: stopped by SIGINT", done.stdout)

    # --- limits ---

    def limited(self, *arguments, code, limits):
        def set_limits():
            for which, value in limits.items():
                resource.setrlimit(which, (value, value))

        done = subprocess.run([PROGRAM, *arguments], cwd=self.folder, capture_output=True, text=True, preexec_fn=set_limits,
                              timeout=120)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_threads_that_cannot_be_started_are_done_without(self):
        with open(PROGRAM, "rb") as file:
            if b"__asan_report_load8" in file.read():
                self.skipTest("AddressSanitizer needs a stack that it can map")
        whole = self.limited(*SHORT, "--json", "whole.json", code=0, limits={})
        self.assertNotIn("threads", whole)
        # No address space has room for such a stack, so that no thread starts.
        text = self.limited(*SHORT, "--jobs", "4", "--json", "alone.json", code=0, limits={resource.RLIMIT_STACK: 1 << 47})
        self.assertIn("normproof: 1 of 4 threads do the work, no more can be started: ", text)
        self.assertEqual(self.result("alone.json")["total"], self.result("whole.json")["total"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
