// The JSON form: reading back what was written, and refusing everything else with path, reason and value.
#include "corpus/case_json.h"

#include <gtest/gtest.h>

#include <random>

#include "corpus/limits.h"
#include "corpus/test/example_cases.h"

namespace normproof {
namespace {

// `text` with its one occurrence of `from` replaced.
std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t position = text.find(from);
  EXPECT_NE(position, std::string::npos) << from;
  EXPECT_EQ(text.find(from, position + 1), std::string::npos) << from;
  return text.replace(position, from.size(), to);
}

std::string error_of(std::string_view text) {
  try {
    case_from_json(text);
  } catch (const CaseError& error) {
    EXPECT_EQ(error.what(), error.path() + ": " + error.reason());
    return error.what();
  }
  return "accepted";
}

constexpr std::string_view kExample = R"({
  "normproof_case": 1,
  "name": "example",
  "description": "All keys \"of\" the format, äöü",
  "operation": "fused_add_rms_norm_static_fp8_quant",
  "dtype": "bf16",
  "weight_dtype": "fp32",
  "quantized_dtype": "fp8_e5m2",
  "shape": [2, 3],
  "layout": {
    "input": {"strides": [8], "offset": 1},
    "residual": {"offset": 2},
    "output": {"strides": [2147483648]},
    "weight": {"offset": 3}
  },
  "epsilon": 1e-06,
  "scale": "0x7fc00000",
  "input": {"bits": [
    "3f80 3f84 0001",
    "7fc0 ff80 8000"
  ]},
  "residual": {"recipe": {"class": "normal", "seed": 18446744073709551615}},
  "weight": {"bits": [
    "3f800000 3fa10000 deadbeef"
  ]},
  "schedule": {"order": "random", "seed": 3},
  "launch": {"path": "vectorized", "threads_per_block": 64},
  "outputs": {
    "out": {"bits": [
      "3c 3d 3e",
      "7f ff 80"
    ]},
    "residual_out": {"bits": [
      "0000 0001 0002",
      "0003 0004 0005"
    ]}
  }
}
)";

constexpr std::string_view kMinimal = R"({
  "normproof_case": 1,
  "operation": "rms_norm",
  "dtype": "fp16",
  "shape": [1, 2],
  "epsilon": 0,
  "input": {"bits": [
    "3c00 4000"
  ]}
}
)";

TEST(CaseJson, ReadsEveryKey) {
  const Case test_case = case_from_json(kExample);
  EXPECT_EQ(test_case.name, "example");
  EXPECT_EQ(test_case.description, "All keys \"of\" the format, äöü");
  EXPECT_EQ(test_case.operation, Operation::fused_add_rms_norm_static_fp8_quant);
  EXPECT_EQ(test_case.dtype, DType::bf16);
  EXPECT_EQ(test_case.weight_dtype, DType::fp32);
  EXPECT_EQ(test_case.quantized_dtype, DType::fp8_e5m2);
  EXPECT_EQ(test_case.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(test_case.input_layout, (TensorLayout{{8}, 1}));
  EXPECT_EQ(test_case.residual_layout, (TensorLayout{{}, 2}));
  EXPECT_EQ(test_case.output_layout, (TensorLayout{{std::int64_t{1} << 31}, 0}));
  EXPECT_EQ(test_case.weight_offset, 3);
  EXPECT_FALSE(test_case.in_place);
  EXPECT_EQ(test_case.epsilon_bits, 0x358637bdu);
  EXPECT_EQ(test_case.scale_bits, 0x7fc00000u);
  EXPECT_EQ(load_bits(test_case.input.bytes, DType::bf16, 1), 0x3f84u);
  EXPECT_EQ(load_bits(test_case.input.bytes, DType::bf16, 5), 0x8000u);
  EXPECT_EQ(test_case.residual.recipe, (Recipe{"normal", 18446744073709551615u}));
  EXPECT_EQ(load_bits(test_case.weight.bytes, DType::fp32, 2), 0xdeadbeefu);
  EXPECT_EQ(test_case.schedule, (Schedule{ThreadOrder::random, 3}));
  EXPECT_EQ(test_case.launch, (LaunchChoice{KernelPath::vectorized, 64}));
  EXPECT_EQ(load_bits(test_case.outputs->out, DType::fp8_e5m2, 5), 0x80u);
  EXPECT_EQ(load_bits(test_case.outputs->residual_out, DType::bf16, 4), 4u);
}

TEST(CaseJson, WritesCanonicalText) {
  EXPECT_EQ(case_to_json(case_from_json(kExample)), kExample);
  EXPECT_EQ(case_to_json(case_from_json(kMinimal)), kMinimal);
  Case in_place = case_from_json(kMinimal);
  in_place.in_place = true;
  EXPECT_EQ(case_to_json(in_place), replaced(std::string(kMinimal), R"([1, 2],)",
                                             "[1, 2],\n  \"layout\": {\n    \"in_place\": true\n  },"));
}

TEST(CaseJson, ReadsFreeSpellings) {
  // Any order of keys and spacing, upper-case digits, defaults spelt out.
  const Case expected = case_from_json(kMinimal);
  EXPECT_EQ(
      case_from_json(R"({"input":{"bits":["3C00 4000"]},"epsilon":"0x00000000","dtype":"fp16","shape":[1,2],
      "layout":{"input":{"offset":0},"output":{},"weight":{},"in_place":false},"schedule":{"order":"forward","seed":0},
      "launch":{"path":"automatic","threads_per_block":0},"name":"","operation":"rms_norm","normproof_case":1})"),
      expected);
}

