// Files that earlier versions of this program have written are read as before. They stay as they are: a new
// version of a format adds a file of its own here.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "corpus/case_bytes.h"
#include "corpus/case_json.h"
#include "corpus/dump.h"

namespace normproof {
namespace {

namespace fs = std::filesystem;

const fs::path kCorpus = fs::path(NORMPROOF_SOURCE_DIR) / "corpus";
const fs::path kOldFiles = kCorpus / "test/old_files";

std::vector<std::uint8_t> from_hexadecimal(const std::string& text) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

// The case without what is for people and for the judge, which the binary form leaves out.
Case call_of(Case test_case) {
  test_case.name = test_case.description = "";
  test_case.outputs.reset();
  return test_case;
}

// Seeds as binary cases, a line each: name, bytes. What the seed's JSON says today they must still say.
void expect_seeds(const fs::path& file, std::size_t least) {
  CaseLimits limits;  // that every seed is within
  limits.max_rows = 1 << 24;
  limits.max_hidden = 1 << 20;
  limits.max_elements = 1 << 28;
  limits.giant_strides = limits.allow_refused = true;
  std::ifstream stream(file);
  std::size_t read = 0;
  for (std::string line; std::getline(stream, line); ++read) {
    std::istringstream words(line);
    std::string name, bytes;
    words >> name >> bytes;
    Case expected = call_of(read_case(kCorpus / "seeds" / (name + ".json")));
    const Case found = call_of(case_from_bytes(from_hexadecimal(bytes), limits));
    EXPECT_EQ(case_to_json(found), case_to_json(expected)) << file << ": " << name;
  }
  EXPECT_GE(read, least);
}

TEST(OldFiles, BinaryCasesOfVersionOne) { expect_seeds(kOldFiles / "version_1.txt", 106); }

TEST(OldFiles, BinaryCasesOfVersionTwo) { expect_seeds(kOldFiles / "version_2.txt", 150); }

TEST(OldFiles, DumpsAndCasesWithOutputs) {
  int read = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(kOldFiles)) {
    if (entry.path().extension() != ".safetensors") continue;
    const Case stored = read_case(fs::path(entry.path()).replace_extension(".json"));
    const Dump dump = read_dump(entry.path());
    EXPECT_EQ(dump.policy, "weight=fp32");
    ASSERT_TRUE(dump.test_case.outputs && stored.outputs) << entry.path();
    EXPECT_EQ(*dump.test_case.outputs, *stored.outputs) << entry.path();
    EXPECT_EQ(dump.test_case.operation, stored.operation);
    EXPECT_EQ(dump.test_case.parameter_bits, stored.parameter_bits);
    EXPECT_EQ(materialize(dump.test_case), materialize(stored)) << entry.path();
    ++read;
  }
  EXPECT_EQ(read, 4);
}

}  // namespace
}  // namespace normproof
