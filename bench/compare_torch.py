#!/usr/bin/env python3
"""RMSNorms of PyTorch and Liger beside these kernels, in one process: time and bits.

torch.compile of the native spec (default, max-autotune, and max-autotune with the results written in place), F.rms_norm,
Liger where it is installed, and the kernels through their C interface: bf16, CUDA-graph replays, medians; from 1024 tokens
on cold, through more buffers than the L2 cache holds. `copy` is a device-to-device copy that moves the operation's bytes,
half of them read. `agrees` is the share of elements that equal the native spec, computed step by step by eager PyTorch
with the row's inverse RMS in fp64 rounded to fp32.

Operations: rms (rms_norm), add (fused_add_rms_norm), rmsq and addq (the same to static fp8, e4m3fn). H = 128 stands for the
heads of q/k norm: 32 rows a token, rms only.

Usage: compare_torch.py LIBKERNELS_CUDA [--op rms,add] [--hidden 4096,...] [--tokens 1,...] [--seconds N] [--json FILE]
Exit status: 1 where a way failed, 2 for wrong arguments, 3 where nothing was measured.
"""
import argparse
import collections
import copy
import ctypes
import functools
import importlib.util
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time

try:
    import torch  # after multiprocessing: keys of the graph cache name modules by the order of imports, in the helpers too
    import torch.nn.functional as F
except ImportError as error:
    print(f"compare_torch: PyTorch is needed: {error}", file=sys.stderr)
    sys.exit(3)

DEVICE = "cuda"
BF16, FP8 = torch.bfloat16, torch.float8_e4m3fn
FP8_MAX = 448.0
DTYPES = {BF16: 2, FP8: 3}  # normproof_dtype
EPSILON = 1e-6
SCALE = 0.01  # a few elements in a hundred thousand saturate
HIDDEN = (128, 512, 1024, 2048, 4096, 5120, 7168, 8192, 16384)
TOKENS = (1, 16, 128, 512, 1024, 8192, 32768)
HEAD, HEADS = 128, 32
COLD_TOKENS = 1024
COLD_BYTES = 256 << 20  # of buffers that a graph goes through, several times the L2 cache
JOBS = 14
STALLED_SECONDS = 120  # without one function more, compiling ahead is given up

# function: of the C interface; tensors: its arguments in order; results: where it leaves them; held,
# moved: bytes per element that a set of its buffers takes and that a call reads and writes.
Operation = collections.namedtuple("Operation", "function tensors results held moved")
OPERATIONS = {
    "rms": Operation("rms_norm", ("out", "x", "weight"), ("out",), 4, 4),
    "add": Operation("fused_add_rms_norm", ("x", "residual", "weight"), ("x", "residual"), 4, 8),
    "rmsq": Operation("rms_norm_static_fp8_quant", ("out", "x", "weight", "scale"), ("out",), 3, 3),
    "addq": Operation("fused_add_rms_norm_static_fp8_quant", ("out", "x", "residual", "weight", "scale"),
                      ("out", "residual"), 5, 7),
}


class Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("dtype", ctypes.c_int32), ("rank", ctypes.c_int32),
                ("sizes", ctypes.c_int64 * 4), ("strides", ctypes.c_int64 * 4)]


class Message(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("capacity", ctypes.c_size_t)]


def describe(tensor):
    return Tensor(tensor.data_ptr(), DTYPES[tensor.dtype], tensor.dim(), (ctypes.c_int64 * 4)(*tensor.shape),
                  (ctypes.c_int64 * 4)(*tensor.stride()))


def current_stream():
    return torch.cuda.current_stream().cuda_stream


class Kernels:
    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        pointer = ctypes.c_void_p
        for op, operation in OPERATIONS.items():
            self.function(op).argtypes = [pointer] * len(operation.tensors) + [ctypes.c_float, pointer, pointer, pointer, Message]

    def function(self, op):
        return getattr(self.library, "normproof_" + OPERATIONS[op].function)

    def call(self, op):
        """A function of the operation's tensors."""
        function, names = self.function(op), OPERATIONS[op].tensors

        def call(*arguments):
            text = ctypes.create_string_buffer(512)
            status = function(*(tensor.data_ptr() if name == "scale" else ctypes.byref(describe(tensor))
                                for name, tensor in zip(names, arguments)), EPSILON, None, current_stream(), None,
                              Message(ctypes.cast(text, ctypes.c_char_p), 512))
            if status != 0:
                raise RuntimeError(text.value.decode())

        return call


