#include "corpus/dump.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "corpus/test/example_cases.h"
#include "corpus/test/temporary_folder.h"

namespace normproof {
namespace {

Case case_with_outputs(Operation operation, DType dtype = DType::bf16) {
  Case test_case = example_case(operation, dtype);
  test_case.name.clear();
  test_case.outputs.emplace();
  (*test_case.outputs)[Role::out] = counting_data(test_case.output_dtype(), 6, 0x11).bytes;
  if (has(operation, Role::residual_out))
    (*test_case.outputs)[Role::residual_out] = counting_data(dtype, 6, 0x22).bytes;
  if (quantizes_by_row(operation))
    (*test_case.outputs)[Role::scales] = counting_data(DType::fp32, 2, 0x33).bytes;
  return test_case;
}

// A dump that is described tensor by tensor, so that tests can spoil it.
struct RawDump {
  std::map<std::string, SafetensorsContent> tensors;
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::vector<std::byte>> data;

  void set(const std::string& name, DType dtype, std::vector<std::int64_t> shape) {
    std::size_t bytes = size_of(dtype);
    for (const auto size : shape) bytes *= static_cast<std::size_t>(size);
    data[name] = std::vector<std::byte>(bytes, std::byte{0x3c});
    tensors[name] = {name, dtype, std::move(shape), {}};
  }
};

RawDump raw_dump(Operation operation) {
  RawDump dump;
  dump.metadata = {{"op", std::string(name_of(operation))}, {"epsilon", "1e-6"}, {"format", "pt"}};
  dump.set("x", DType::fp16, {2, 3, 4});
  dump.set("weight", DType::fp16, {4});
  dump.set("out", quantizes(operation) ? DType::fp8_e5m2 : DType::fp16, {2, 3, 4});
  if (quantizes(operation)) dump.set("scale", DType::fp32, {});
  if (has(operation, Role::residual)) dump.set("residual", DType::fp16, {2, 3, 4});
  if (has(operation, Role::residual_out)) dump.set("residual_out", DType::fp16, {2, 3, 4});
  return dump;
}

class DumpTest : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_.path() / "dump.safetensors"; }
  void write(const RawDump& dump) const {
    std::vector<SafetensorsContent> contents;
    for (auto [name, content] : dump.tensors) {
      content.data = dump.data.at(name);
      contents.push_back(content);
    }
    write_safetensors(path(), contents, dump.metadata);
  }
  Dump read(const RawDump& dump, const DumpOptions& options = {}) const {
    write(dump);
    return read_dump(path(), options);
  }
  // "field: reason", after `spoil` was applied to a sound dump.
  std::string error_of(Operation operation, const std::function<void(RawDump&)>& spoil) const {
    RawDump dump = raw_dump(operation);
    spoil(dump);
    try {
      read(dump);
    } catch (const SafetensorsError& error) {
      return error.field() + ": " + error.reason();
    }
    return "no error";
  }
  TemporaryFolder folder_;
};

TEST_F(DumpTest, EveryOperationSurvivesWritingAndReading) {
  for (const Operation operation : all_operations()) {
    for (const DType dtype : kActivationDTypes) {
      for (const auto& weight :
           std::initializer_list<std::optional<DType>>{std::nullopt, dtype, DType::fp32}) {
        for (const DType quantized : kQuantizedDTypes) {
          Case test_case = case_with_outputs(operation, dtype);
          test_case.weight_dtype = weight;
          test_case[Role::weight].data = weight ? counting_data(*weight, 3, 0x3f80) : TensorData{};
          test_case.bits_of(Parameter::epsilon) = 0x3727c5ac;
          if (quantizes(operation)) test_case.quantized_dtype = quantized;
          write_dump(path(), test_case, "weight=fp32");
          const Dump dump = read_dump(path());
          EXPECT_EQ(dump.test_case, test_case);
          EXPECT_EQ(dump.policy, "weight=fp32");
        }
      }
    }
  }
}

