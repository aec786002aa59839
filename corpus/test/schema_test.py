"""Holds case.schema.json against the reader: both must accept and refuse the same documents.

Usage: schema_test.py READ_CASE CORPUS_FOLDER, where READ_CASE is the program built from read_case.cpp.

Every stored case must be accepted by both. Then valid documents are damaged: every value replaced by values of
other kinds, every key left out, unknown keys and keys of other documents added, and pairs of such damages drawn at
random. A place that several documents have gets each value in one of them, in turn. What the schema refuses, the reader must refuse. What the schema accepts, the reader may refuse only for a
reason in NOT_IN_SCHEMA.
"""

import copy
import functools
import json
import pathlib
import random
import re
import subprocess
import sys

import jsonschema

# Rules that a JSON Schema cannot state, by the reader's message.
NOT_IN_SCHEMA = [
    r"\.(bits|values)(\[\d+\])?: (an array of \d+ rows|\d+ elements with one space between them), got ",
    r"\.values\[\d+\]: element \d+: a number that (fp32|fp16|bf16) has, got ",
    r"\.strides\[\d\]: (rows overlap|the tensor's extent)",
    r"\$\.shape: at most \d+ elements",
]

RANDOM_PAIRS = 3000

ONE_ROW = {"bits": ["3f80 4000 c040"]}
ONE_ROW_FP32 = {"bits": ["3f800000 40000000 7fc00001"]}
RECIPE = {"recipe": {"class": "normal", "seed": 18446744073709551615}}