TEST(CaseJson, NoRowsHaveNoData) {
  const std::string text = replaced(std::string(kMinimal), "[1, 2]", "[0, 2]");
  const std::string canonical = replaced(text, ",\n  \"input\": {\"bits\": [\n    \"3c00 4000\"\n  ]}", "");
  const std::string explicit_rows = replaced(text, "\n    \"3c00 4000\"\n  ", "");
  const std::string with_outputs = replaced(
      canonical, "\"epsilon\": 0", "\"epsilon\": 0,\n  \"outputs\": {\n    \"out\": {\"bits\": []}\n  }");
  EXPECT_EQ(case_to_json(case_from_json(canonical)), canonical);
  EXPECT_EQ(case_to_json(case_from_json(explicit_rows)), canonical);
  EXPECT_EQ(case_to_json(case_from_json(with_outputs)), with_outputs);
}

TEST(CaseJson, ReadsExactValues) {
  const auto with = [](std::string_view row) {
    return replaced(replaced(std::string(kMinimal), "\"bits\"", "\"values\""), "3c00 4000", row);
  };
  const std::string canonical = replaced(std::string(kMinimal), "3c00 4000", "3e00 fc00");
  EXPECT_EQ(case_to_json(case_from_json(with("1.5 -inf"))), canonical);
  EXPECT_EQ(
      error_of(with("1.5 0.1")),
      "$.input.values[0]: element 1: a number that fp16 has, got \"0.1\" between 0.0999755859375 (2e66) and "
      "0.10003662109375 (2e67)");
  EXPECT_EQ(error_of(with("3c00 1")),
            "$.input.values[0]: element 0: a decimal number, nan, inf or -inf, got \"3c00\"");
  EXPECT_EQ(error_of(with("1")), "$.input.values[0]: 2 elements with one space between them, got 1 in \"1\"");
}

TEST(CaseJson, EpsilonIsRoundedOnce) {
  const auto bits = [](std::string_view number) {
    return case_from_json(
               replaced(std::string(kMinimal), "\"epsilon\": 0", "\"epsilon\": " + std::string(number)))
        .epsilon_bits;
  };
  EXPECT_EQ(bits("1e-6"), 0x358637bdu);
  EXPECT_EQ(bits("0.00001"), 0x3727c5acu);
  EXPECT_EQ(bits("-1"), 0xbf800000u);
  EXPECT_EQ(bits("-0"), 0x80000000u);
  EXPECT_EQ(bits("-0.0"), 0x80000000u);
  EXPECT_EQ(bits("0e400"), 0u);
  EXPECT_EQ(bits("1e-45"), 1u);
  EXPECT_EQ(bits("340282346638528859811704183484516925440"), 0x7f7fffffu);
  EXPECT_EQ(bits("\"0xFF800000\""), 0xff800000u);
  // Halfway between 1 and its successor, and a little: by way of double, the little would be lost, and the
  // tie would go to 1.
  EXPECT_EQ(bits("1.000000059604644775390625"), 0x3f800000u);
  EXPECT_EQ(bits("1.000000059604644775390626"), 0x3f800001u);
}