def takes(op, tensor):
    return tensor in OPERATIONS[op].tensors


def native(x, weight):
    """The native-dtype spec as an engine would write it."""
    wide = x.float()
    variance = wide.pow(2).mean(dim=-1, keepdim=True)
    return (wide * torch.rsqrt(variance + EPSILON)).to(weight.dtype) * weight


def quantize(y, scale):
    return (y.float() * scale.reciprocal()).clamp(-FP8_MAX, FP8_MAX).to(FP8)


def native_add(x, residual, weight):
    total = x + residual
    return native(total, weight), total


def native_rmsq(x, weight, scale):
    return quantize(native(x, weight), scale)


def native_addq(x, residual, weight, scale):
    total = x + residual
    return quantize(native(total, weight), scale), total


def in_place_add(x, residual, weight):
    """PyTorch 2.11 makes one kernel of it, but for H > 1024 that kernel writes the sum to a buffer of its own as well."""
    total = x + residual
    residual.copy_(total)
    x.copy_(native(total, weight))


def in_place_addq(x, residual, weight, scale):
    total = x + residual
    residual.copy_(total)
    return quantize(native(total, weight), scale)


NATIVE = {"rms": native, "add": native_add, "rmsq": native_rmsq, "addq": native_addq}
IN_PLACE = {"add": in_place_add, "addq": in_place_addq}


def exact_native(op, buffers):
    """The operation's results: the norm and, where it adds, the sum."""
    total = buffers.x + buffers.residual if takes(op, "residual") else buffers.x
    inverse_rms = torch.rsqrt(total.double().pow(2).mean(dim=-1, keepdim=True) + EPSILON).float()
    norm = (total.float() * inverse_rms).to(buffers.weight.dtype) * buffers.weight
    if takes(op, "scale"):
        inverse_scale = (1 / buffers.scale.double()).float()
        norm = (norm.float() * inverse_scale).clamp(-FP8_MAX, FP8_MAX).to(FP8)
    return (norm, total) if takes(op, "residual") else (norm,)


def agreement(result, wanted):
    bits = torch.int16 if wanted.dtype == BF16 else torch.uint8
    return torch.count_nonzero(result.view(bits) == wanted.view(bits)).item() / wanted.numel()


class Buffers:
    """What one call works on. Sets share the weight and the scale."""

    def __init__(self, op, rows, hidden, weight, scale, copies):
        self.weight, self.scale = weight, scale
        self.x = torch.empty(rows, hidden, device=DEVICE, dtype=BF16)
        self.residual = torch.empty_like(self.x) if takes(op, "residual") else None
        self.out = torch.empty_like(self.x, dtype=FP8 if takes(op, "scale") else BF16) if takes(op, "out") else None
        if copies:
            half = (rows * hidden * OPERATIONS[op].moved + 1) // 2
            self.source = torch.empty(half, device=DEVICE, dtype=torch.uint8).random_()
            self.destination = torch.empty_like(self.source)
        self.fill()

    def fill(self):
        for tensor in (self.x, self.residual):
            if tensor is not None:
                tensor.normal_()

    def fresh(self):
        clone = copy.copy(self)
        for name in ("x", "residual", "out"):
            if getattr(self, name) is not None:
                setattr(clone, name, getattr(self, name).clone())
        return clone


def row_count(tokens, hidden):
    return tokens * HEADS if hidden == HEAD else tokens


def make_buffers(op, tokens, hidden, sets, copies):
    weight = (1 + 0.1 * torch.randn(hidden, device=DEVICE)).to(BF16)
    scale = torch.full((1,), SCALE, device=DEVICE)
    return [Buffers(op, row_count(tokens, hidden), hidden, weight, scale, copies) for _ in range(sets)]