VALID = [
    {"normproof_case": 1, "operation": "rms_norm", "dtype": "bf16", "shape": [1, 3], "epsilon": 1e-6,
     "input": ONE_ROW},
    {"normproof_case": 1, "name": "a-b_c.d+e", "description": "text", "operation": "rms_norm", "dtype": "fp16",
     "weight_dtype": "fp32", "shape": [1, 2, 1, 3],
     "layout": {"input": {"strides": [9, 3, 3], "offset": 127}, "weight": {"offset": 1}, "in_place": True},
     "epsilon": 0, "input": {"bits": ["3c00 7e00 0001", "0000 8000 ffff"]}, "weight": ONE_ROW_FP32,
     "schedule": {"order": "random", "seed": 3}, "launch": {"path": "scalar", "threads_per_block": 96},
     "demand": {"policy": "weight=fp32", "judge": "canonical"},
     "outputs": {"out": {"bits": ["3c00 7e00 0001", "0000 8000 ffff"]}}},
    {"normproof_case": 1, "operation": "rms_norm", "dtype": "fp32", "shape": [2, 0, 3], "epsilon": -1,
     "layout": {"output": {"strides": [6, 3]}, "in_place": False}, "outputs": {"out": {"bits": []}},
     "schedule": {"order": "reverse", "seed": 0}},
    {"normproof_case": 1, "operation": "rms_norm", "dtype": "bf16", "weight_dtype": "bf16", "shape": [2, 3],
     "epsilon": 1e-5, "input": {"values": ["1.5 -0 nan", "inf -inf 2.5E-1"]}, "weight": {"values": ["1 1e+1 0.0e0"]}},
    {"normproof_case": 1, "operation": "fused_add_rms_norm", "dtype": "fp32", "weight_dtype": "fp32",
     "shape": [1, 3], "epsilon": "0x7FC00000", "layout": {"input": {"strides": [2147483648]}},
     "input": ONE_ROW_FP32, "residual": RECIPE, "weight": RECIPE,
     "outputs": {"out": ONE_ROW_FP32, "residual_out": ONE_ROW_FP32}},
    {"normproof_case": 1, "operation": "rms_norm_static_fp8_quant", "dtype": "bf16", "weight_dtype": "bf16",
     "quantized_dtype": "fp8_e4m3fnuz", "shape": [1, 3], "epsilon": 1e-45, "scale": 0.03,
     "layout": {"input": {}, "output": {"offset": 3}}, "input": RECIPE, "weight": ONE_ROW,
     "outputs": {"out": {"bits": ["3c 80 FF"]}}},
    {"normproof_case": 1, "operation": "fused_add_rms_norm", "dtype": "bf16", "weight_dtype": "fp32",
     "output_dtype": "fp32", "residual_dtype": "fp32", "shape": [1, 3], "epsilon": 1e-6, "input": ONE_ROW,
     "residual": ONE_ROW_FP32, "weight": ONE_ROW_FP32, "outputs": {"out": ONE_ROW_FP32, "residual_out": ONE_ROW_FP32}},
    {"normproof_case": 1, "operation": "rms_norm_dynamic_quant", "dtype": "bf16", "weight_dtype": "bf16",
     "quantized_dtype": "fp8_e4m3fn", "shape": [2, 3], "epsilon": 1e-6, "layout": {"scales": {"offset": 5}},
     "input": {"bits": ["3f80 4000 c040", "0000 8000 7fc0"]}, "weight": ONE_ROW,
     "outputs": {"out": {"bits": ["3c 80 FF", "00 00 00"]}, "scales": {"bits": ["3f800000", "7fc00000"]}}},
    {"normproof_case": 1, "operation": "fused_add_rms_norm_dynamic_quant", "dtype": "fp16",
     "quantized_dtype": "fp8_e5m2", "shape": [1, 3], "epsilon": 0, "input": RECIPE, "residual": RECIPE,
     "outputs": {"out": {"bits": ["3c 80 FF"]}, "scales": {"bits": ["00000000"]},
                 "residual_out": {"bits": ["3c00 7e00 0001"]}}},
    {"normproof_case": 1, "operation": "rms_norm_dynamic_quant", "dtype": "bf16", "quantized_dtype": "int8",
     "scale_ub": 1.5, "shape": [1, 3], "epsilon": 0, "input": ONE_ROW,
     "outputs": {"out": {"bits": ["7f 80 00"]}, "scales": {"bits": ["3c000000"]}}},
    {"normproof_case": 1, "operation": "fused_add_rms_norm_dynamic_quant", "dtype": "bf16",
     "quantized_dtype": "fp8_e4m3fn", "scale_ub": "0x7F800000", "shape": [1, 3], "epsilon": 0, "input": ONE_ROW,
     "residual": RECIPE, "outputs": {"out": {"bits": ["7e 80 00"]}, "scales": {"bits": ["3c000000"]},
                                     "residual_out": ONE_ROW}},
    {"normproof_case": 1, "operation": "fused_add_rms_norm_static_fp8_quant", "dtype": "fp16",
     "quantized_dtype": "fp8_e5m2", "shape": [0, 3], "epsilon": 3.4e38, "scale": "0x00000000",
     "layout": {"residual": {"offset": 1}, "output": {"strides": [3]}}, "input": {"bits": []},
     "outputs": {"out": {"bits": []}, "residual_out": {"bits": []}},
     "launch": {"path": "automatic", "threads_per_block": 0}, "schedule": {}},
]

REPLACEMENTS = [
    None, True, False, 0, 1, 3, -1, 7, 48, 96, 127, 128, 1024, 1056, 1048577, 2**63, 2**64, 1.5, 1e39, -1e39, 1e-50,
    "", "x", "a b", "x" * 129, "x" * 4097, "random", "scalar", "ones", "gaussian", "bf16", "fp16", "fp32", "fp8_e4m3fn", "int8",
    "0x00000000", "0x7f800000", "0x7f800001", "0x80000001", "0xbf800000", "0x00000001",
    "rms_norm", "fused_add_rms_norm", "rms_norm_static_fp8_quant",
    "0x3f80000", "0x3f800000", "3f80", "3f80 3f80 3f80", "3f80  3f80", "3f80 ",
    [], [0], [1], [3], [1, 3], [0, 3], [1, 0], [1, 1, 3], [2, 2, 2, 2, 2],
    ["3f80 4000 4040"], ["3f800000 40000000 40400000"], ["3c 3d 3e"],
    {}, {"bits": []}, {"bits": ["3f80 4000 4040"]}, {"bits": [1]}, RECIPE,
    {"values": ["1 -2.5 3e0"]}, {"values": ["1 2 0.1"]}, {"values": ["1 2 03"]}, {"values": ["1 2 .5"]},
    {"values": ["1 2 -nan"]}, {"values": ["1 2 +3"]}, {"values": ["1  2"]}, {"values": []}, {"values": [1]},
    {"strides": [3]}, {"strides": [2]}, {"offset": 0}, {"offset": 1}, {"seed": 1}, {"unknown": 1},
]