TEST_F(DumpTest, Int8AndTheUpperBoundSurviveWritingAndReading) {
  for (const Operation operation :
       {Operation::rms_norm_dynamic_quant, Operation::fused_add_rms_norm_dynamic_quant}) {
    for (const std::uint32_t bound : {0x3fc00000u, 0x7f800000u, 1u}) {
      Case test_case = case_with_outputs(operation, DType::bf16);
      test_case.quantized_dtype = DType::int8;
      test_case.bits_of(Parameter::scale_ub) = bound;
      write_dump(path(), test_case);
      EXPECT_EQ(read_dump(path()).test_case, test_case);
    }
  }
}

TEST_F(DumpTest, Int8AndTheUpperBoundAreForScalesOfRows) {
  const auto error = [&](Operation operation, const std::function<void(RawDump&)>& spoil) {
    return error_of(operation, [&](RawDump& dump) {
      dump.tensors.erase("scale");
      if (quantizes_by_row(operation)) dump.set("scales", DType::fp32, {2, 3, 1});
      spoil(dump);
    });
  };
  const auto bound = [](std::uint32_t bits) {
    return [bits](RawDump& dump) {
      dump.set("scale_ub", DType::fp32, {1});
      store_bits(dump.data.at("scale_ub"), DType::fp32, 0, bits);
    };
  };
  const auto int8 = [](RawDump& dump) { dump.set("out", DType::int8, {2, 3, 4}); };
  EXPECT_EQ(error(Operation::rms_norm_dynamic_quant, bound(0x3fc00000u)), "no error");
  EXPECT_EQ(error(Operation::rms_norm_dynamic_quant, int8), "no error");
  for (const std::uint32_t bits : {0u, 0x80000000u, 0xbf800000u, 0x7fc00000u}) {
    EXPECT_NE(error(Operation::rms_norm_dynamic_quant, bound(bits)).find("$.scale_ub: a number above 0"),
              std::string::npos)
        << bits;
  }
  EXPECT_NE(error(Operation::rms_norm, bound(0x3fc00000u)).find("rms_norm has no scale_ub"),
            std::string::npos);
  EXPECT_NE(error(Operation::rms_norm, int8).find("out.dtype: expected"), std::string::npos);
  EXPECT_EQ(
      error(Operation::rms_norm_dynamic_quant, [](RawDump& dump) { dump.set("scale_ub", DType::fp32, {2}); }),
      "scale_ub.shape: expected one element, got [2]");
  EXPECT_EQ(
      error(Operation::rms_norm_dynamic_quant, [](RawDump& dump) { dump.set("scale_ub", DType::bf16, {1}); }),
      "scale_ub.dtype: expected F32, got BF16");
  EXPECT_NE(error_of(Operation::rms_norm_static_fp8_quant, int8).find("out.dtype: expected"),
            std::string::npos);
}

TEST_F(DumpTest, LeadingDimensionsBecomeRows) {
  const Dump dump = read(raw_dump(Operation::fused_add_rms_norm_static_fp8_quant));
  EXPECT_EQ(dump.test_case.shape, (std::vector<std::int64_t>{6, 4}));
  EXPECT_EQ(dump.test_case.quantized_dtype, DType::fp8_e5m2);
  EXPECT_EQ(dump.test_case.bits_of(Parameter::scale), 0x3c3c3c3cu);
  EXPECT_EQ(dump.test_case.bits_of(Parameter::epsilon), 0x358637bdu);
  EXPECT_FALSE(dump.policy);
  RawDump row = raw_dump(Operation::rms_norm);
  row.set("x", DType::fp16, {4});
  row.set("out", DType::fp16, {4});
  EXPECT_EQ(read(row).test_case.shape, (std::vector<std::int64_t>{1, 4}));
  RawDump empty = raw_dump(Operation::rms_norm);
  empty.set("x", DType::fp16, {0, 9, 4});
  empty.set("out", DType::fp16, {0, 9, 4});
  EXPECT_EQ(read(empty).test_case.shape, (std::vector<std::int64_t>{0, 4}));
}