def bind(function, inputs, outputs=()):
    """A call on a set of buffers that gives the operation's results: what the function returns, then `outputs`, those
    buffers that it leaves results in."""

    def call(buffers):
        returned = function(*(getattr(buffers, name) for name in inputs))
        returned = () if returned is None else returned if isinstance(returned, tuple) else (returned,)
        return returned + tuple(getattr(buffers, name) for name in outputs)

    return call


@functools.cache
def liger_ways():
    if importlib.util.find_spec("liger_kernel") is None:
        return {}
    try:
        from liger_kernel.ops import LigerFusedAddRMSNormFunction, LigerRMSNormFunction
    except Exception as error:  # a package that wants others must not end the run
        print(f"compare_torch: liger_kernel is left out: {first_line(error)}", file=sys.stderr)
        return {}

    def rms(x, weight):
        with torch.no_grad():
            return LigerRMSNormFunction.apply(x, weight, EPSILON, 0.0, "llama", False)

    def add(x, residual, weight):
        with torch.no_grad():
            return LigerFusedAddRMSNormFunction.apply(x, residual, weight, EPSILON, 0.0, "llama", False)

    return {"rms": rms, "add": add}


def compiled_ways(op):
    inputs = tuple(name for name in OPERATIONS[op].tensors if name != "out")
    tuned = {"dynamic": False, "mode": "max-autotune-no-cudagraphs"}
    ways = {
        "compile": bind(torch.compile(NATIVE[op], dynamic=False), inputs),
        "max-autotune": bind(torch.compile(NATIVE[op], **tuned), inputs),
    }
    if op in IN_PLACE:
        ways["max-autotune in place"] = bind(torch.compile(IN_PLACE[op], **tuned), inputs,
                                             ("x", "residual") if op == "add" else ("residual",))
    liger = liger_ways()
    if op in liger:
        ways["liger"] = bind(liger[op], inputs)
    return ways


def all_ways(op, kernels):
    operation = OPERATIONS[op]
    ways = {
        "copy": bind(torch.Tensor.copy_, ("destination", "source")),
        "normproof": bind(kernels.call(op), operation.tensors, operation.results),
    }
    if op == "rms":
        ways["F.rms_norm"] = bind(lambda x, weight: F.rms_norm(x, (x.shape[-1],), weight, EPSILON), ("x", "weight"))
    return ways | compiled_ways(op)


def graph_time(call, buffers):
    """Microseconds per call, the median of graph replays. Results that a call allocates are kept as long as the buffers of
    a set: given back at once, the next call would write into the same memory, which the L2 cache still holds."""
    sets = len(buffers)
    results = collections.deque(maxlen=sets)
    for one in buffers:
        results.append(call(one))
    torch.cuda.synchronize()
    launches = max(sets, 20 // sets * sets)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for launch in range(launches):
            results.append(call(buffers[launch % sets]))
    times = []
    for _ in range(11):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3 / launches)
    return statistics.median(times[2:])


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def configure_compiler():
    """The tuner's choice must not come from the cache: helpers that compile ahead time their candidates while others
    disturb them. Binaries come from Triton's cache alone, so that one that was cached is loaded as one just compiled is."""
    import torch._inductor.config as config
    config.autotune_local_cache = False
    config.bundle_triton_into_fx_graph_cache = False
    config.compile_threads = 1  # the helpers are the pool


def compile_one(task):
    """Fills the caches on disk by one call; the error's text, or None."""
    op, tokens, hidden, way = task
    try:
        torch._dynamo.reset()
        compiled_ways(op)[way](make_buffers(op, tokens, hidden, 1, copies=False)[0])
        if DEVICE == "cuda":
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
    except Exception as error:
        return f"{op} {tokens} x {hidden}, {way}: {first_line(error)}"


def first_line(error):
    return f"{type(error).__name__}: {error}".splitlines()[0]


