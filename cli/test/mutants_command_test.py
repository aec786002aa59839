"""`normproof mutants`, from the command line: table, JSON, page, resume, exit codes."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM = None
MUTANT = "B1-fp32-weight-multiply-scalar"


def run(folder, *arguments):
    return subprocess.run([PROGRAM, "mutants", "--folder", str(folder), *arguments], capture_output=True, text=True,
                          cwd=folder)


class Mutants(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.temporary.name)

    def tearDown(self):
        self.temporary.cleanup()

    def test_kills_a_mutant_confirms_its_repro_and_keeps_what_it_knows(self):
        # Without `verify` on the production kernels, which takes its whole time there.
        arguments = ("--only", f"^{MUTANT}$", "--checks", "^(corpus|random|bf16 2e-1)$", "--json", "matrix.json",
                     "--markdown", "table.md")
        first = run(self.folder, *arguments)
        self.assertEqual(first.returncode, 0, first.stdout + first.stderr)
        document = json.loads((self.folder / "matrix.json").read_text())
        production, mutant = document["rows"]
        self.assertEqual(production["cells"]["corpus"]["outcome"], "survived")
        self.assertEqual(mutant["name"], MUTANT)
        self.assertIn("fp32 weight multiply", mutant["bug"])
        self.assertEqual(mutant["cells"]["corpus"]["outcome"], "killed")
        self.assertEqual(mutant["cells"]["random"]["outcome"], "killed")
        self.assertEqual(mutant["cells"]["bf16 2e-1"]["outcome"], "survived")
        self.assertIn(MUTANT, (self.folder / "index.html").read_text())
        # Of checks that were not run there is no figure.
        self.assertEqual(document["summary"]["killed_by_corpus"], 1)
        self.assertIsNone(document["summary"]["killed_by_verify"])
        self.assertIsNone(document["summary"]["slowest_verify_seconds"])
        self.assertIn("killed by verify: not run, the slowest after: not run; by the corpus alone: 1, ", first.stdout)
        self.assertIn("| corpus | 1 | 100 % |", (self.folder / "table.md").read_text())
        # A second run takes the cells from the file: it believes what was changed there.
        results = json.loads((self.folder / "results.json").read_text())
        for row in results.values():
            row["random"]["executions"] = 424242
        (self.folder / "results.json").write_text(json.dumps(results))
        second = run(self.folder, *arguments)
        self.assertEqual(second.returncode, 0, second.stderr)
        self.assertIn("424242", (self.folder / "matrix.json").read_text())
        fresh = run(self.folder, *arguments, "--fresh")
        self.assertEqual(fresh.returncode, 0, fresh.stderr)
        self.assertNotIn("424242", (self.folder / "matrix.json").read_text())

    def test_runs_in_one_folder_keep_each_others_cells(self):
        checks = ("corpus", "random", "witness", "vllm 1e-2")
        runs = [subprocess.Popen([PROGRAM, "mutants", "--folder", str(self.folder), "--only", f"^{MUTANT}$", "--jobs", "1",
                                  "--checks", f"^{check}$", "--html", f"{check}.html"], cwd=self.folder,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for check in checks]
        for each in runs:
            error = each.communicate(timeout=120)[1]
            self.assertIn(each.returncode, (0, 1), error)  # alone, a check that sees nothing leaves a survivor
        for row in json.loads((self.folder / "results.json").read_text()).values():
            self.assertEqual(sorted(set(row) - {"repro"}), sorted(checks))

    def test_says_which_expression_is_wrong(self):
        result = run(self.folder, "--only", "B1[")
        self.assertEqual(result.returncode, 2)
        self.assertIn("B1[", result.stderr)

    def test_names_a_mutant_that_is_not_built(self):
        with tempfile.TemporaryDirectory() as elsewhere:
            copy = pathlib.Path(elsewhere) / "bin" / "normproof"
            copy.parent.mkdir()
            copy.write_bytes(pathlib.Path(PROGRAM).read_bytes())
            copy.chmod(0o755)
            (copy.parent.parent / "share").symlink_to(pathlib.Path(PROGRAM).parent.parent / "share")
            result = subprocess.run([str(copy), "mutants", "--folder", str(self.folder), "--only", f"^{MUTANT}$",
                                     "--checks", "^corpus$"], capture_output=True, text=True,
                                    env={k: v for k, v in os.environ.items() if k != "NORMPROOF_MUTANTS"})
        self.assertEqual(result.returncode, 3)
        self.assertIn(f"libmutant_{MUTANT}.so", result.stderr)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
