// Documents that are no cases: each is refused with path, reason and value, at a bounded cost.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "corpus/case_json.h"
#include "corpus/limits.h"
#include "corpus/test/example_documents.h"

namespace normproof {
namespace {

TEST(CaseRefusal, RefusesWhatIsNoJson) {
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
  // The library would stop at the one and skip the other.
  EXPECT_EQ(error_of(example + std::string("\0{", 2)),
            "$: a NUL character stands at byte " + std::to_string(example.size()));
  EXPECT_EQ(error_of("\xef\xbb\xbf" + example), "$: begins with a byte order mark, which JSON has not");
}

TEST(CaseRefusal, RefusesDuplicateKeys) {
  const std::string example(kExample);
  EXPECT_EQ(error_of(replaced(example, "\"name\": \"example\"", "\"name\": \"a\", \"name\": \"a\"")),
            "$.name: duplicate key \"name\"");
  EXPECT_EQ(error_of(replaced(example, "\"offset\": 1", "\"offset\": 1, \"offset\": 2")),
            "$.layout.input.offset: duplicate key \"offset\"");
  EXPECT_EQ(
      error_of(replaced(example, "\"dtype\": \"bf16\"", "\"dtype\": \"bf16\", \"dt\\u0079pe\": \"fp16\"")),
      "$.dtype: duplicate key \"dtype\"");
}

TEST(CaseRefusal, BoundsNestingKeysValuesAndText) {
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

TEST(CaseRefusal, LargeShapesCostNothing) {
  const Case test_case = case_from_json(R"({"normproof_case": 1, "operation": "rms_norm", "dtype": "fp32",
      "shape": [256, 1048576], "epsilon": 0, "input": {"recipe": {"class": "normal", "seed": 1}}})");
  EXPECT_EQ(test_case.elements(), kMaximumElements);
  EXPECT_TRUE(test_case[Role::input].data.bytes.empty());
}

struct Damage {
  std::string_view from;
  std::string_view to;
  std::string_view message;
};

TEST(CaseRefusal, RefusesWithPathReasonAndValue) {
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
       "fused_add_rms_norm_static_fp8_quant, rms_norm_dynamic_quant, "
       "fused_add_rms_norm_dynamic_quant, got \"layer_norm\""},
      {R"("dtype": "bf16")", R"("dtype": "fp8_e5m2")",
       "$.dtype: an activation dtype is bf16, fp16 or fp32, got fp8_e5m2"},
      {R"("weight_dtype": "fp32")", R"("weight_dtype": null)", "$.weight_dtype: a string, got null"},
      {R"("weight_dtype": "fp32",)", "", "$.layout.weight: the case has no weight_dtype, got offset 3"},
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
       "$.layout.weight.strides: weight has no strides, got some"},
      {R"("weight": {"offset": 3})", R"("in_place": 1)", "$.layout.in_place: true or false, got 1"},
      {R"("weight": {"offset": 3})", R"("in_place": true)",
       "$.layout.in_place: fused_add_rms_norm_static_fp8_quant leaves no choice, got true"},
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

TEST(CaseRefusal, RefusesWhatTheOperationHasNot) {
  const std::string example(kMinimal);
  const std::string data = R"({"bits": ["3c00 4000"]})";
  EXPECT_EQ(error_of(replaced(example, "\"epsilon\": 0", "\"epsilon\": 0, \"scale\": 1")),
            "$.scale: nothing, because rms_norm has no scale, got 1");
  EXPECT_EQ(error_of(replaced(example, "\"epsilon\": 0", "\"epsilon\": 0, \"residual\": " + data)),
            "$.residual: nothing, because rms_norm has no residual, got an object of 1");
  EXPECT_EQ(error_of(replaced(example, "\"epsilon\": 0", "\"epsilon\": 0, \"weight\": " + data)),
            "$.weight: nothing, because the case has no weight_dtype, got an object of 1");
  EXPECT_EQ(error_of(replaced(
                example, "\"epsilon\": 0",
                "\"epsilon\": 0, \"outputs\": {\"out\": " + data + ", \"residual_out\": " + data + "}")),
            "$.outputs.residual_out: nothing, because rms_norm has no residual_out, got an object of 1");
}

}  // namespace
}  // namespace normproof