def compile_ahead(grid, jobs, until):
    """Compiles every function of the grid in processes beside this one, which compiles itself what fails or is left out
    there."""
    ways = {op: list(compiled_ways(op)) for op in OPERATIONS}
    tasks = [(*row, way) for row in grid for way in ways[row[0]]]
    tasks.sort(key=lambda task: (task[3].startswith("max-autotune"), task[2]), reverse=True)  # long ones first
    jobs = min(jobs, len(tasks), max(1, len(os.sched_getaffinity(0)) - 1))
    begin, errors, done = time.monotonic(), [], 0
    with multiprocessing.get_context("spawn").Pool(jobs, configure_compiler) as pool:
        results = pool.imap_unordered(compile_one, tasks)
        while done < len(tasks):
            progress(f"compiled {done} / {len(tasks)}, {time.monotonic() - begin:.0f} s")
            try:
                error = results.next(timeout=max(0, min(STALLED_SECONDS, until - time.monotonic())))
            except multiprocessing.TimeoutError:
                print("compare_torch: compiling ahead takes too long and was stopped", file=sys.stderr)
                break
            done += 1
            if error:
                errors.append(error)
    progress("")
    for error in errors:
        print(f"compare_torch: compiling ahead: {error}", file=sys.stderr)
    print(f"compiled ahead: {done - len(errors)} of {len(tasks)} functions in {time.monotonic() - begin:.0f} s by {jobs} "
          "processes", flush=True)


def measure(op, tokens, hidden, kernels):
    """A row of figures. Each way is judged on copies of the same inputs, and timed on buffers filled anew: ways that work
    in place change them. No repetition reaches infinity: x becomes a normalized row or stays, so the sum grows linearly,
    and in bf16 no further than some hundred times x."""
    cold = tokens >= COLD_TOKENS
    rows = row_count(tokens, hidden)
    sets = max(2, COLD_BYTES // (rows * hidden * OPERATIONS[op].held) + 1) if cold else 1
    row = {"op": op, "tokens": tokens, "rows": rows, "hidden": hidden, "cold": cold, "sets": sets}
    torch._dynamo.reset()
    reference = make_buffers(op, tokens, hidden, 1, copies=False)[0]
    wanted = exact_native(op, reference)
    buffers = make_buffers(op, tokens, hidden, sets, copies=True)
    for name, call in all_ways(op, kernels).items():
        try:
            if name != "copy":
                results = call(reference.fresh())
                for suffix, result, right in zip((" agrees", " sum agrees"), results, wanted):
                    row[name + suffix] = agreement(result, right)
                del results
            for one in buffers:
                one.fill()
            row[name + " us"] = graph_time(call, buffers)
        except Exception as error:  # the other ways' figures are worth having
            row.setdefault("failed", {})[name] = first_line(error)
    return row


def shape_text(row):
    return f"{row['tokens']:>6} x {f'{HEADS} x {HEAD}' if row['hidden'] == HEAD else row['hidden']:<8}"


def row_text(row):
    def agrees(name):
        total = row.get(name + " sum agrees", 1)
        return f"{row[name + ' agrees']:.4%}" + (f", sum {total:.4%}" if total < 1 else "")

    figures = [key[:-len(" us")] for key in row if key.endswith(" us")]
    text = f"{row['op']:<4} {shape_text(row)} {'cold' if row['cold'] else 'hot ':<5} " + "  ".join(
        f"{name} {row[name + ' us']:8.2f}" + ("" if name == "copy" else f" ({agrees(name)})") for name in figures)
    for name, error in row.get("failed", {}).items():
        text += f"\nFAILED {row['op']} {shape_text(row).strip()}, {name}: {error}"
    return text


def is_fastest(row):
    times = [value for key, value in row.items() if key.endswith(" us") and key != "copy us"]
    return row.get("normproof us", math.inf) <= min(times, default=0)


def keeps_up(row):
    return row.get("normproof us", math.inf) <= 1.01 * row.get("max-autotune us", 0)


def print_summary(rows):
    for op in dict.fromkeys(row["op"] for row in rows):
        mine = [row for row in rows if row["op"] == op]
        print(f"{op}: {len(mine)} rows, normproof the fastest in {sum(map(is_fastest, mine))}, not slower than max-autotune "
              f"by more than 1 % in {sum(map(keeps_up, mine))}")
    for row in rows:
        if "normproof us" in row and "max-autotune us" in row and not keeps_up(row):
            in_place = row.get("max-autotune in place us")
            print(f"EXCEPTION {row['op']} {shape_text(row).strip()}: slower than max-autotune, {row['normproof us']:.2f} "
                  f"and {row['max-autotune us']:.2f} us" + (f" (in place {in_place:.2f})" if in_place else ""))
    print(f"{sum(map(keeps_up, rows))} of {len(rows)} rows: not slower than max-autotune by more than 1 %", flush=True)


def operation_list(text):
    for name in text.split(","):
        if name not in OPERATIONS:
            raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(OPERATIONS)}")
    return list(dict.fromkeys(text.split(",")))


