#include "fuzz/campaign/repro_script.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <vector>

#include "corpus/generate.h"
#include "corpus/quoting.h"

namespace normproof::campaign {
namespace {

// A Python list of the elements' bits.
std::string list_of(const std::vector<std::byte>& bytes, DType dtype) {
  std::string text = "[";
  const auto count = static_cast<std::int64_t>(bytes.size() / size_of(dtype));
  for (std::int64_t i = 0; i < count; ++i) {
    text += fmt::format("{}0x{:0{}x}",
                        i == 0       ? ""
                        : i % 8 == 0 ? ",\n    "
                                     : ", ",
                        load_bits(bytes, dtype, i), 2 * size_of(dtype));
  }
  return text + "]";
}

std::string quoted(const std::optional<DType>& dtype) {
  return dtype ? fmt::format("\"{}\"", name_of(*dtype)) : "None";
}

// Rounding is done on exact fractions; only NaN, infinities and signed zeros go
// through numpy's own float arithmetic.
constexpr std::string_view kArithmetic = R"PY(
# name: (bits, mantissa bits, exponent bias, has infinity)
FORMATS = {
    "fp32": (32, 23, 127, True), "fp16": (16, 10, 15, True), "bf16": (16, 7, 127, True),
    "fp8_e4m3fn": (8, 3, 7, False), "fp8_e5m2": (8, 2, 15, True),
    "fp8_e4m3fnuz": (8, 3, 8, False), "fp8_e5m2fnuz": (8, 2, 16, False),
    "int8": (8, 0, 0, False),  # integers, which decode() and round_bits() know
}
MAXIMUM = {"fp8_e4m3fn": 448, "fp8_e5m2": 57344, "fp8_e4m3fnuz": 240, "fp8_e5m2fnuz": 57344, "int8": 127}


def decode(bits, name):
    """Bits to a number: float64 holds every number of these formats."""
    width, mantissa, bias, infinity = FORMATS[name]
    if name == "int8":
        return float(bits - 256 if bits & 0x80 else bits)
    sign = -1.0 if bits >> (width - 1) else 1.0
    magnitude = bits & ((1 << (width - 1)) - 1)
    exponent, fraction = magnitude >> mantissa, magnitude & ((1 << mantissa) - 1)
    top = (1 << (width - 1 - mantissa)) - 1
    if name.endswith("fnuz"):
        if bits == 0x80:
            return np.nan
    elif infinity and exponent == top:
        return np.nan if fraction else sign * np.inf
    elif name == "fp8_e4m3fn" and magnitude == 0x7F:
        return np.nan
    if exponent == 0:
        return sign * float(np.ldexp(float(fraction), 1 - bias - mantissa))
    return sign * float(np.ldexp(float(fraction + (1 << mantissa)), exponent - bias - mantissa))


def round_bits(value, name, negative_zero=False):
    """A Fraction, or a float that is NaN, infinite or zero, to bits: round to nearest, ties to even."""
    width, mantissa, bias, infinity = FORMATS[name]
    if name == "int8":
        return 0 if np.isnan(float(value)) else round(max(-128, min(127, value))) & 0xFF
    top = ((1 << (width - 1 - mantissa)) - 1) << mantissa
    sign_bit = 1 << (width - 1)
    has_negative_zero = not name.endswith("fnuz")
    if isinstance(value, float):
        if np.isnan(value):
            return 0x80 if name.endswith("fnuz") else 0x7F if name == "fp8_e4m3fn" else top | 1 << (mantissa - 1)
        if np.isinf(value):
            return top | (sign_bit if value < 0 else 0)
        negative_zero = np.signbit(value)
    if value == 0:
        return sign_bit if negative_zero and has_negative_zero else 0
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < Fraction(2) ** exponent:
        exponent -= 1
    exponent = max(exponent, 1 - bias)
    quantum = Fraction(2) ** (exponent - mantissa)
    steps = magnitude / quantum
    whole = steps.numerator // steps.denominator
    rest = steps - whole
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1):
        whole += 1
    bits = whole + ((exponent + bias - 1) << mantissa)  # a carry moves into the exponent by itself
    if infinity and bits > top:
        bits = top
    return bits | (sign_bit if value < 0 and (bits or has_negative_zero) else 0)


def special(*values):
    return any(not np.isfinite(v) or v == 0 for v in values)


def fl(name, operation, *values):
    """One correctly rounded operation on float64 values that are numbers of the formats: the result, decoded again."""
    with np.errstate(all="ignore"):
        plain = float(operation(*[np.float64(v) for v in values]))
    if any(not np.isfinite(v) for v in values) or (plain == 0 and special(*values)) or not np.isfinite(plain) and (
            operation is DIVIDE and values[1] == 0):
        return decode(round_bits(plain, name), name)
    exact = operation(*[Fraction(v) for v in values])
    return decode(round_bits(exact, name, negative_zero=bool(np.signbit(plain))), name)


ADD = lambda a, b: a + b
MULTIPLY = lambda a, b: a * b
DIVIDE = lambda a, b: a / b
SQUARE_AND_ADD = lambda a, b: a * a + b


def sum_of_squares(values):
    """The contract's order: chunks of 16 bytes to 1024 lanes in turn, fma in a lane, then a fixed tree, bit 4 first."""
    per_chunk = 128 // FORMATS[DTYPE][0]
    lanes = [0.0] * 1024
    for j, value in enumerate(values):
        lane = j // per_chunk % 1024
        lanes[lane] = fl("fp32", SQUARE_AND_ADD, value, lanes[lane])