TEST(CaseJson, WritesScalarsThatReadBack) {
  Case test_case = example_case();
  for (std::uint64_t bits = 0; bits < std::uint64_t{1} << 32; bits += 999'983) {
    test_case.epsilon_bits = static_cast<std::uint32_t>(bits);
    ASSERT_EQ(case_from_json(case_to_json(test_case)).epsilon_bits, bits);
  }
  for (const std::uint32_t bits : {0u, 0x80000000u, 1u, 0x7fffffu, 0x7f7fffffu, 0x7f800000u, 0xffc12345u}) {
    test_case.epsilon_bits = bits;
    EXPECT_EQ(case_from_json(case_to_json(test_case)).epsilon_bits, bits);
  }
}

// A valid case with every property drawn.
Case draw_case(std::mt19937_64& draw) {
  const auto below = [&](std::uint64_t bound) { return draw() % bound; };
  const auto data = [&](std::int64_t elements, DType dtype) {
    TensorData result;
    if (elements == 0) return result;
    if (below(3) == 0) {
      result.recipe = {below(2) == 0 ? "normal" : "uniform_bits", draw()};
    } else {
      result.bytes.resize(static_cast<std::size_t>(elements) * size_of(dtype));
      for (auto& byte : result.bytes) byte = static_cast<std::byte>(draw());
    }
    return result;
  };
  Case c;
  c.name = below(2) == 0 ? "" : "case-" + std::to_string(draw());
  c.description = below(2) == 0 ? "" : "\x01 tab\t \"quotes\" \\ \xe2\x82\xac \xf0\x9f\x98\x80 \x7f";
  c.operation = kOperations[below(4)];
  c.dtype = kActivationDTypes[below(3)];
  if (below(3) != 0) c.weight_dtype = below(2) == 0 ? c.dtype : DType::fp32;
  if (quantizes(c.operation)) c.quantized_dtype = kQuantizedDTypes[below(4)];
  const std::size_t leading = c.operation == Operation::rms_norm ? 1 + below(3) : 1;
  for (std::size_t i = 0; i < leading; ++i) c.shape.push_back(static_cast<std::int64_t>(below(4)));
  c.shape.push_back(1 + static_cast<std::int64_t>(below(9)));
  const auto layout = [&] {
    TensorLayout result{{}, static_cast<std::int64_t>(below(128))};
    std::int64_t stride = c.shape.back();
    for (std::size_t i = 0; i < leading; ++i) {
      stride += static_cast<std::int64_t>(below(5));
      result.strides.insert(result.strides.begin(), stride);
      stride *= 4;
    }
    return below(2) == 0 ? TensorLayout{} : result;
  };
  c.in_place = c.operation == Operation::rms_norm && below(2) == 0;
  c.input_layout = layout();
  if (adds_residual(c.operation)) c.residual_layout = layout();
  if (!c.in_place && c.operation != Operation::fused_add_rms_norm) c.output_layout = layout();
  if (c.weight_dtype) c.weight_offset = static_cast<std::int64_t>(below(128));
  c.epsilon_bits = static_cast<std::uint32_t>(draw());
  if (quantizes(c.operation)) c.scale_bits = static_cast<std::uint32_t>(draw());
  c.input = data(c.elements(), c.dtype);
  if (adds_residual(c.operation)) c.residual = data(c.elements(), c.dtype);
  if (c.weight_dtype) c.weight = data(c.hidden_size(), *c.weight_dtype);
  c.schedule.order = static_cast<ThreadOrder>(below(3));
  if (c.schedule.order == ThreadOrder::random) c.schedule.seed = draw();
  c.launch = {static_cast<KernelPath>(below(3)), static_cast<int>(32 * below(33))};
  if (below(2) == 0) {
    const auto bytes = [&](DType dtype) {
      std::vector<std::byte> result(static_cast<std::size_t>(c.elements()) * size_of(dtype));
      for (auto& byte : result) byte = static_cast<std::byte>(draw());
      return result;
    };
    c.outputs.emplace();
    c.outputs->out = bytes(c.output_dtype());
    if (adds_residual(c.operation)) c.outputs->residual_out = bytes(c.dtype);
  }
  return c;
}

