"""The wheel, installed into an environment that has nothing else of normproof, and used from an empty folder.

Usage: wheel_test.py --built BUILD_FOLDER SOURCE_FOLDER CXX_COMPILER    packs what is built there (python/reuse.cmake)
       wheel_test.py --wheel FILE SOURCE_FOLDER CXX_COMPILER            a wheel that `pip wheel` has compiled
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

KIND, SUBJECT, CLONE, COMPILER = (sys.argv.pop(1) for _ in range(4))
SUBJECT, CLONE = pathlib.Path(SUBJECT).absolute(), pathlib.Path(CLONE)
if KIND not in ("--built", "--wheel"):
    sys.exit(f"wheel_test.py: the first argument is --built or --wheel, not '{KIND}'")
SOURCE = """
#include <cuda_runtime.h>
__global__ void rms_norm_kernel(float* out, const float* input, const float* weight, float epsilon, int hidden_size) {
  const float* x = input + blockIdx.x * hidden_size;
  float sum = 0;
  for (int i = 0; i < hidden_size; ++i) sum += x[i] * x[i];
  __syncthreads();  // out may be input
  const float r = rsqrtf(sum / hidden_size + epsilon);
  for (int i = threadIdx.x; i < hidden_size; i += blockDim.x) out[blockIdx.x * hidden_size + i] = x[i] * r * weight[i];
}
void rms_norm(float* out, const float* input, const float* weight, float epsilon, int num_tokens, int hidden_size, cudaStream_t stream) {
  if (num_tokens > 0) rms_norm_kernel<<<num_tokens, 32, 0, stream>>>(out, input, weight, epsilon, hidden_size);
}
"""
# A program that finds the source tree would pass without what the wheel has to bring.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("NORMPROOF_", "PYTHON", "CMAKE_PREFIX"))}


def run(*command, status=0, **options):
    done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          **{"env": ENVIRONMENT, **options})
    if done.returncode != status:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout[-6000:]}")
    return done.stdout


class Wheel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        wheel = SUBJECT
        if KIND == "--built":
            run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check",
                "-C", f"build-dir={cls.folder / 'build'}", "-C", f"cmake.define.NORMPROOF_BUILT={SUBJECT}",
                "--wheel-dir", cls.folder, CLONE, cwd=cls.folder)
            wheel, = cls.folder.glob("normproof-*.whl")
        run(sys.executable, "-m", "venv", "--without-pip", cls.folder / "environment")
        cls.python = cls.folder / "environment/bin/python"
        cls.program = cls.folder / "environment/bin/normproof"
        run(sys.executable, "-m", "pip", "--python", cls.python, "install", "--quiet", "--no-deps", "--no-index",
            "--disable-pip-version-check", wheel)
        # numpy and ml_dtypes are those of the environment that runs this; normproof is not in it.
        packages = run(cls.python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))").strip()
        numpy_folder = run(sys.executable, "-c", "import numpy; print(numpy.__path__[0])").strip()
        pathlib.Path(packages, "numpy.pth").write_text(str(pathlib.Path(numpy_folder).parent) + "\n")
        cls.empty = cls.folder / "empty"
        cls.empty.mkdir()

    def in_python(self, code):
        return run(self.python, "-W", "error", "-c", f"import normproof; {code}", cwd=self.empty).strip()

    def build(self, source, *arguments):
        run("cmake", "-S", source, "-B", source / "build", f"-DCMAKE_CXX_COMPILER={COMPILER}", "-DCMAKE_BUILD_TYPE=Release",
            "-DCMAKE_CXX_FLAGS_RELEASE=-O1", *arguments)
        run("cmake", "--build", source / "build")

    def test_the_program_is_there_under_both_names(self):
        version = self.in_python("print(normproof.__version__)")
        self.assertRegex(version, r"^\d+\.\d+\.\d+$")
        self.assertIn(version, run(self.program, "--version", cwd=self.empty))
        self.assertEqual(run(self.program, "list", cwd=self.empty), run(self.python, "-m", "normproof", "list", cwd=self.empty))
        self.assertNotIn(str(CLONE), run(self.program, "verify", "--help", cwd=self.empty))
        # Exit codes are the program's.
        run(self.program, "check", cwd=self.empty, status=2)
        run(self.program, "check", "no-such-file.json", cwd=self.empty, status=3)

    @unittest.skipUnless(KIND == "--built", "there is no build folder to ask")
    def test_the_wheel_s_targets_build_all_that_is_laid_down(self):
        laid_down = {str(pathlib.Path(path).relative_to(SUBJECT)) for script in SUBJECT.rglob("cmake_install.cmake")
                     for path in re.findall(r'TYPE (?:EXECUTABLE|STATIC_LIBRARY|SHARED_LIBRARY) FILES "([^"]*)"', script.read_text())
                     if pathlib.Path(path).is_relative_to(SUBJECT) and "_cuda." not in path}
        self.assertGreater(len(laid_down), 5)
        built = run("ninja", "-C", SUBJECT, "-t", "inputs", "normproof", "python_core").splitlines()
        self.assertEqual(laid_down - {"bin/normproof", *built}, set())

    def test_folders_for_the_build_of_a_plug_in(self):
        include, cmake = self.in_python("print(normproof.include_dir()); print(normproof.cmake_dir())").splitlines()
        self.assertTrue(pathlib.Path(include, "normproof_plugin.h").is_file())
        self.assertTrue(pathlib.Path(cmake, "normproofConfig.cmake").is_file())
        self.assertEqual(run(self.python, "-m", "normproof", "--include-dir", cwd=self.empty).strip(), include)
        corpus = run(self.python, "-m", "normproof", "--corpus-dir", cwd=self.empty).strip()
        self.assertTrue(os.path.isfile(os.path.join(corpus, "seeds", "B16-hidden-1025.json")), corpus)
        self.assertEqual(run(self.program, "--cmake-dir", cwd=self.empty).strip(), cmake)

    def test_a_new_plug_in_is_judged_without_a_source_tree(self):
        written = run(self.program, "new-target", "mine", cwd=self.empty)
        self.build(self.empty / "mine")
        # The command that it printed, run as it stands. The program is not on the PATH.
        command = re.search(r"^  (\S+) verify --target", written, re.MULTILINE)[1]
        self.assertEqual(command, str(self.program))
        run(self.program, "verify", "--target", "mine/build/libmine.so", "--seconds", 0, "--cases", 100, "--property-cases", 1,
            "--seed", 1, "--json", "result.json", cwd=self.empty)
        checks = json.loads((self.empty / "result.json").read_text())["checks"]
        self.assertGreater(sum(check["group"] == "corpus" for check in checks), 50)

    def test_a_cuda_source_runs_on_the_cpu(self):
        # What --from writes finds the package of the wheel by itself.
        (self.empty / "norm.cu").write_text(SOURCE)
        run(self.program, "new-target", "hosted", "--from", "norm.cu", cwd=self.empty)
        self.build(self.empty / "hosted")
        run(self.program, "identify", "--target", "hosted/build/libhosted.so", "--op", "rms_norm", "--rows", 8, cwd=self.empty)

    def test_python_judges(self):
        said = self.in_python("case = next(normproof.cases('rms_norm')); out = case.run().out; print(bool(case.check(out)))")
        self.assertEqual(said, "True")

    @unittest.skipUnless(KIND == "--wheel", "a wheel of a development build links to the machine's libraries")
    def test_a_compiled_wheel_needs_neither_boost_nor_fmt(self):
        packages = pathlib.Path(self.in_python("print(normproof.__path__[0])"))
        files = [*packages.glob("_installed/bin/*"), *packages.glob("_core*.so")]
        self.assertGreaterEqual(len(files), 4)
        for file in files:
            self.assertNotRegex(run("ldd", file), r"libboost|libfmt|not found", file)


if __name__ == "__main__":
    unittest.main()