    def tree(row):
        while len(row) > 1:
            half = len(row) // 2
            row = [fl("fp32", ADD, row[i], row[i + half]) for i in range(half)]
        return row[0]

    return tree([tree(lanes[group:group + 32]) for group in range(0, 1024, 32)])


def inverse_root(m):
    if np.isnan(m) or m < 0:
        return np.nan
    if m == 0:
        return float(np.copysign(np.inf, m))
    if np.isinf(m):
        return 0.0
    # 80 bits of the root of the exact reciprocal, with a sticky bit.
    scaled = (1 / Fraction(m)) * Fraction(4) ** 160
    root = isqrt(scaled.numerator // scaled.denominator)
    return decode(round_bits(Fraction(2 * root + 1, 2) / Fraction(2) ** 160, "fp32"), "fp32")


def norm_row(x, residual):
    s = x if residual is None else [fl(DTYPE, ADD, a, b) for a, b in zip(x, residual)]
    mean = fl("fp32", DIVIDE, sum_of_squares(s), float(len(s)))
    r = inverse_root(fl("fp32", ADD, mean, decode(EPSILON, "fp32")))
    weight_format = WEIGHT_DTYPE or DTYPE
    values = []
    for j, value in enumerate(s):
        y = fl("fp32", MULTIPLY, value, r)
        if WEIGHT_DTYPE:
            n = fl(weight_format, MULTIPLY, y, 1.0)
            y = fl(weight_format, MULTIPLY, n, decode(WEIGHT[j], WEIGHT_DTYPE))
        values.append(fl(DTYPE, MULTIPLY, y, 1.0))
    scale = row_scale(values) if SCALE is None else decode(SCALE, "fp32")
    out = bits_of(quantized(values, scale), QUANTIZED_DTYPE) if QUANTIZED_DTYPE else bits_of(values, DTYPE)
    return (out, None if residual is None else bits_of(s, DTYPE),
            bits_of([scale], "fp32") if SCALE is None else None)


def bits_of(values, name):
    return [round_bits(v if special(v) else Fraction(v), name) for v in values]


def row_scale(values):
    """Of the row's largest magnitude."""
    maximum = 0.0
    for y in values:
        if np.isnan(y):
            maximum = y
            break
        maximum = max(maximum, abs(y))
    maximum = min(maximum, decode(SCALE_UB, "fp32")) if maximum == maximum else maximum
    largest = float(MAXIMUM[QUANTIZED_DTYPE])
    scale = fl("fp32", DIVIDE, maximum, largest)
    least = 2.0**-23 if QUANTIZED_DTYPE == "int8" else fl("fp32", DIVIDE, 1.0, 512 * largest)
    return least if scale < least else scale


def quantized(values, scale):
    inverse = fl("fp32", DIVIDE, 1.0, scale)
    largest = float(MAXIMUM[QUANTIZED_DTYPE])
    lowest = -128.0 if QUANTIZED_DTYPE == "int8" else -largest
    result = []
    for y in values:
        y = fl("fp32", MULTIPLY, y, inverse)
        result.append(largest if y > largest else lowest if y < lowest else y)
    return result


def same(a, b, name):
    return a == b or (np.isnan(decode(a, name)) and np.isnan(decode(b, name)))


def main():
    rows = len(INPUT) // HIDDEN
    differing = 0
    for row in range(rows):
        span = slice(row * HIDDEN, (row + 1) * HIDDEN)
        residual = [decode(b, DTYPE) for b in RESIDUAL[span]] if RESIDUAL else None
        outputs = norm_row([decode(b, DTYPE) for b in INPUT[span]], residual)
        for name, computed, wanted, got, dtype in (
                ("out", outputs[0], WANTED_OUT, GOT_OUT, QUANTIZED_DTYPE or DTYPE),
                ("residual_out", outputs[1], WANTED_RESIDUAL_OUT, GOT_RESIDUAL_OUT, DTYPE),
                ("scales", outputs[2], WANTED_SCALES, GOT_SCALES, "fp32")):
            for j in range(len(computed or ())):
                index = row * len(computed) + j
                assert same(computed[j], wanted[index], dtype), f"this script and the oracle differ at {name}[{row}, {j}]"
                if same(computed[j], got[index], dtype):
                    continue
                differing += 1
                digits = FORMATS[dtype][0] // 4
                print(f"{name}[row {row}, column {j}]: {TARGET} gave {decode(got[index], dtype)!r}"
                      f" (0x{got[index]:0{digits}x}), the contract says {decode(computed[j], dtype)!r}"
                      f" (0x{computed[j]:0{digits}x})")
    print(f"{differing} of {len(GOT_OUT) + len(GOT_RESIDUAL_OUT) + len(GOT_SCALES)} output elements differ")
    return 1 if differing else 0


sys.exit(main())
)PY";

}  // namespace

