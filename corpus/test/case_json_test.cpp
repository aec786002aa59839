// The JSON form: reading documents, canonical text, and reading back what was written.
#include "corpus/case_json.h"

#include <gtest/gtest.h>

#include <random>

#include "corpus/case_bytes.h"
#include "corpus/test/example_cases.h"
#include "corpus/test/example_documents.h"

namespace normproof {
namespace {

TEST(CaseJson, ReadsEveryKey) {
  const Case test_case = case_from_json(kExample);
  EXPECT_EQ(test_case.name, "example");
  EXPECT_EQ(test_case.description, "All keys \"of\" the format, äöü");
  EXPECT_EQ(test_case.operation, Operation::fused_add_rms_norm_static_fp8_quant);
  EXPECT_EQ(test_case.dtype, DType::bf16);
  EXPECT_EQ(test_case.weight_dtype, DType::fp32);
  EXPECT_EQ(test_case.quantized_dtype, DType::fp8_e5m2);
  EXPECT_EQ(test_case.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(test_case[Role::input].layout, (TensorLayout{{8}, 1}));
  EXPECT_EQ(test_case[Role::residual].layout, (TensorLayout{{}, 2}));
  EXPECT_EQ(test_case[Role::out].layout, (TensorLayout{{std::int64_t{1} << 31}, 0}));
  EXPECT_EQ(test_case[Role::weight].layout.offset, 3);
  EXPECT_FALSE(test_case.in_place);
  EXPECT_EQ(test_case.bits_of(Parameter::epsilon), 0x358637bdu);
  EXPECT_EQ(test_case.bits_of(Parameter::scale), 0x7fc00000u);
  EXPECT_EQ(load_bits(test_case[Role::input].data.bytes, DType::bf16, 1), 0x3f84u);
  EXPECT_EQ(load_bits(test_case[Role::input].data.bytes, DType::bf16, 5), 0x8000u);
  EXPECT_EQ(test_case[Role::residual].data.recipe, (Recipe{"normal", 18446744073709551615u}));
  EXPECT_EQ(load_bits(test_case[Role::weight].data.bytes, DType::fp32, 2), 0xdeadbeefu);
  EXPECT_EQ(test_case.schedule, (Schedule{ThreadOrder::random, 3}));
  EXPECT_EQ(test_case.launch, (LaunchChoice{KernelPath::vectorized, 64}));
  EXPECT_EQ(load_bits((*test_case.outputs)[Role::out], DType::fp8_e5m2, 5), 0x80u);
  EXPECT_EQ(load_bits((*test_case.outputs)[Role::residual_out], DType::bf16, 4), 4u);
}

TEST(CaseJson, WritesCanonicalText) {
  EXPECT_EQ(case_to_json(case_from_json(kExample)), kExample);
  EXPECT_EQ(case_to_json(case_from_json(kMinimal)), kMinimal);
  Case in_place = case_from_json(kMinimal);
  in_place.in_place = true;
  EXPECT_EQ(case_to_json(in_place), replaced(std::string(kMinimal), R"([1, 2],)",
                                             "[1, 2],\n  \"layout\": {\n    \"in_place\": true\n  },"));
}

TEST(CaseJson, Int8AndTheUpperBoundAreForScalesOfRows) {
  const std::string text = R"({"normproof_case": 1, "operation": "rms_norm_dynamic_quant", "dtype": "bf16",
    "quantized_dtype": "int8", "scale_ub": 1.5, "shape": [1, 2], "epsilon": 0, "input": {"bits": ["3f80 c000"]},
    "outputs": {"out": {"bits": ["7f 80"]}, "scales": {"bits": ["3c010204"]}}})";
  const Case test_case = case_from_json(text);
  EXPECT_EQ(test_case.quantized_dtype, DType::int8);
  EXPECT_EQ(test_case.bits_of(Parameter::scale_ub), 0x3fc00000u);
  EXPECT_TRUE(test_case.has(Role::scale_ub));
  EXPECT_EQ(test_case.what_no_target_has(), "");
  EXPECT_EQ(case_from_json(case_to_json(test_case)), test_case);
  Case called = test_case;
  called.outputs.reset();
  EXPECT_EQ(validate(called), std::vector<std::string>{});
  EXPECT_EQ(case_from_json(case_to_json(called)), called);
  // Infinity is none, and is not written.
  Case unbounded = called;
  unbounded.bits_of(Parameter::scale_ub) = 0x7f800000;
  EXPECT_FALSE(unbounded.has(Role::scale_ub));
  EXPECT_EQ(case_to_json(unbounded).find("scale_ub"), std::string::npos);
  EXPECT_EQ(case_from_json(replaced(text, "1.5", "\"0x7f800000\"")).bits_of(Parameter::scale_ub),
            0x7f800000u);
  EXPECT_THROW(case_from_json(replaced(text, "1.5", "0")), CaseError);
  called.operation = Operation::rms_norm_static_fp8_quant;
  keep_what_it_has(called);
  EXPECT_EQ(called.quantized_dtype, DType::fp8_e4m3fn);
  EXPECT_FALSE(called.has(Role::scale_ub));
  EXPECT_EQ(called.bits_of(Parameter::scale_ub), 0x7f800000u);
}

TEST(CaseJson, TheDemandIsReadAndWritten) {
  const std::string text =
      replaced(std::string(kMinimal), "\"input\"",
               "\"demand\": {\"policy\": \"weight=fp32\", \"judge\": \"canonical\"}, \"input\"");
  Demand demand;
  const Case test_case = case_from_json(text, &demand);
  EXPECT_EQ(demand, (Demand{"weight=fp32", true}));
  EXPECT_EQ(test_case, case_from_json(kMinimal));
  Demand again;
  case_from_json(case_to_json(test_case, demand), &again);
  EXPECT_EQ(again, demand);
  case_from_json(kMinimal, &again);
  EXPECT_EQ(again, Demand{});
  const auto with = [&](std::string_view value) {
    return error_of(
        replaced(std::string(kMinimal), "\"input\"", "\"demand\": " + std::string(value) + ", \"input\""));
  };
  EXPECT_EQ(with("{\"judge\": \"any\"}"), "$.demand.judge: \"witness\" or \"canonical\", got \"any\"");
  EXPECT_EQ(with("{\"policy\": \"\"}"), "$.demand.policy: a policy of at most 1024 bytes, got \"\"");
  EXPECT_EQ(with("{\"judge\": \"witness\"}"), "accepted");
  EXPECT_THROW(case_to_json(test_case, {std::string(1025, 'a'), false}), std::invalid_argument);
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
        .bits_of(Parameter::epsilon);
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
    test_case.bits_of(Parameter::epsilon) = static_cast<std::uint32_t>(bits);
    ASSERT_EQ(case_from_json(case_to_json(test_case)).bits_of(Parameter::epsilon), bits);
  }
  for (const std::uint32_t bits : {0u, 0x80000000u, 1u, 0x7fffffu, 0x7f7fffffu, 0x7f800000u, 0xffc12345u}) {
    test_case.bits_of(Parameter::epsilon) = bits;
    EXPECT_EQ(case_from_json(case_to_json(test_case)).bits_of(Parameter::epsilon), bits);
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
  c.operation = all_operations()[below(4)];
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
  c[Role::input].layout = layout();
  if (has(c.operation, Role::residual)) c[Role::residual].layout = layout();
  if (!c.in_place && c.operation != Operation::fused_add_rms_norm) c[Role::out].layout = layout();
  if (c.weight_dtype) c[Role::weight].layout.offset = static_cast<std::int64_t>(below(128));
  c.bits_of(Parameter::epsilon) = static_cast<std::uint32_t>(draw());
  if (quantizes(c.operation)) c.bits_of(Parameter::scale) = static_cast<std::uint32_t>(draw());
  c[Role::input].data = data(c.elements(), c.dtype);
  if (has(c.operation, Role::residual)) c[Role::residual].data = data(c.elements(), c.dtype);
  if (c.weight_dtype) c[Role::weight].data = data(c.hidden_size(), *c.weight_dtype);
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
    (*c.outputs)[Role::out] = bytes(c.output_dtype());
    if (has(c.operation, Role::residual_out)) (*c.outputs)[Role::residual_out] = bytes(c.dtype);
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

}  // namespace
}  // namespace normproof