TEST(CaseJson, RandomCasesReadBack) {
  std::mt19937_64 draw(1);
  for (int i = 0; i < 3000; ++i) {
    const Case test_case = draw_case(draw);
    ASSERT_EQ(validate(test_case), std::vector<std::string>{}) << i;
    const std::string text = case_to_json(test_case);
    const Case read = case_from_json(text);
    ASSERT_EQ(read, test_case) << text;
    ASSERT_EQ(case_to_json(read), text);
  }
}

TEST(CaseJson, DamagedTextIsRefusedOrValid) {
  // Any byte changed, removed or doubled: never a crash, and what is accepted is a valid case.
  std::mt19937_64 draw(2);
  int refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text(kExample);
    const std::size_t position = draw() % text.size();
    switch (draw() % 4) {
      case 0:
        text[position] = static_cast<char>(draw());
        break;
      case 1:
        text.erase(position, 1 + draw() % 8);
        break;
      case 2:
        text.insert(position, text.substr(draw() % text.size(), draw() % 40));
        break;
      default:
        text.resize(position);
    }
    try {
      EXPECT_EQ(validate(case_from_json(text)), std::vector<std::string>{});
    } catch (const CaseError& error) {
      ++refused;
      EXPECT_LT(std::string_view(error.what()).size(), 600u);
    }
  }
  EXPECT_GT(refused, 15000);
}

TEST(CaseJson, WriterRefusesInvalidCases) {
  Case test_case = example_case();
  test_case.shape = {};
  EXPECT_THROW(case_to_json(test_case), std::invalid_argument);
}

TEST(CaseJson, RefusesWhatIsNoJson) {
  const std::string example(kMinimal);
  EXPECT_EQ(error_of(""),
            "$: parse error at line 1, column 1: syntax error while parsing value - unexpected end of "
            "input; expected '[', '{', or a literal");
  EXPECT_EQ(error_of("[]"), "$: an object, got an array of 0");
  EXPECT_EQ(error_of("3"), "$: an object, got 3");
  EXPECT_EQ(error_of("null"), "$: an object, got null");
  EXPECT_EQ(
      error_of(example + "x"),
      "$: parse error at line 11, column 1: syntax error while parsing value - invalid literal; last read: "
      R"('\"3c00 4000\"<U+000A>  ]}<U+000A>}<U+000A>x'; expected end of input)");
  EXPECT_TRUE(error_of(example + example).starts_with("$: parse error at line 11, column 1"));
  EXPECT_TRUE(error_of(replaced(example, "3c00", "\xff"))
                  .starts_with("$.input.bits[0]: parse error at line 8, column 6: syntax error while parsing "
                               "value - invalid string: "
                               "ill-formed UTF-8 byte; last read: "));
  EXPECT_TRUE(
      error_of(replaced(example, "3c00", "\xed\xa0\x80")).starts_with("$.input.bits[0]: parse error"));
  EXPECT_TRUE(error_of(replaced(example, "3c00", "\\ud800")).starts_with("$.input.bits[0]: parse error"));
  EXPECT_TRUE(error_of(replaced(example, "\"epsilon\": 0", "\"epsilon\": NaN"))
                  .starts_with("$.epsilon: parse error"));
  EXPECT_TRUE(error_of(replaced(example, "\"epsilon\": 0", "\"epsilon\": 1e999"))
                  .starts_with("$.epsilon: number overflow"));
  EXPECT_TRUE(error_of(replaced(example, "[1, 2]", "[1, 2,]")).starts_with("$.shape[2]: parse error"));
  EXPECT_TRUE(error_of("{\"normproof_case\": 1 /* comment */}").starts_with("$.normproof_case: parse error"));
}