std::string repro_script(const Case& test_case, const Outputs& got, const Outputs& wanted,
                         const std::string& target) {
  const CaseTensors tensors = materialize(test_case);
  const DType weight = test_case.weight_dtype.value_or(test_case.dtype);
  std::string text = fmt::format(
      "#!/usr/bin/env python3\n"
      "\"\"\"{}: computes what the contract demands, in exact fractions, and shows what "
      "differs.\n\n"
      "Needs numpy alone. Exit status 1: some element differs.\n\"\"\"\n"
      "import sys\nfrom fractions import Fraction\nfrom math import isqrt\n\nimport numpy as np\n\n",
      name_of(test_case.operation));
  text += fmt::format("TARGET = {}\nDTYPE = \"{}\"\nWEIGHT_DTYPE = {}\nQUANTIZED_DTYPE = {}\nHIDDEN = {}\n",
                      python_quoted(target), name_of(test_case.dtype), quoted(test_case.weight_dtype),
                      quoted(test_case.quantized_dtype), test_case.hidden_size());
  text += fmt::format("EPSILON = 0x{:08x}  # bits\n", test_case.bits_of(Parameter::epsilon));
  text += quantizes_by_row(test_case.operation)
              ? fmt::format("SCALE = None  # each row's own\nSCALE_UB = 0x{:08x}\n",
                            test_case.bits_of(Parameter::scale_ub))
              : fmt::format("SCALE = 0x{:08x}\n", test_case.bits_of(Parameter::scale));
  const auto list = [&](const char* name, const std::vector<std::byte>& bytes, DType dtype) {
    text += fmt::format("{} = {}\n", name, list_of(bytes, dtype));
  };
  list("INPUT", tensors[Role::input], test_case.dtype);
  list("RESIDUAL", tensors[Role::residual], test_case.dtype);
  list("WEIGHT", tensors[Role::weight], weight);
  list("GOT_OUT", got[Role::out], test_case.output_dtype());
  list("GOT_RESIDUAL_OUT", got[Role::residual_out], test_case.dtype);
  list("WANTED_OUT", wanted[Role::out], test_case.output_dtype());
  list("WANTED_RESIDUAL_OUT", wanted[Role::residual_out], test_case.dtype);
  list("GOT_SCALES", got[Role::scales], DType::fp32);
  list("WANTED_SCALES", wanted[Role::scales], DType::fp32);
  return text + "\n" + std::string(kArithmetic);
}

}  // namespace normproof::campaign