TEST_F(DumpTest, LayoutsAndRecipesAreWrittenOut) {
  Case test_case = case_with_outputs(Operation::rms_norm);
  test_case[Role::input].layout = {{16}, 3};
  test_case[Role::input].data = {{}, Recipe{"ones", 0}};
  write_dump(path(), test_case);
  const Dump dump = read_dump(path());
  EXPECT_EQ(dump.test_case[Role::input].layout, TensorLayout{});
  EXPECT_EQ(load_bits(dump.test_case[Role::input].data.bytes, DType::bf16, 5), 0x3f80u);
  test_case.outputs.reset();
  EXPECT_THROW(write_dump(path(), test_case), std::invalid_argument);
}

TEST_F(DumpTest, OptionsWinOverMetadata) {
  RawDump dump = raw_dump(Operation::rms_norm);
  dump.metadata = {{"op", "layer_norm"}, {"epsilon", "small"}};
  const Dump read_back = read(dump, {Operation::rms_norm, 0x3f800000});
  EXPECT_EQ(read_back.test_case.operation, Operation::rms_norm);
  EXPECT_EQ(read_back.test_case.bits_of(Parameter::epsilon), 0x3f800000u);
}

TEST_F(DumpTest, ErrorsNameTheMetadata) {
  const auto with = [&](const std::string& key, const std::optional<std::string>& value) {
    return error_of(Operation::rms_norm, [&](RawDump& dump) {
      dump.metadata.erase(key);
      if (value) dump.metadata[key] = *value;
    });
  };
  EXPECT_EQ(with("op", {}), "op: missing: neither metadata nor an option names the operation");
  EXPECT_EQ(with("op", "layer_norm"),
            "op: expected one of rms_norm, fused_add_rms_norm, rms_norm_static_fp8_quant, "
            "fused_add_rms_norm_static_fp8_quant, rms_norm_dynamic_quant, "
            "fused_add_rms_norm_dynamic_quant, got \"layer_norm\"");
  EXPECT_EQ(with("epsilon", {}), "epsilon: missing: neither metadata nor an option gives it");
  EXPECT_EQ(with("epsilon", "1e-6x"),
            "epsilon: expected an fp32 number such as \"1e-6\" or \"0x358637bd\", got \"1e-6x\"");
}

TEST_F(DumpTest, ErrorsNameMissingAndSurplusTensors) {
  const auto without = [&](Operation operation, const std::string& name) {
    return error_of(operation, [&](RawDump& dump) { dump.tensors.erase(name); });
  };
  const auto with = [&](Operation operation, const std::string& name) {
    return error_of(operation, [&](RawDump& dump) { dump.set(name, DType::fp16, {2, 3, 4}); });
  };
  EXPECT_EQ(without(Operation::rms_norm, "x"), "x: missing; the input before the call");
  EXPECT_EQ(without(Operation::rms_norm, "out"), "out: missing; rms_norm writes it");
  EXPECT_EQ(without(Operation::rms_norm, "weight"), "no error");
  EXPECT_EQ(without(Operation::fused_add_rms_norm, "residual"),
            "residual: missing; fused_add_rms_norm reads it");
  EXPECT_EQ(without(Operation::fused_add_rms_norm, "residual_out"),
            "residual_out: missing; fused_add_rms_norm writes it");
  EXPECT_EQ(without(Operation::rms_norm_static_fp8_quant, "scale"),
            "scale: missing; rms_norm_static_fp8_quant reads it");
  EXPECT_EQ(with(Operation::rms_norm, "residual"), "residual: not expected: rms_norm has no residual");
  EXPECT_EQ(with(Operation::rms_norm, "residual_out"),
            "residual_out: not expected: rms_norm has no residual_out");
  EXPECT_EQ(with(Operation::fused_add_rms_norm, "scale"),
            "scale: not expected: fused_add_rms_norm has no scale");
  EXPECT_EQ(
      with(Operation::rms_norm, "Weight"),
      "Weight: unknown tensor; a dump has x, residual, out, residual_out, weight, scale, scales, scale_ub");
}

