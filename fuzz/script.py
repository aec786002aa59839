"""What the measuring scripts share: arguments that are refused with their value (exit code 2), what cannot run (3), and a
fuzzer's run from an empty corpus."""
import argparse
import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile

# How a fuzzer ended, how many executions it made (None where it does not say), what it printed.
Run = collections.namedtuple("Run", "status executed log")
HERE = pathlib.Path(__file__).resolve().parent


def could_not_run(text):
    print(f"{pathlib.Path(sys.argv[0]).name}: {text}", file=sys.stderr)
    sys.exit(3)


def need(*files):
    for file in files:
        if not file.exists():
            could_not_run(f"{file} is not built")


def positive(text):
    """An argument that counts something."""
    if not re.fullmatch(r"0*[1-9][0-9]*", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive whole number")
    return int(text)


def expression(text):
    """An argument that says which names are meant."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a regular expression: {error}") from None


def hunt(build, harness, most, seed, environment, flags=()):
    """The harness, from an empty corpus with at most `most` executions: the run that died, None where it ended by itself. Only the caller knows what counts as a finding."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = os.path.join(folder, "corpus")
        os.mkdir(corpus)
        done = subprocess.run([HERE / "run.sh", build / "bin" / f"{harness}_fuzzer", f"-runs={most}", f"-seed={seed}",
                               "-rss_limit_mb=4096", "-timeout=60", "-print_final_stats=1", *flags, corpus],
                              cwd=folder, env=dict(os.environ, NORMPROOF_FINDINGS=folder, **environment),
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    log = done.stderr.decode(errors="replace")
    if done.returncode == 0:
        return None
    executed = re.findall(r"^stat::number_of_executed_units: +(\d+)", log, re.MULTILINE)
    return Run(done.returncode, int(executed[-1]) if executed else None, log)


def no_finding(what, run):
    """The run broke: neither a finding nor an end."""
    could_not_run(f"{what}: status {run.status} without a finding\n{run.log[-2000:]}")
