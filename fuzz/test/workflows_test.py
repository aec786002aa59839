#!/usr/bin/env python3
"""The workflows keep what they find: names of artifacts do not collide, findings reach code scanning, and one finding does not
keep the next check from running. And the jobs of the page on many machines write where something is."""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKFLOWS = {file.name: file.read_text() for file in (ROOT / ".github/workflows").glob("*.yml")}
MANY_MACHINES = (ROOT / "docs/howto/ci.md").read_text()


def steps_of(text):
    """The steps of a workflow, as text."""
    return re.split(r"\n      - ", text)[1:]


class Workflows(unittest.TestCase):
    def test_a_run_that_fuzzes_has_one_sanitizer(self):
        # ClusterFuzzLite names corpora and crashes by fuzzer alone, and a run of a workflow takes each name once. A workflow that
        # another one calls belongs to that one's run.
        fuzzing = {name: text for name, text in WORKFLOWS.items() if "actions/run_fuzzers@" in text}
        self.assertEqual(sorted(fuzzing), ["cflite_batch.yml", "cflite_change.yml", "cflite_coverage.yml", "cflite_prune.yml"])
        calls = {name: re.findall(r"uses: \./\.github/workflows/(\S+)", text) for name, text in WORKFLOWS.items()}
        for name, text in WORKFLOWS.items():
            if name in fuzzing or set(calls[name]) & set(fuzzing):
                self.assertNotIn("matrix:", text, name)
                self.assertEqual(text.count("actions/run_fuzzers@") + len(calls[name]), 1, name)
                stated = set(re.findall(r"(?<!SANITIZER: )sanitizer: (\S.*)", text)) - {"address", "undefined"}
                self.assertLessEqual(len(stated), 1, name)

    def test_pull_requests_are_fuzzed_with_each_sanitizer(self):
        sanitizers = []
        for name in ("cflite_pr.yml", "cflite_pr_undefined.yml"):
            workflow = WORKFLOWS[name]
            self.assertIn("pull_request:", workflow)
            self.assertIn("uses: ./.github/workflows/cflite_change.yml", workflow)
            sanitizers += re.findall(r"sanitizer: (\w+)", workflow)
        self.assertEqual(sorted(sanitizers), ["address", "undefined"])
        # A newer run stops an older one of the same sanitizer alone.
        self.assertEqual(len({re.search(r"^name: (.*)", WORKFLOWS[name], re.MULTILINE)[1] for name in WORKFLOWS}), len(WORKFLOWS))
        self.assertNotIn("pull_request:", "".join(text for name, text in WORKFLOWS.items()
                                                  if name.startswith("cflite_") and not name.startswith("cflite_pr")))
        self.assertIn("sanitizer: ${{ inputs.sanitizer }}", WORKFLOWS["cflite_change.yml"])

    def test_a_batch_run_chooses_its_sanitizer_by_its_schedule(self):
        both = WORKFLOWS["cflite_batch.yml"]
        for line in (line for line in both.splitlines() if line.strip().startswith("sanitizer: $")):
            self.assertIn("env.SANITIZER", line)
        # Each schedule that a choice depends on is one of the schedules.
        crons = re.findall(r"- cron: '([^']*)'", both)
        self.assertEqual(len(crons), 2)
        for named in re.findall(r"github.event.schedule == '([^']*)'", both):
            self.assertIn(named, crons)

    def test_builds_of_main_are_kept_for_each_sanitizer(self):
        build = WORKFLOWS["cflite_build.yml"]
        for part in ("push:", "branches: [main]", "upload-build: true", "sanitizer: ${{ matrix.sanitizer }}"):
            self.assertIn(part, build)

    def test_findings_reach_code_scanning(self):
        for name in ("cflite_batch.yml", "cflite_change.yml"):
            self.assertIn("output-sarif: true", WORKFLOWS[name])
            upload = next(step for step in steps_of(WORKFLOWS[name]) if "upload-sarif" in step)
            self.assertIn("if: always()", upload)
            self.assertIn("sarif_file: cifuzz-sarif/results.sarif", upload)
        # What a called workflow may do its caller says.
        for name in ("cflite_batch.yml", "cflite_pr.yml", "cflite_pr_undefined.yml"):
            self.assertIn("security-events: write", WORKFLOWS[name])

    def test_the_nightly_proof_runs_also_when_verify_finds_something(self):
        steps = steps_of(WORKFLOWS["nightly_gpu.yml"])
        prove = next(step for step in steps if "normproof prove" in step)
        self.assertIn("if: success() || failure()", prove)
        upload = next(step for step in steps if "upload-artifact" in step)
        for file in re.findall(r"--(?:json|junit|sarif|certificate) (\S+)", "\n".join(steps)):
            self.assertIn(file, upload)


class ManyMachines(unittest.TestCase):
    def test_the_kubernetes_job_writes_to_a_volume(self):
        job = next(block for block in re.findall(r"```yaml\n(.*?)```", MANY_MACHINES, re.DOTALL) if "kind: Job" in block)
        folder = re.search(r"--json (/[^/ ]+)/", job).group(1)
        mount = re.search(r"name: (\w+), mountPath: (\S+?)}", job)
        self.assertEqual(mount.group(2), folder)
        self.assertRegex(job, rf"volumes: \[{{name: {mount.group(1)}, ")


if __name__ == "__main__":
    unittest.main()