def number_list(text):
    for number in text.split(","):
        if not (number.isascii() and number.isdigit() and 1 <= int(number) <= 1 << 24):
            raise argparse.ArgumentTypeError(f"'{number}' is no number from 1 to {1 << 24}")
    return list(dict.fromkeys(map(int, text.split(","))))


def job_count(text):
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"'{text}' is no number of processes")
    return int(text)


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is no time in seconds")
    return value


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("--op", type=operation_list, default=list(OPERATIONS), metavar="LIST", help="default: all four")
    parser.add_argument("--hidden", type=number_list, default=HIDDEN, metavar="LIST", help=f"default: {HIDDEN}")
    parser.add_argument("--tokens", type=number_list, default=TOKENS, metavar="LIST", help=f"default: {TOKENS}")
    parser.add_argument("--seconds", type=seconds, default=math.inf, metavar="N",
                        help="stop after the row in which this time is over; half of it at most goes to compiling ahead")
    parser.add_argument("--jobs", type=job_count, default=JOBS, metavar="N",
                        help=f"processes that compile ahead, 0 for none, at most one a core (default: {JOBS})")
    parser.add_argument("--json", metavar="FILE", help="written after every row")
    options = parser.parse_args(arguments)
    if not os.path.isfile(options.library):
        parser.error(f"{options.library}: no such library")
    options.grid = [(op, tokens, hidden) for op in options.op for tokens in options.tokens for hidden in options.hidden
                    if hidden != HEAD or op == "rms"]
    if not options.grid:
        parser.error(f"H = {HEAD} is measured for rms only")
    if options.json and (os.path.isdir(options.json) or not os.path.isdir(os.path.dirname(options.json) or ".")):
        parser.error(f"--json: {options.json} cannot be written")
    return options


def run(options, kernels, begin):
    torch.manual_seed(1)
    report = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "command": sys.argv, "rows": []}
    rows = report["rows"]
    print(f"{report['device']}, PyTorch {torch.__version__}, bf16, microseconds per call (share of elements that agree with "
          "the native spec)", flush=True)
    configure_compiler()
    if options.jobs:
        compile_ahead(options.grid, options.jobs, begin + options.seconds / 2)
    for op, tokens, hidden in options.grid:
        progress(f"row {len(rows) + 1} / {len(options.grid)}, {time.monotonic() - begin:.0f} s")
        row_begin = time.monotonic()
        rows.append(measure(op, tokens, hidden, kernels))
        rows[-1]["seconds"] = round(time.monotonic() - row_begin, 2)
        report["left_out"] = len(options.grid) - len(rows)
        progress("")
        print(row_text(rows[-1]), flush=True)
        if options.json:
            with open(options.json, "w") as file:
                json.dump(report, file, indent=1)
        if time.monotonic() - begin > options.seconds:
            break
    print_summary(rows)
    if report["left_out"]:
        print(f"{report['left_out']} of {len(options.grid)} rows left out: {options.seconds:g} seconds are over")
    if not any(key.endswith(" us") for row in rows for key in row):
        return 3
    return 1 if any("failed" in row for row in rows) else 0


def main(arguments=None):
    begin = time.monotonic()
    options = parse(arguments)
    if not torch.cuda.is_available():
        print("compare_torch: PyTorch sees no GPU", file=sys.stderr)
        return 3
    try:
        kernels = Kernels(os.path.abspath(options.library))
    except (OSError, AttributeError) as error:
        print(f"compare_torch: {options.library}: {error}", file=sys.stderr)
        return 2
    # The cache of compiled graphs does not tell by its key whether choices are cached, so graphs from elsewhere won't do.
    with tempfile.TemporaryDirectory(prefix="compare_torch_") as directory:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = directory
        os.environ["TRITON_CACHE_DIR"] = os.path.join(directory, "triton")
        return run(options, kernels, begin)


if __name__ == "__main__":
    sys.exit(main())
