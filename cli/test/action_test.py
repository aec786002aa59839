#!/usr/bin/env python3
"""action.yml, and the jobs on the pages about CI: their shell steps, taken out and run, with stand-ins for apt, pip and cmake and
with the real program.

Usage: action_test.py NORMPROOF BUILD-FOLDER [UNITTEST-ARGUMENT...]
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap
import unittest

from program_test_case import PROGRAM, ProgramTest

BUILD = pathlib.Path(sys.argv[2]).resolve()
FAULTY = BUILD / "properties" / "plugin" / "libfaulty_plugin.so"
ROOT = pathlib.Path(__file__).resolve().parents[2]
ACTION = (ROOT / "action.yml").read_text()
PAGES = {name: (ROOT / "docs/howto" / name).read_text() for name in ("ci.md", "nightly.md")}
INPUTS, STEPS = ACTION.split("\ninputs:\n")[1].split("\nruns:\n")
# As GitHub runs `shell: bash`.
SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")
DECLARED = set(re.findall(r"^  ([\w-]+):$", INPUTS.split("\noutputs:\n")[0], re.MULTILINE))
# What the stand-ins for programs do: write down how they were called, and for `-m venv`, `pip wheel` and `pip install` leave
# something behind.
STAND_IN = """#!/bin/bash
echo "${0##*/} $*" >>"$LOG"
case "${0##*/} $*" in
  "apt-cache show"*) [[ -z ${NO_BOOST:-} ]] ;;
  "git clone "*) mkdir "${@: -1}" ;;
  "cmake --build "*) mkdir -p "$2"; cp "$BUILT" "$2/libjudge.so" ;;
  "python3 -m venv "*) mkdir -p "$3/bin"; cp --remove-destination "$0" "$3/bin/python" ;;
  "python -m pip wheel --no-deps --wheel-dir "*) mkdir -p "$6"; touch "$6/normproof-1-py3.whl" ;;
  "python -m pip install"*) cp --remove-destination "$0" "${0%/*}/normproof" ;;  # not through a link
  "sudo "*) exec "$@" ;;
