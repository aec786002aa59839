// The stored cases: valid, in canonical text, named after their files, and complete.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "corpus/case_json.h"
#include "corpus/recipe.h"

namespace normproof {
namespace {

namespace fs = std::filesystem;

const fs::path kCorpus = fs::path(NORMPROOF_SOURCE_DIR) / "corpus";

std::string text_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

TEST(StoredCases, AreCanonicalAndNamedAfterTheirFiles) {
  const auto files = find_case_files(kCorpus);
  EXPECT_GT(files.size(), 100u);
  for (const fs::path& file : files) {
    try {
      const Case test_case = read_case(file);
      EXPECT_EQ(case_to_json(test_case), text_of(file)) << file;
      EXPECT_EQ(test_case.name, file.stem()) << file;
      EXPECT_FALSE(test_case.description.empty()) << file;
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

TEST(StoredCases, MaterializeWithoutSurprise) {
  for (const fs::path& file : find_case_files(kCorpus)) {
    const Case test_case = read_case(file);
    const CaseTensors tensors = materialize(test_case);
    const auto bytes = static_cast<std::size_t>(test_case.elements()) * size_of(test_case.dtype);
    EXPECT_EQ(tensors[Role::input].size(), bytes) << file;
    EXPECT_EQ(tensors[Role::residual].size(), has(test_case.operation, Role::residual) ? bytes : 0) << file;
  }
}

TEST(StoredCases, SeedsCoverTheBugCatalogue) {
  std::set<std::string> found;
  for (const fs::path& file : find_case_files(kCorpus / "seeds")) {
    const std::string name = file.stem().string();
    found.insert(name.substr(0, name.find('-')));
  }
  // B9 and B29 are no single call of an operation: see seeds/README.md.
  std::set<std::string> expected;
  for (int id = 1; id <= 45; ++id) {
    if (id != 9 && id != 29) expected.insert("B" + std::to_string(id));
  }
  EXPECT_EQ(found, expected);
}

TEST(StoredCases, ModelsCoverOperationsSizesAndEpsilons) {
  std::set<std::int64_t> hidden_sizes;
  std::set<Operation> operations;
  std::set<DType> dtypes, quantized_dtypes;
  std::set<std::uint32_t> epsilons;
  std::set<std::size_t> ranks;
  for (const fs::path& file : find_case_files(kCorpus / "models")) {
    const Case test_case = read_case(file);
    hidden_sizes.insert(test_case.hidden_size());
    operations.insert(test_case.operation);
    dtypes.insert(test_case.dtype);
    if (test_case.quantized_dtype) quantized_dtypes.insert(*test_case.quantized_dtype);
    epsilons.insert(test_case.bits_of(Parameter::epsilon));
    ranks.insert(test_case.shape.size());
  }
  EXPECT_EQ(hidden_sizes,
            (std::set<std::int64_t>{64,   128,  576,  768,  769,  896,  1024, 1536, 2048,  2560, 2880,
                                    3072, 3584, 4096, 5120, 5125, 6144, 7168, 8192, 12288, 16384}));
  EXPECT_EQ(operations, std::set(all_operations().begin(), all_operations().end()));
  EXPECT_EQ(dtypes, std::set(kActivationDTypes.begin(), kActivationDTypes.end()));
  EXPECT_EQ(quantized_dtypes, std::set(kQuantizedDTypes.begin(), kQuantizedDTypes.end()));
  EXPECT_EQ(epsilons, (std::set<std::uint32_t>{0x3727c5ac, 0x358637bd}));
  EXPECT_EQ(ranks, (std::set<std::size_t>{2, 3, 4}));
}

TEST(StoredCases, TheSchemaKnowsAllDataClasses) {
  const auto schema = nlohmann::json::parse(text_of(kCorpus / "case.schema.json"));
  const auto listed = schema.at("/$defs/data/properties/recipe/properties/class/enum"_json_pointer)
                          .get<std::set<std::string>>();
  const auto classes = data_classes();
  EXPECT_EQ(listed, std::set<std::string>(classes.begin(), classes.end()));
}

}  // namespace
}  // namespace normproof
