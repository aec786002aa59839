#!/usr/bin/env python3
"""Lists what a CUDA toolkit declares for device code and what the stand-in headers here have.

    cuda_surface.py --toolkit /usr/local/cuda --compiler clang++-19 --source-pass build/bin/normproof-cuda-source-pass

For each header: how many functions, types and constructors' types it declares, how many are here, and each that is not,
with the reason that source_pass/unavailable.cpp gives. Exits with 1 if one is missing without a reason, with 77 if there
is no toolkit. Only names are taken from NVIDIA's headers; whether we have one, the compiler says.
"""
import argparse
import fnmatch
import pathlib
import re
import subprocess
import sys
import tempfile

HOST = pathlib.Path(__file__).resolve().parent

# The headers of the toolkit, and what a source includes here for each.
HEADERS = {
    "cuda_fp16.h": "cuda_fp16.h",
    "cuda_bf16.h": "cuda_bf16.h",
    "cuda_fp8.h": "cuda_fp8.h",
    "cuda_fp6.h": "cuda_fp6.h",
    "cuda_fp4.h": "cuda_fp4.h",
    "vector_types.h": "cuda_runtime.h",
    "vector_functions.h": "cuda_runtime.h",
    "crt/device_functions.h": "cuda_runtime.h",
    "crt/device_double_functions.h": "cuda_runtime.h",
    "crt/math_functions.h": "cuda_runtime.h",
    "device_atomic_functions.h": "cuda_runtime.h",
    "sm_20_atomic_functions.h": "cuda_runtime.h",
    "sm_20_intrinsics.h": "cuda_runtime.h",
    "sm_30_intrinsics.h": "cuda_runtime.h",
    "sm_32_atomic_functions.h": "cuda_runtime.h",
    "sm_32_intrinsics.h": "cuda_runtime.h",
    "sm_60_atomic_functions.h": "cuda_runtime.h",
    "sm_61_intrinsics.h": "cuda_runtime.h",
    "crt/sm_70_rt.h": "cuda_runtime.h",
    "crt/sm_80_rt.h": "cuda_runtime.h",
    "crt/sm_90_rt.h": "cuda_runtime.h",
    "crt/sm_100_rt.h": "cuda_runtime.h",
}

# What looks like a declaration there and is none that a source may use.
INTERNAL = """__cudaGetKernel __cudaLaunchKernel __cudaLaunchKernel_helper __cudaLaunchKernel_ptsz __cudaPushCallConfiguration
    __nv_associate_access_property* __nv_memcpy_async_shared_global* __NV_* __CUDA_* ___CUDA_* __HALF* __BFLOAT* __DEPRECATED__
    __WSB_* __func__ __attribute__ __declspec __align__ __has_* __is_trivially_copyable __builtin_* __GNUC_PREREQ __FLOAT_BITS
    __DOUBLE_BITS __internal_* __host_* __cmath_power __finite* __is[infa]* __libcpp_* __nv_aligned_device_malloc* __pow_helper
    __signbit* __x _* defined elif if message warning throw requires sizeof deprecated release ballot all any float
    syncthreads_and syncthreads_count syncthreads_or dadd dmul double2int double2ll double2uint double2ull dsub float2double
    int2double ll2double uint2double ull2double tag align alignas aligned asm bool char int long move return short x y z
    NV_IF_ELSE_TARGET __VECTOR_TYPE_DEPRECATED__ __cuda_builtin_vector_align8 __pragma __nv_atomic_* __type""".split()


def declared_names(text: str) -> set[str]:
    """Names in front of a parenthesis, and of structures, that are no local of a macro."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"//[^\n]*", "", text)
    names = set(re.findall(r"\b([A-Za-z_]\w*)\s*\(", text))
    names |= set(re.findall(r"\bstruct\s+(?:__(?:device_builtin|builtin_align|align|attribute|CUDA_ALIGN)\w*\s*(?:\([^()]*\))?\s+)*"
                            r"([A-Za-z_]\w*)", text))
    names |= set(re.findall(r"\btypedef\b[^;{}]*\b([A-Za-z_]\w*)\s*;", text))
    return {name for name in names if not is_internal(name)}


def is_internal(name: str) -> bool:
    """_* means one underscore alone: two are what device functions begin with."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in INTERNAL if pattern != "_*") or bool(re.match(r"_[^_]", name))


def absent(names: list[str], header: str, compiler: str) -> set[str]:
    """Those that neither a macro nor the global namespace has once `header` of ours is included."""
    lines = [f"#include <{header}>", "namespace normproof_surface {"]
    for name in names:
        lines += [f"#ifndef {name}", f"using ::{name};", "#endif"]
    lines += ["}", ""]
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "surface.cpp"
        source.write_text("\n".join(lines))
        unlimited = "-fmax-errors=0" if "clang" not in compiler_version(compiler) else "-ferror-limit=0"
        ran = subprocess.run([compiler, "-std=c++20", "-fsyntax-only", unlimited, "-D__CUDA_ARCH__=1000", "-isystem",
                              str(HOST / "cuda_headers"), "-I", str(HOST.parent.parent), str(source)],
                             capture_output=True, text=True)
    missing = {lines[int(number) - 1].removeprefix("using ::").rstrip(";")
               for number in re.findall(r"surface\.cpp:(\d+):\d+: error:", ran.stderr)}
    if ran.returncode != 0 and not missing:
        sys.exit(ran.stderr)
    return missing


def compiler_version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout


def reasons(source_pass: str) -> list[tuple[str, str]]:
    table = subprocess.run([source_pass, "--unavailable"], capture_output=True, text=True, check=True).stdout
    return [(pattern, why) for names, why in (line.split("\t") for line in table.splitlines()) for pattern in names.split()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toolkit", default="/usr/local/cuda")
    parser.add_argument("--compiler", default="clang++-19")
    parser.add_argument("--source-pass", required=True)
    options = parser.parse_args()
    include = pathlib.Path(options.toolkit) / "include"
    if not (include / "cuda_fp16.h").is_file():
        print(f"skipped: no CUDA toolkit in {options.toolkit}")
        return 77
    why = reasons(options.source_pass)
    unexplained = 0
    declared = {header: declared_names((include / header).read_text(errors="ignore"))
                for header in HEADERS if (include / header).is_file()}
    # Ours include one another: one compilation of all names for each.
    gone = {ours: absent(sorted(set().union(*(names for header, names in declared.items() if HEADERS[header] == ours))),
                         ours, options.compiler)
            for ours in dict.fromkeys(HEADERS[header] for header in declared)}
    for header in HEADERS:
        if header not in declared:
            print(f"{header}: not in this toolkit")
            continue
        names = declared[header]
        missing = names & gone[HEADERS[header]]
        print(f"{header}: {len(names) - len(missing)} of {len(names)}")
        for name in sorted(missing):
            reason = next((text for pattern, text in why if fnmatch.fnmatchcase(name, pattern)), None)
            unexplained += reason is None
            print(f"  {name}: {reason or 'MISSING WITHOUT A REASON'}")
    print(f"missing without a reason: {unexplained}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