esac
"""


def steps():
    return {re.match(r" *- name: (.*)", step)[1]: step for step in re.split(r"(?=\n    - name: )", STEPS)[1:]
            for step in [step.lstrip("\n")]}


def script_of(name):
    step = steps()[name]
    block = re.search(r"\n      run: \|\n((?:        .*\n?|\n)+)", step)
    return textwrap.dedent(block[1]) if block else re.search(r"\n      run: (.*)", step)[1]


class Action(ProgramTest):
    def setUp(self):
        super().setUp()
        for name in ("temp", "bin", "action"):
            os.mkdir(self.path(name))
        for name in ("output", "path", "summary", "log"):
            open(self.path(name), "w").close()
        for name in ("apt-get", "apt-cache", "python3", "sudo", "git", "cmake"):
            stand_in = pathlib.Path(self.path(os.path.join("bin", name)))
            stand_in.write_text(STAND_IN)
            stand_in.chmod(0o755)
        os.symlink(PROGRAM, self.path("bin/normproof"))

    def run_step(self, name, code=0, **environment):
        done = subprocess.run([*SHELL, script_of(name)], cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=120, env={**os.environ, "PATH": self.path("bin") + ":" + os.environ["PATH"],
                                                "RUNNER_TEMP": self.path("temp"), "GITHUB_ACTION_PATH": self.path("action"),
                                                "GITHUB_OUTPUT": self.path("output"), "GITHUB_PATH": self.path("path"),
                                                "GITHUB_STEP_SUMMARY": self.path("summary"), "LOG": self.path("log"), **environment})
        self.assertEqual(done.returncode, code, done.stdout)
        return done.stdout

    def text(self, name):
        return pathlib.Path(self.path(name)).read_text()

    def verify(self, code, **environment):
        defaults = {"TARGET": "host", "SECONDS_FOR_ALL": "0", "SEED": "1", "BASELINE": "", "SOURCE": "", "ARGUMENTS":
                    "--op\nrms_norm\n--dtype\nfp32\n--cases\n64\n--property-cases\n1\n--corpus\ncases\n"}
        os.makedirs(self.path("cases"), exist_ok=True)
        with open(self.path("cases/one.json"), "w") as file:
            json.dump({"normproof_case": 1, "operation": "rms_norm", "dtype": "fp32", "shape": [1, 8], "epsilon": 1e-6,
                       "input": {"recipe": {"class": "normal", "seed": 1}}}, file)
        open(self.path("output"), "w").close()
        printed = self.run_step("Verify", **{**defaults, **environment})
        self.assertEqual(self.text("output"), f"exit-code={code}\n", printed)
        return printed

    def test_every_input_is_declared_used_and_no_part_of_a_script(self):
        self.assertEqual(set(re.findall(r"inputs\.([\w-]+)", ACTION)), DECLARED)
        for name in steps():
            if "run:" not in steps()[name]:
                continue
            script = script_of(name)
            self.assertNotIn("${{", script, f"{name}: what an input holds would be run")
            for variable in re.findall(r"^        ([A-Z_]+): \$", steps()[name], re.MULTILINE):
                self.assertIn(f"${variable}", script.replace("${", "$"), name)
        for step, output in re.findall(r"steps\.(\w+)\.outputs\.([\w-]+)", ACTION):
            (script,) = [script_of(name) for name in steps() if f"\n      id: {step}\n" in steps()[name]]
            self.assertIn(f"{output}=", script)

    def test_packages(self):
        self.run_step("Packages", PACKAGES="clang libfoo-dev\nlibbar-dev")
        install = self.text("log").splitlines()[-1]
        self.assertTrue(install.endswith("clang libfoo-dev libbar-dev"), install)
        self.assertIn(" libboost1.81-dev libboost-context1.81-dev ", install)
        self.run_step("Packages", PACKAGES="", NO_BOOST="1")
        self.assertIn(" libboost-dev libboost-context-dev ", self.text("log").splitlines()[-1])
        install = (ROOT / "docs/install.md").read_text().split("## With pip")[1]
        for package in re.search(r"apt-get install ((?:.|\\\n)*?)\npython3 -m venv", install)[1].replace("\\\n", " ").split():
            self.assertIn(package, script_of("Packages"))

    def test_it_is_compiled_once_for_each_version_and_system(self):
        self.run_step("Which normproof this is, and for which system")
        first = dict(line.split("=", 1) for line in self.text("output").splitlines())
        with open(self.path("action/changed.cpp"), "w") as file:
            file.write("int x;")
        self.run_step("Which normproof this is, and for which system")
        second = dict(line.split("=", 1) for line in self.text("output").splitlines())
        self.assertNotEqual(first["digest"], second["digest"])
        self.assertRegex(first["digest"], r"^[0-9a-f]{64}$")
        self.run_step("Compile and install")
        self.run_step("Compile and install")
        self.assertEqual(self.text("log").count("pip wheel"), 1)
        self.assertEqual(self.text("log").count("pip install"), 2)
        self.assertTrue(os.path.exists(first["wheel"] + "/normproof-1-py3.whl"), "the cache keeps another folder")
        self.assertEqual(set(self.text("path").splitlines()), {self.path("temp/normproof/bin")})

    def test_the_target_is_built_by_the_users_commands(self):
        self.run_step("Build the target", BUILD="echo one > built\necho two >> built")
        self.assertEqual(self.text("built"), "one\ntwo\n")
        self.run_step("Build the target", code=1, BUILD="false\necho no > after")
        self.assertFalse(os.path.exists(self.path("after")))

    def test_a_run_without_findings(self):
        self.verify(0)
        self.assertEqual(sorted(os.listdir(self.path("normproof-results"))), [f"verify.{kind}" for kind in
                                                                              ("html", "json", "sarif", "txt", "xml")])
        self.assertIn("conforms", self.text("summary"))
        self.assertEqual(self.run_step("Verdict", CODE="0", SOURCE="", ARTIFACT="a"), "")

    def test_a_run_with_findings_and_one_in_which_they_are_known(self):
        bf16 = "--op\nrms_norm\n--dtype\nbf16\n--cases\n32\n--property-cases\n1\n"
        self.verify(1, TARGET=str(FAULTY), NORMPROOF_FAULT="fp32-weight", SOURCE="csrc/norm.cu",
                    ARGUMENTS=bf16 + "--write-baseline\nknown baseline.json\n")
        self.assertTrue(os.listdir(self.path("normproof-results/findings")))
        (run,) = json.loads(self.text("normproof-results/verify.sarif"))["runs"]
        for result in run["results"]:
            place, repro = (result[key][0]["physicalLocation"] for key in ("locations", "relatedLocations"))
            self.assertEqual(place, {"artifactLocation": {"uri": "csrc/norm.cu"}, "region": {"startLine": 1}})
            self.assertIn("normproof-results/findings/", repro["artifactLocation"]["uri"])
        printed = self.run_step("Verdict", code=1, CODE="1", SOURCE="csrc/norm.cu", ARTIFACT="a")
        self.assertIn("::error file=csrc/norm.cu", printed)
        self.verify(0, TARGET=str(FAULTY), NORMPROOF_FAULT="fp32-weight", ARGUMENTS=bf16, BASELINE="known baseline.json")
        self.assertFalse(os.path.exists(self.path("normproof-results/findings")), "those of the run before")

    def test_what_cannot_be_done_fails(self):
        self.assertIn("nowhere", self.verify(3, TARGET="./nowhere.so"))
        self.verify(2, ARGUMENTS="--cases\nmany\n")
        self.run_step("Verdict", code=3, CODE="3", SOURCE="", ARTIFACT="a")

    # --- the pages ---

    def test_the_pages_name_the_inputs(self):
        table = PAGES["ci.md"].split("| input | |\n|---|---|\n")[1].split("\n\n")[0]
        first = [row.split("|")[1] for row in table.splitlines()]
        self.assertEqual({name for cell in first for name in re.findall(r"`([\w-]+)`", cell)}, DECLARED)
        for name, page in PAGES.items():
            uses = re.findall(r"uses: OWNER/normproof@REF\n( +)with:\n((?:\1  .*\n)+)", page)
            self.assertEqual(len(uses), page.count("uses: OWNER/normproof@REF\n"), name)
            for indent, block in uses:
                self.assertLessEqual(set(re.findall(rf"^{indent}  ([\w-]+):", block, re.MULTILINE)), DECLARED, name)

    def test_the_pages_commands_have_the_options_that_they_use(self):
        helps, seen = {}, set()
        for name, page in PAGES.items():
            for command, rest in re.findall(r"normproof (verify|fuzz|new-target|merge)\b((?:[^`\n]|\n +--)*)", page):
                if command not in helps:
                    helps[command] = self.run_program(command, "--help")
                for option in re.findall(r"(?<!\S)--[\w-]+", rest):
                    seen.add(option)
                    self.assertRegex(helps[command], rf"{option}\b", f"{name}: normproof {command}{rest}")
        self.assertGreater(len(seen), 10)

    def test_the_gitlab_job(self):
        job = next(block for block in re.findall(r"```yaml\n(.*?)```", PAGES["ci.md"], re.DOTALL) if "before_script:" in block)
        lines = {part: re.findall(r"^    - (.*)", job.split(f"\n  {part}:\n")[1].split("\n  artifacts")[0].split("\n  script")[0], re.MULTILINE)
                 for part in ("before_script", "script")}
        os.mkdir(self.path("csrc"))
        shutil.copy(ROOT / "kernels/host/examples/torch_norm.cu", self.path("csrc/norm.cu"))
        script = "\n".join(lines["before_script"] + lines["script"]).replace("--seconds 60", "--seconds 0 --cases 8 --property-cases 1")
        environment = {"BUILT": str(FAULTY), "LOG": self.path("log"), "NORMPROOF": "https://example.org/normproof.git"}
        # The program of the stand-in for a venv.
        script = script.replace("export PATH=", f"ln -sf {PROGRAM} normproof-venv/bin/normproof; export PATH=")
        for fault, code in (("", 0), ("crash", 1)):
            done = subprocess.run([*SHELL, script], cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                                  env={**os.environ, "PATH": self.path("bin") + ":" + os.environ["PATH"], "NORMPROOF_FAULT": fault, **environment})
            self.assertEqual(done.returncode, code, done.stdout)
            for name in ("verify.xml", "verify.html"):
                self.assertTrue(os.path.exists(self.path(name)))
                self.assertIn(name, job.split("artifacts:")[1])
            shutil.rmtree(self.path("judge"))
            shutil.rmtree(self.path("normproof-source"))
        self.assertTrue(os.path.isdir(self.path("findings")))
        self.assertEqual(self.text("log").count("pip wheel"), 1)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
