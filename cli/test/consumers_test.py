"""normproof seen from outside: as a subdirectory of another project, and installed, without its source tree.

Usage: consumers_test.py BUILD_FOLDER SOURCE_FOLDER CXX_COMPILER
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD, SOURCE, COMPILER = (pathlib.Path(sys.argv.pop(1)) for _ in range(3))
CONSUMERS = pathlib.Path(__file__).parent / "consumers"
EXAMPLES = SOURCE / "kernels/host/examples"


def run(*command, status=0, **options):
    done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          **options)
    if done.returncode != status:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout[-6000:]}")
    return done.stdout


def configure(source, build, *arguments):
    run("cmake", "-S", source, "-B", build, "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={COMPILER}",
        "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O0", *arguments)


class Consumers(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def test_a_project_with_targets_of_the_same_names_adds_it_as_a_subdirectory(self):
        configure(CONSUMERS / "subdirectory", self.folder, f"-DNORMPROOF_SOURCES={SOURCE}")
        # That a clone's libraries compile in another project is in plugin_test.py. Here: a source of either side, and what would be linked.
        run("ninja", "-C", self.folder, "CMakeFiles/consumer.dir/main.cpp.o",
            "normproof/kernels/host/CMakeFiles/normproof_host.dir/schedule.cpp.o")
        for target, library in (("consumer", "normproof/corpus/libnormproof_corpus.a"),
                                ("libnorm.so", "normproof/kernels/host/libnormproof_host.a")):
            link = run("ninja", "-C", self.folder, "-t", "commands", "-s", target)
            self.assertIn(f" {library} ", link)
        listed = run("ctest", "--test-dir", self.folder, "-N")
        self.assertIn("Total Tests: 0", listed)

    def test_a_project_finds_what_was_installed_and_judges_a_cuda_source(self):
        prefix = self.folder / "prefix"
        run("cmake", "--install", BUILD, "--prefix", prefix)
        project = self.folder / "project"
        shutil.copytree(CONSUMERS / "package", project)
        shutil.copy(EXAMPLES / "warp_norm.cu", project / "norm.cu")
        shutil.copy(EXAMPLES / "warp_adapter.cpp", project / "adapter.cpp")
        for header in [*EXAMPLES.glob("*.h"), *EXAMPLES.glob("*.cuh")]:
            shutil.copy(header, project)
        configure(project, project / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
        run("cmake", "--build", project / "build")
        run(project / "build/consumer")

        # Nothing of the source tree or the build is at hand: no variable names it, and no path in the program.
        program = prefix / "bin/normproof"
        self.assertNotIn(str(SOURCE).encode() + b"/corpus", program.read_bytes())
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NORMPROOF_")}
        result = self.folder / "result.json"
        run(program, "verify", "--target", project / "build/libnorm.so", "--seconds", 0, "--cases", 100, "--property-cases", 1, "--seed", 1,
            "--json", result, env=environment, cwd=self.folder)
        checks = json.loads(result.read_text())["checks"]
        self.assertGreater(sum(check["group"] == "corpus" for check in checks), 50)
        run(program, "new-target", "mine", env=environment, cwd=self.folder)
        run(program, "identify", "--target", project / "build/libnorm.so", "--op", "rms_norm", "--dtype", "bf16", env=environment,
            cwd=self.folder)


if __name__ == "__main__":
    unittest.main()