def containers(value, path=()):
    """Paths of all objects and arrays in `value`."""
    if isinstance(value, (dict, list)):
        yield path
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from containers(value[key], path + (key,))


def follow(document, path):
    for key in path:
        document = document[key]
    return document


def remove(document, path, key):
    follow(document, path).pop(key)


def put(document, path, key, value):
    follow(document, path)[key] = copy.deepcopy(value)


def places(document):
    """(path, key) of all that `document` holds."""
    for path in containers(document):
        container = follow(document, path)
        for key in list(container) if isinstance(container, dict) else range(len(container)):
            yield path, key


def holders():
    """For each place the documents that have it, by number."""
    found = {}
    for number, document in enumerate(VALID):
        for place in places(document):
            found.setdefault(place, []).append(number)
    return found


def damages(document):
    """Functions that damage a document like `document` in one place, each with the place and the value's number."""
    for path, key in places(document):
        yield functools.partial(remove, path=path, key=key), (path, key), None
        for number, value in enumerate(REPLACEMENTS):
            yield functools.partial(put, path=path, key=key, value=value), (path, key), number
    for path in containers(document):
        if not isinstance(follow(document, path), dict):
            continue
        yield functools.partial(put, path=path, key="unknown", value=1), path, None
        for other in VALID:
            try:
                sibling = follow(other, path)
            except (KeyError, IndexError):
                continue
            for key in sibling if isinstance(sibling, dict) else []:
                if key not in follow(document, path):
                    yield functools.partial(put, path=path, key=key, value=sibling[key]), path, None


def damaged_documents():
    draw, held = random.Random(1), holders()
    for index, document in enumerate(VALID):
        yield document
        all_damages = list(damages(document))
        for damage, place, number in all_damages:
            if number is not None and held[place][number % len(held[place])] != index:
                continue
            changed = copy.deepcopy(document)
            damage(changed)
            yield changed
        for _ in range(RANDOM_PAIRS // len(VALID)):
            changed = copy.deepcopy(document)
            try:
                for damage, _, _ in draw.sample(all_damages, 2):
                    damage(changed)
            except (KeyError, IndexError, TypeError, AttributeError):
                continue  # the first damage took away the place of the second
            yield changed


def main():
    read_case, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    schema = json.loads((folder / "case.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    stored = sorted(folder.glob("seeds/**/*.json")) + sorted(folder.glob("models/**/*.json"))
    documents = [json.loads(path.read_text()) for path in stored]
    names = [str(path) for path in stored]
    for document in damaged_documents():
        text = json.dumps(document)
        documents.append(json.loads(text))
        names.append(text)

    lines = "".join(json.dumps(document) + "\n" for document in documents)
    run = subprocess.run([read_case], input=lines, capture_output=True, text=True, check=False)
    answers = run.stdout.splitlines()
    if run.returncode != 2 or len(answers) != len(documents):
        sys.exit(f"{read_case}: status {run.returncode}, {len(answers)} answers to {len(documents)} documents")

    faults, accepted, excused = [], 0, 0
    for index, (name, document, answer) in enumerate(zip(names, documents, answers)):
        by_schema = validator.is_valid(document)
        by_reader = answer == "accepted"
        accepted += by_schema and by_reader
        if index < len(stored) and not (by_schema and by_reader):
            faults.append(f"{name}: schema {by_schema}, reader: {answer}")
        elif by_schema and not by_reader and any(re.search(rule, answer) for rule in NOT_IN_SCHEMA):
            excused += 1
        elif by_schema != by_reader:
            faults.append(f"schema {'accepts' if by_schema else 'refuses'}, reader: {answer}\n    {name}")
    print(f"{len(stored)} stored cases, {len(documents) - len(stored)} other documents: {accepted} accepted by both, "
          f"{excused} refused by the reader alone for reasons that a schema cannot state, {len(faults)} disagreements")
    for fault in faults[:20]:
        print("  " + fault)
    if not stored or accepted < len(stored) + len(VALID) or excused == 0:
        sys.exit("too few documents were tried")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