TEST(CaseJson, RefusesDuplicateKeys) {
  const std::string example(kExample);
  EXPECT_EQ(error_of(replaced(example, "\"name\": \"example\"", "\"name\": \"a\", \"name\": \"a\"")),
            "$.name: duplicate key \"name\"");
  EXPECT_EQ(error_of(replaced(example, "\"offset\": 1", "\"offset\": 1, \"offset\": 2")),
            "$.layout.input.offset: duplicate key \"offset\"");
  EXPECT_EQ(
      error_of(replaced(example, "\"dtype\": \"bf16\"", "\"dtype\": \"bf16\", \"dt\\u0079pe\": \"fp16\"")),
      "$.dtype: duplicate key \"dtype\"");
}

TEST(CaseJson, BoundsNestingKeysValuesAndText) {
  EXPECT_EQ(error_of(std::string(1'000'000, '[')), "$[0][0][0][0][0][0][0][0]: nested deeper than 8 levels");
  EXPECT_EQ(error_of(replaced(std::string(kMinimal), "[1, 2]", std::string(100'000, '['))),
            "$.shape[0][0][0][0][0][0][0]: nested deeper than 8 levels");
  std::string keys = "{";
  for (int i = 0; i < 65; ++i) keys += "\"k" + std::to_string(i) + "\":0,";
  EXPECT_EQ(error_of(keys), "$.k63: an object has at most 64 keys, got more");
  std::string values = "[0";
  for (int i = 0; i < (1 << 20); ++i) values += ",0";
  EXPECT_EQ(error_of(values), "$[1048575]: more than 1048576 values");
  EXPECT_EQ(error_of(std::string(kMaximumCaseTextBytes + 1, ' ')),
            "$: at most 268435456 bytes of text, got 268435457");
}

TEST(CaseJson, LargeShapesCostNothing) {
  const Case test_case = case_from_json(R"({"normproof_case": 1, "operation": "rms_norm", "dtype": "fp32",
      "shape": [256, 1048576], "epsilon": 0, "input": {"recipe": {"class": "normal", "seed": 1}}})");
  EXPECT_EQ(test_case.elements(), kMaximumElements);
  EXPECT_TRUE(test_case.input.bytes.empty());
}

struct Damage {
  std::string_view from;
  std::string_view to;
  std::string_view message;
};

TEST(CaseJson, RefusesWithPathReasonAndValue) {
  const std::vector<Damage> damages = {
      {R"("normproof_case": 1,)", "", "$.normproof_case: missing"},
      {R"("normproof_case": 1)", R"("normproof_case": 2)", "$.normproof_case: version 1, got 2"},
      {R"("normproof_case": 1)", R"("normproof_case": "1")",
       "$.normproof_case: an integer from -9223372036854775808 to 9223372036854775807, got \"1\""},
      {R"("name")", R"("title")", "$.title: unknown key, with the value \"example\""},
      {R"("name")", R"("a b\u0000")", R"($["a b\x00"]: unknown key, with the value "example")"},
      {R"("name": "example")", R"("name": 7)", "$.name: a string, got 7"},
      {R"("name": "example")", R"("name": "a b")", R"($.name: only letters, digits and - _ . +, got "a b")"},
      {R"("operation": "fused_add_rms_norm_static_fp8_quant",)", "", "$.operation: missing"},
      {R"("operation": "fused_add_rms_norm_static_fp8_quant")", R"("operation": "layer_norm")",
       "$.operation: one of rms_norm, fused_add_rms_norm, rms_norm_static_fp8_quant, "
       "fused_add_rms_norm_static_fp8_quant, got \"layer_norm\""},
      {R"("dtype": "bf16")", R"("dtype": "fp8_e5m2")",
       "$.dtype: an activation dtype is bf16, fp16 or fp32, got fp8_e5m2"},
      {R"("weight_dtype": "fp32")", R"("weight_dtype": null)", "$.weight_dtype: a string, got null"},
      {R"("weight_dtype": "fp32",)", "", "$.layout.weight: there is no weight, got offset 3"},
      {R"("quantized_dtype": "fp8_e5m2",)", "",
       "$.quantized_dtype: fused_add_rms_norm_static_fp8_quant needs one, got none"},
      {R"("shape": [2, 3])", R"("shape": 6)", "$.shape: an array of integers, got 6"},
      {R"("shape": [2, 3])", R"("shape": [2, 3.0])",
       "$.shape[1]: an integer from -9223372036854775808 to 9223372036854775807, got 3.0"},
      {R"("shape": [2, 3])", R"("shape": [2, 9223372036854775808])",
       "$.shape[1]: an integer from -9223372036854775808 to 9223372036854775807, got 9223372036854775808"},
      {R"("shape": [2, 3])", R"("shape": [1, 2, 3])",
       "$.shape: rank 2 for fused_add_rms_norm_static_fp8_quant, got rank 3"},
      {R"("shape": [2, 3])", R"("shape": [1, 2, 3, 4, 5])", "$.shape: at most 4 integers, got an array of 5"},
      {R"("shape": [2, 3])", R"("shape": [3, 2])", "$.input.bits: an array of 3 rows, got an array of 2"},
      {R"("shape": [2, 3])", R"("shape": [2, 4])",
       "$.input.bits[0]: 4 elements with one space between them, got 3 in \"3f80 3f84 0001\""},
      {R"("strides": [8])", R"("strides": [2])",
       "$.layout.input.strides[0]: rows overlap: each step must clear 3 elements, got 2"},
      {R"("strides": [8])", R"("strides": [])",
       "$.layout.input.strides: one stride per leading dimension, got an array of 0"},
      {R"("strides": [8])", R"("stride": [8])",
       "$.layout.input.stride: unknown key, with the value an array of 1"},
      {R"({"offset": 2})", "[2]", "$.layout.residual: an object, got an array of 1"},
      {R"("weight": {"offset": 3})", R"("weight": {"strides": [3]})",
       "$.layout.weight.strides: unknown key, with the value an array of 1"},
      {R"("weight": {"offset": 3})", R"("in_place": 1)", "$.layout.in_place: true or false, got 1"},
      {R"("weight": {"offset": 3})", R"("in_place": true)",
       "$.layout.output: the output is the input tensor and has its layout, got strides"},
      {R"("epsilon": 1e-06,)", "", "$.epsilon: missing"},
      {R"("epsilon": 1e-06)", R"("epsilon": "1e-06")",
       "$.epsilon: a number, or fp32 bits as \"0x\" and 8 hexadecimal digits, got \"1e-06\""},
      {R"("epsilon": 1e-06)", R"("epsilon": 1e39)", "$.epsilon: a number within the range of fp32, got 1e39"},
      {R"("epsilon": 1e-06)", R"("epsilon": -1e39)",
       "$.epsilon: a number within the range of fp32, got -1e39"},
      {R"("epsilon": 1e-06)", R"("epsilon": 1e-46)",
       "$.epsilon: 0 or a number that fp32 does not round to 0, got 1e-46"},
      {R"("scale": "0x7fc00000")", R"("scale": "0x7fc0")",
       "$.scale: a number, or fp32 bits as \"0x\" and 8 hexadecimal digits, got \"0x7fc0\""},
      {R"("scale": "0x7fc00000")", R"("scale": true)",
       "$.scale: a number or a string of fp32 bits, got true"},
      {R"("scale": "0x7fc00000",)", "", "$.scale: missing"},
      {R"("3f80 3f84 0001")", R"("3f80 3f84 001")",
       "$.input.bits[0]: element 2: 4 hexadecimal digits for bf16, got \"001\""},
      {R"("3f80 3f84 0001")", R"("3f80  0001")",
       "$.input.bits[0]: element 1: 4 hexadecimal digits for bf16, got \"\""},
      {R"("3f80 3f84 0001")", R"("3f80 3g84 0001")",
       "$.input.bits[0]: element 1: 4 hexadecimal digits for bf16, got \"3g84\""},
      {R"("7fc0 ff80 8000")", R"("")",
       "$.input.bits[1]: 3 elements with one space between them, got 0 in \"\""},
      {R"("7fc0 ff80 8000")", R"(["7fc0"])", "$.input.bits[1]: a string, got an array of 1"},
      {R"(,
    "7fc0 ff80 8000")",
       "", "$.input.bits: an array of 2 rows, got an array of 1"},
      {R"({"class": "normal", "seed": 18446744073709551615})", R"({"class": "gaussian", "seed": 0})",
       "$.residual.recipe.class: unknown class \"gaussian\""},
      {R"({"class": "normal", "seed": 18446744073709551615})", R"({"class": "normal"})",
       "$.residual.recipe.seed: missing"},
      {"18446744073709551615", "18446744073709551616",
       "$.residual.recipe.seed: an integer from 0 to 18446744073709551615, got 18446744073709551616"},
      {"18446744073709551615", "-1",
       "$.residual.recipe.seed: an integer from 0 to 18446744073709551615, got -1"},
      {R"({"recipe": {"class": "normal", "seed": 18446744073709551615}})", "{}",
       "$.residual: one of bits, values and recipe, got 0"},
      {R"({"recipe": {"class": "normal", "seed": 18446744073709551615}})", R"({"recipe": 1, "bits": 2})",
       "$.residual: one of bits, values and recipe, got 2"},
      {R"(  "residual": {"recipe": {"class": "normal", "seed": 18446744073709551615}},
)",
       "", "$.residual: bits or a recipe, got neither"},
      {R"("3f800000 3fa10000 deadbeef")", R"("3f800000 3fa10000 deadbeef", "3f800000 3fa10000 deadbeef")",
       "$.weight.bits: an array of 1 rows, got an array of 2"},
      {R"("order": "random")", R"("order": "shuffled")",
       "$.schedule.order: one of forward, reverse, random, got \"shuffled\""},
      {R"("order": "random")", R"("order": "reverse")",
       "$.schedule.seed: only the random order has one, got 3"},
      {R"("path": "vectorized")", R"("path": "fast")",
       "$.launch.path: one of automatic, vectorized, scalar, got \"fast\""},
      {R"("threads_per_block": 64)", R"("threads_per_block": 65)",
       "$.launch.threads_per_block: 0, or a multiple of 32 up to 1024, got 65"},
      {R"("threads_per_block": 64)", R"("threads_per_block": 2147483648)",
       "$.launch.threads_per_block: an integer from -2147483648 to 2147483647, got 2147483648"},
      {R"("out": {"bits": [
      "3c 3d 3e",)",
       R"("out": {"recipe": [
      "3c 3d 3e",)",
       "$.outputs.out.recipe: unknown key, with the value an array of 2"},
      {R"("residual_out")", R"("residual")",
       "$.outputs.residual: unknown key, with the value an object of 1"},
      {R"("7f ff 80")", R"("7f ff")",
       "$.outputs.out.bits[1]: 3 elements with one space between them, got 2 in \"7f ff\""},
  };
  for (const Damage& damage : damages) {
    EXPECT_EQ(error_of(replaced(std::string(kExample), damage.from, damage.to)), damage.message);
  }
}

TEST(CaseJson, RefusesWhatTheOperationHasNot) {
  const std::string example(kMinimal);
  const std::string data = R"({"bits": ["3c00 4000"]})";
  EXPECT_EQ(error_of(replaced(example, "\"epsilon\": 0", "\"epsilon\": 0, \"scale\": 1")),
            "$.scale: nothing, because the operation does not quantize, got 1");
  EXPECT_EQ(error_of(replaced(example, "\"epsilon\": 0", "\"epsilon\": 0, \"residual\": " + data)),
            "$.residual: nothing, because the operation adds no residual, got an object of 1");
  EXPECT_EQ(error_of(replaced(example, "\"epsilon\": 0", "\"epsilon\": 0, \"weight\": " + data)),
            "$.weight: there is no weight_dtype, got data");
  EXPECT_EQ(error_of(replaced(
                example, "\"epsilon\": 0",
                "\"epsilon\": 0, \"outputs\": {\"out\": " + data + ", \"residual_out\": " + data + "}")),
            "$.outputs.residual_out: nothing, because the operation adds no residual, got an object of 1");
}

}  // namespace
}  // namespace normproof
