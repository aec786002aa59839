// Dumps of a model: calls come back as they were written, and what is no such dump is refused by name.
#include "properties/models/model_dump.h"

#include <gtest/gtest.h>

#include <array>
#include <stdexcept>
#include <string>
#include <utility>

#include "corpus/test/example_cases.h"
#include "corpus/test/temporary_folder.h"
#include "properties/judged/cases.h"
#include "properties/judged/judge.h"

namespace normproof {
namespace {

ModuleCall call_of(const std::string& module, Operation operation) {
  ModuleCall call{module, {}, {{0, 0}, {3, 17}}, {{1, 0xfedcba9876543210}}};
  Dump dump;
  Case& test_case = dump.test_case;
  test_case = example_case(operation, DType::bf16);
  test_case.name.clear();
  set_data(test_case, materialize(test_case));
  make_plain(test_case);
  test_case.outputs.emplace();
  for (const Role role : kRoles)
    if (test_case.has_output(role))
      (*test_case.outputs)[role].resize(test_case.bytes_of(role), std::byte{0x3f});
  dump.policy = "weight=fp32";
  call.call = std::move(dump);
  return call;
}

class ModelDumpTest : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_.path() / "model.safetensors"; }
  // The same file with other metadata.
  void rewrite(const std::string& key, const std::string& value) const {
    const SafetensorsFile file = read_safetensors(path());
    std::vector<std::vector<std::byte>> data;
    for (const SafetensorsTensor& tensor : file.tensors()) data.push_back(file.read(tensor));
    std::vector<SafetensorsContent> contents;
    for (std::size_t i = 0; i < data.size(); ++i) {
      const SafetensorsTensor& tensor = file.tensors()[i];
      contents.push_back({tensor.name, *tensor.dtype.dtype, tensor.shape, data[i]});
    }
    auto metadata = file.metadata();
    metadata[key] = value;
    write_safetensors(path(), contents, metadata);
  }
  std::string refusal() const {
    try {
      read_model_dump(path());
    } catch (const SafetensorsError& error) {
      return error.field() + ": " + error.reason();
    }
    return "read";
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(ModelDumpTest, CallsComeBackAsTheyWereWritten) {
  ModelDump calls;
  for (const Operation operation : all_operations())
    calls.push_back(
        call_of("z" + std::to_string(calls.size()) + "." + std::string(name_of(operation)), operation));
  calls.front().digests.clear();
  write_model_dump(path(), calls, {{"engine", "mine"}});
  EXPECT_TRUE(is_model_dump(read_safetensors(path())));
  EXPECT_EQ(read_safetensors(path()).metadata().at("engine"), "mine");
  const ModelDump read = read_model_dump(path());
  ASSERT_EQ(read.size(), calls.size());
  for (std::size_t i = 0; i < calls.size(); ++i) {
    EXPECT_EQ(read[i].module, calls[i].module);
    EXPECT_EQ(read[i].places, calls[i].places);
    EXPECT_EQ(read[i].digests, calls[i].digests);
    EXPECT_EQ(read[i].policy(), calls[i].policy());
    EXPECT_EQ(read[i].dump()->test_case, calls[i].dump()->test_case);
  }
  EXPECT_EQ(to_text(calls[0].places[1]), "3:17");
}

TEST_F(ModelDumpTest, JudgedCallsStandBesideOthers) {
  judging::CaseDemand demand;
  demand.operation = oracle::judged::find_judged_operation("layer_norm");
  demand.dtype = DType::fp16;
  demand.weight = demand.bias = DType::fp32;
  demand.max_rows = demand.least_rows = 2;
  const std::array<std::string, 1> outputs = {"out"};
  oracle::judged::Call layer_norm =
      judging::with_canonical_outputs(judging::without_outputs(judging::random_call(demand, 3, 0)),
                                      parse_policy(*demand.operation, "native"), outputs);
  layer_norm.name = layer_norm.description = "";
  layer_norm.places.clear();
  const ModelDump calls = {call_of("a", Operation::fused_add_rms_norm),
                           {"ln_1", oracle::judged::StoredCall{layer_norm, "native"}, {{0, 1}, {0, 2}}, {}}};
  write_model_dump(path(), calls);
  const ModelDump read = read_model_dump(path());
  ASSERT_NE(read.at(1).judged(), nullptr);
  EXPECT_EQ(oracle::judged::call_to_json(read[1].judged()->call, read[1].policy()),
            oracle::judged::call_to_json(layer_norm, "native"));
  EXPECT_EQ(read[0].dump()->test_case, calls[0].dump()->test_case);
  rewrite("ln_1/epsilon", "much");
  EXPECT_EQ(refusal().substr(0, 13), "ln_1/epsilon:");
  rewrite("ln_1/epsilon", "1e-6");
  rewrite("ln_1/rows", "0:0");
  EXPECT_EQ(refusal(), "ln_1/rows: expected one for each of 2 rows, got 1");
}

TEST_F(ModelDumpTest, WhatIsNoSuchDumpIsRefused) {
  const ModelDump calls = {call_of("a", Operation::rms_norm), call_of("b", Operation::rms_norm)};
  const auto refused = [&](const std::string& key, const std::string& value) {
    write_model_dump(path(), calls);
    rewrite(key, value);
    return refusal();
  };
  EXPECT_EQ(refused("engine", "any"), "read");
  EXPECT_EQ(refused("modules", "a\nb\na"), "modules: names a module twice");
  EXPECT_EQ(refused("modules", ""), "modules: names no module");
  EXPECT_EQ(refused("modules", "a"), "b/x: of no module that the file names");
  EXPECT_EQ(refused("modules", "a\nb\nc"),
            "c/op: missing: neither metadata nor an option names the operation");
  EXPECT_EQ(refused("a/rows", "0:0"), "a/rows: expected one for each of 2 rows, got 1");
  EXPECT_EQ(refused("a/rows", "0:0 0:0"), "a/rows: names a row twice");
  EXPECT_EQ(refused("a/rows", "0:0 -1:0"), "a/rows: expected CALL:ROW, got \"-1:0\"");
  EXPECT_EQ(refused("b/digests", "12:34"),
            "b/digests: expected two numbers of 16 hexadecimal digits as A:B, got \"12:34\"");
  EXPECT_EQ(refused("b/op", "norm").substr(0, 6), "b/op: ");
  write_dump(path(), calls[0].dump()->test_case);
  EXPECT_EQ(
      refusal(),
      "modules: missing: this is no dump of a model's norms; one call alone is taken by check and identify");
  EXPECT_THROW(read_module_call(read_safetensors(path()), "a"), SafetensorsError);
}

TEST_F(ModelDumpTest, OnlySoundCallsAreWritten) {
  EXPECT_THROW(write_model_dump(path(), {}), std::invalid_argument);
  EXPECT_THROW(write_model_dump(path(), {call_of("a/b", Operation::rms_norm)}), std::invalid_argument);
  EXPECT_THROW(
      write_model_dump(path(), {call_of("a", Operation::rms_norm), call_of("a", Operation::rms_norm)}),
      std::invalid_argument);
  ModuleCall fewer = call_of("a", Operation::rms_norm);
  fewer.places.pop_back();
  EXPECT_THROW(write_model_dump(path(), {fewer}), std::invalid_argument);
}

}  // namespace
}  // namespace normproof