TEST_F(DumpTest, ErrorsNameDTypesThatDoNotFit) {
  const auto with = [&](Operation operation, const std::string& name, DType dtype) {
    return error_of(operation, [&](RawDump& dump) { dump.set(name, dtype, dump.tensors.at(name).shape); });
  };
  const Operation add = Operation::fused_add_rms_norm, quant = Operation::rms_norm_static_fp8_quant;
  EXPECT_EQ(with(add, "x", DType::fp8_e5m2), "x.dtype: expected BF16, F16, F32, got F8_E5M2");
  EXPECT_EQ(with(add, "weight", DType::bf16), "weight.dtype: expected F16, F32, got BF16");
  EXPECT_EQ(with(add, "weight", DType::fp32), "no error");
  EXPECT_EQ(with(add, "residual", DType::bf16), "residual.dtype: expected F16, F32, got BF16");
  EXPECT_EQ(with(add, "residual", DType::fp32), "residual_out.dtype: expected F32, got F16");
  EXPECT_EQ(with(add, "residual_out", DType::bf16), "residual_out.dtype: expected F16, got BF16");
  EXPECT_EQ(with(add, "out", DType::fp32), "out.dtype: expected F16, got F32");
  EXPECT_EQ(with(quant, "out", DType::fp16),
            "out.dtype: expected F8_E4M3, F8_E5M2, F8_E4M3FNUZ, F8_E5M2FNUZ, got F16");
  EXPECT_EQ(with(quant, "scale", DType::fp16), "scale.dtype: expected F32, got F16");
}

TEST_F(DumpTest, ErrorsNameShapesThatDoNotFit) {
  const auto with = [&](Operation operation, const std::string& name, std::vector<std::int64_t> shape) {
    return error_of(operation, [&](RawDump& dump) { dump.set(name, dump.tensors.at(name).dtype, shape); });
  };
  const Operation both = Operation::fused_add_rms_norm_static_fp8_quant;
  EXPECT_EQ(with(both, "x", {}), "x.shape: at least one dimension, the hidden size, got []");
  EXPECT_EQ(with(both, "x", {2, 0}),
            "x.shape: the last dimension, the hidden size, is 1 to 1048576, got [2, 0]");
  EXPECT_EQ(with(both, "weight", {1, 4}), "weight.shape: expected the hidden size of x, [4], got [1, 4]");
  EXPECT_EQ(with(both, "weight", {3}), "weight.shape: expected the hidden size of x, [4], got [3]");
  EXPECT_EQ(with(both, "residual", {6, 4}), "residual.shape: expected the shape of x, [2, 3, 4], got [6, 4]");
  EXPECT_EQ(with(both, "out", {4, 3, 2}), "out.shape: expected the shape of x, [2, 3, 4], got [4, 3, 2]");
  EXPECT_EQ(with(both, "residual_out", {24}),
            "residual_out.shape: expected the shape of x, [2, 3, 4], got [24]");
  EXPECT_EQ(with(both, "scale", {2}), "scale.shape: expected one element, got [2]");
  EXPECT_EQ(with(both, "scale", {1, 1}), "no error");
}

TEST_F(DumpTest, NumbersAreRoundedOnceToFp32) {
  EXPECT_EQ(fp32_bits_from_text("1e-6"), 0x358637bdu);
  EXPECT_EQ(fp32_bits_from_text("0x358637bd"), 0x358637bdu);
  EXPECT_EQ(fp32_bits_from_text("-0"), 0x80000000u);
  EXPECT_EQ(fp32_bits_from_text("1e-45"), 1u);
  // Just above the midpoint of 1 and its successor: through double it would
  // round to the midpoint and then down.
  EXPECT_EQ(fp32_bits_from_text("1.00000005960464477540"), 0x3f800001u);
  EXPECT_EQ(fp32_bits_from_text("1.00000005960464477539"), 0x3f800000u);
  for (const char* text : {"", " 1", "1 ", "inf", "nan", "1e39", "-1e39", "1e-60", "0x1p3", "0x3586",
                           "0x358637bg", "0x358637bd0", "1e", "--1", "1.2.3", "1,5"}) {
    EXPECT_FALSE(fp32_bits_from_text(text)) << text;
  }
  EXPECT_EQ(fp32_bits_from_text("0e-60"), 0u);
}

}  // namespace
}  // namespace normproof
