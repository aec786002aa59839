"""Which arithmetic does a norm kernel really compute? Judges RMSNorm outputs bit for bit, without a tolerance.

The operations are ``rms_norm``, ``fused_add_rms_norm``, ``rms_norm_static_fp8_quant`` and
``fused_add_rms_norm_static_fp8_quant``; ``check``, ``identify`` and ``assert_conforms`` take ``JUDGED_OPERATIONS``, too: LayerNorm,
gradients, q/k norm with rotary embedding. Tensors come from any framework: numpy (with ml_dtypes), torch, jax, whatever
speaks DLPack or the buffer protocol; those on a device are copied.

    check     judge outputs: does one inverse RMS explain every bit of a row?
    identify  which rounding policy do outputs follow?
    explain   every rounding step behind one element
    expected  what the contract, or another policy, says
    run       our kernels, on the CPU
    bound     the largest difference of two conforming kernels
    beside    of a fused kernel's codes, which may legally differ from the unfused computation's
    intervals for given inputs, between which numbers each output lies
    order     in which order a function adds the squares of a row, with a certificate
    cases     inputs that break norm kernels
    watch     a model's norms while it runs: whose arithmetic is each? With a dump for
    compare   which norm computes otherwise in one dump than in another, although its inputs agree, and why
    normproof.testing.tolerance         rtol and atol that never reject a conforming kernel
    normproof.testing.assert_conforms   a property test of a function
    normproof.promises                  batch invariance, determinism, the same bits in all layouts, of two functions

``python -m normproof`` is the program; ``include_dir`` and ``cmake_dir`` say where a plug-in's build finds normproof, ``corpus_dir`` where the stored cases are.
"""
from normproof._beside import Beside, BesideSide, CodeBeside, ScaleBeside, beside
from normproof._bound import Bound, NoBoundError, PairBound, bound, intervals
from normproof._core import __version__
from normproof._cases import Case, cases, read_case
from normproof._functions import check, expected, explain, identify, policies, run, write_dump
from normproof._judged import JUDGED_OPERATIONS
from normproof._model import ComparedNorm, ModelComparison, Watched, WatchedNorm, compare
from normproof._order import KINDS as ORDER_KINDS, Order, order
from normproof._program import cmake_dir, corpus_dir, include_dir
from normproof._results import (Certificate, CertificateElement, CheckResult, Explanation, Identification, LoosePolicy,
                                Mismatch, NamedPolicy, Outputs, RowGroup, ViolationError)
from normproof._takes import NotTakenError, Takes
from normproof._tensors import DTYPES, OPERATIONS, from_bits
from normproof._watch import watch

__all__ = [
    "Beside", "BesideSide", "Bound", "Case", "Certificate", "CertificateElement", "CheckResult", "CodeBeside", "ComparedNorm", "DTYPES", "Explanation", "Identification",
    "JUDGED_OPERATIONS", "LoosePolicy", "Mismatch", "ModelComparison", "NamedPolicy", "NoBoundError", "NotTakenError", "OPERATIONS",
    "ORDER_KINDS", "Order", "Outputs", "PairBound", "RowGroup", "ScaleBeside", "Takes", "ViolationError", "Watched", "WatchedNorm",
    "__version__", "beside", "bound", "cases", "check", "cmake_dir", "compare", "corpus_dir", "expected", "explain", "from_bits", "identify", "include_dir", "intervals",
    "order", "policies", "read_case", "run", "watch", "write_dump",
]
