#!/usr/bin/env python3
"""Fault trials of `normproof fuzz` with the real conformance fuzzer: what goes wrong costs the running case and nothing else.

fault_trials.py NORMPROOF FUZZERS [--kills 50] [--corrupt 100] [--only REGEX]
NORMPROOF is the program, FUZZERS the folder of a build of preset fuzz (build/fuzz/bin). Every random choice comes from one seed.
"""
import argparse
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

import script

CORPUS = pathlib.Path(__file__).resolve().parent.parent / "corpus"
FAULTS = {
    "crashes": "*(volatile int*)8 = 1;",
    "hangs": "for (;;) usleep(1000);",
    "eats memory": "for (;;) memset(malloc(1 << 24), 1, 1 << 24);",
}
FUNCTIONS = ["rms_norm", "fused_add_rms_norm", "rms_norm_static_fp8_quant", "fused_add_rms_norm_static_fp8_quant",
             "set_thread_order"]


class Trials:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(1)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="fault-trials-"))

    def command(self, campaign, *arguments):
        return [self.options.program, "fuzz", "--fuzzers", self.options.fuzzers, "--fuzzer", "conformance", "--folder",
                str(campaign), "--no-regressions", "--jobs", "1", *arguments]

    def campaign(self, folder, *arguments, expect, timeout=900, environment=None):
        done = subprocess.run(self.command(folder, *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=timeout, env=dict(os.environ, **(environment or {})))
        assert done.returncode == expect, f"exit code {done.returncode} instead of {expect}\n{done.stdout[-3000:]}"
        self.no_process_left()
        return done.stdout

    def no_process_left(self):
        """Fuzzers are known by the trials' folder in their command lines."""
        for _ in range(40):
            found = subprocess.run(["pgrep", "-f", f"_fuzzer .*{self.folder}"], stdout=subprocess.PIPE, text=True).stdout.split()
            if not found:
                return
            time.sleep(0.05)
        raise AssertionError(f"processes are left: {found}")

    def kill_9(self):
        """Kill -9 at random moments: no fuzzer goes on alone, and no input that was found is lost."""
        folder, kept = self.folder / "kill", set()
        inputs = folder / "conformance" / "corpus"
        for _ in range(self.options.kills):
            process = subprocess.Popen(self.command(folder, "--minutes", "5"), stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            time.sleep(self.random.uniform(0.05, 2))
            now = set(os.listdir(inputs)) if inputs.exists() else set()
            assert kept <= now, f"inputs are lost: {sorted(kept - now)}"
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.no_process_left()
            kept = set(os.listdir(inputs)) if inputs.exists() else set()
        output = self.campaign(folder, "--minutes", "0.1", expect=0)
        minimized = set(os.listdir(inputs))
        assert minimized and "0 problems" in output, output
        return f"{self.options.kills} kills, {len(kept)} inputs at the last one, {len(minimized)} after minimizing"

    def full_disk(self):
        """A file system with hardly more space than the seeds need: said, not died of; with space the same folder goes on."""
        folder = self.folder / "disk"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", folder], check=True)
        try:
            output = self.campaign(folder / "campaign", "--minutes", "0.2", expect=3)
            problems = int(re.search(r"(\d+) problems", output).group(1))
            assert problems > 0 and "VIOLATION" not in output, output
            subprocess.run(["mount", "-o", "remount,size=256m", folder], check=True)
            output = self.campaign(folder / "campaign", "--minutes", "0.2", expect=0)
            assert "0 problems" in output, output
        finally:
            subprocess.run(["umount", folder], check=True)
        return f"{problems} problems named, exit code 3; none with space, exit code 0"

    def corrupt_corpus(self):
        """Damaged case files: each unreadable one is named and left out, the others are used."""
        cases = self.folder / "cases"
        cases.mkdir()
        seeds = sorted((CORPUS / "seeds").glob("*.json"))
        for number in range(self.options.corrupt):
            data = bytearray(self.random.choice(seeds).read_bytes())
            damage = self.random.randrange(4)
            place = self.random.randrange(len(data))
            if damage == 0:
                del data[place:]
            elif damage == 1:
                data[place] ^= 1 << self.random.randrange(8)
            elif damage == 2:
                data[place:place] = self.random.randbytes(8)
            else:
                data = bytearray(self.random.randbytes(len(data)))
            (cases / f"damaged-{number}.json").write_bytes(data)
        unreadable = {file.name for file in cases.glob("*.json")
                      if subprocess.run([self.options.program, "replay", file], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL).returncode == 2}
        output = self.campaign(self.folder / "corrupt", "--minutes", "0.1", "--corpus", str(cases), expect=3)
        named = set(re.findall(r"left out: \S*?(damaged-\d+\.json)", output))
        assert named == unreadable, f"not named: {sorted(unreadable - named)}, named in vain: {sorted(named - unreadable)}"
        return f"{len(unreadable)} of {self.options.corrupt} files unreadable, each named, exit code 3"

    def faulty_target(self, fault):
        """A target that misbehaves at every call: a finding, exit code 1, and the campaign ends in time."""
        name = fault.replace(" ", "-")
        mutants = self.folder / "mutants"
        mutants.mkdir(exist_ok=True)
        source = mutants / f"{name}.c"
        source.write_text("#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n" +
                          "const char* normproof_kernels_backend(void) { return \"host\"; }\n" +
                          "".join(f"int normproof_{function}(void) {{ {FAULTS[fault] if 'norm' in function else ''} return 0; }}\n"
                                  for function in FUNCTIONS))
        subprocess.run(["clang-19", "-shared", "-fPIC", "-o", mutants / f"libmutant_{name}.so", source], check=True)
        start = time.monotonic()
        output = self.campaign(self.folder / name, "--minutes", "0.1", "--target", f"mutant:{name}", expect=1,
                               environment={"NORMPROOF_MUTANTS": str(mutants)})
        return f"{re.search(r'FINDING (.*?):', output).group(1)}, exit code 1, after {time.monotonic() - start:.0f} s"

    def run(self):
        trials = [("kill -9", self.kill_9), ("full disk", self.full_disk), ("corrupt corpus", self.corrupt_corpus)]
        trials += [(f"a target that {fault}", lambda fault=fault: self.faulty_target(fault)) for fault in FAULTS]
        trials = [trial for trial in trials if self.options.only.search(trial[0])]
        if not trials:
            print(f"fault_trials.py: no trial matches '{self.options.only.pattern}'", file=sys.stderr)
            return 2
        failed = 0
        for name, trial in trials:
            try:
                print(f"{name}: {trial()}", flush=True)
            except (AssertionError, subprocess.SubprocessError, OSError) as error:
                failed += 1
                print(f"{name}: FAILED: {error}", flush=True)
        print(f"{len(trials) - failed} passed, {failed} failed")
        return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("fuzzers", type=os.path.abspath)
    parser.add_argument("--kills", type=script.positive, default=50)
    parser.add_argument("--corrupt", type=script.positive, default=100)
    parser.add_argument("--only", type=script.expression, default="", help="regular expression: only these trials")
    options = parser.parse_args()
    script.need(pathlib.Path(options.program), pathlib.Path(options.fuzzers) / "conformance_fuzzer")
    sys.exit(Trials(options).run())


if __name__ == "__main__":
    main()
