// Cases in files: found, written as a whole or not at all, and errors that name the file.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <system_error>

#include "corpus/case_json.h"
#include "corpus/test/example_cases.h"

namespace normproof {
namespace {

namespace fs = std::filesystem;

class CaseFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "normproof_case_files.XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path folder_;
};

TEST_F(CaseFiles, ReadsWhatItWrote) {
  const fs::path file = folder_ / "a.json";
  const Case first = example_case();
  const Case second = example_case(Operation::fused_add_rms_norm, DType::fp32);
  write_case(file, first);
  EXPECT_EQ(read_case(file), first);
  write_case(file, second);
  EXPECT_EQ(read_case(file), second);
  // Nothing but the case is left behind.
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

TEST_F(CaseFiles, AFailedWriteLeavesEverythingAsItWas) {
  const fs::path target = folder_ / "a.json";
  fs::create_directory(target);  // cannot be replaced by a file
  EXPECT_THROW(write_case(target, example_case()), std::system_error);
  Case invalid = example_case();
  invalid.shape = {};
  EXPECT_THROW(write_case(folder_ / "b.json", invalid), std::invalid_argument);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

TEST_F(CaseFiles, ErrorsNameTheFileAndTheReason) {
  const auto text_of = [](const auto& action) -> std::string {
    try {
      action();
    } catch (const std::exception& error) {
      return error.what();
    }
    return "no error";
  };
  const fs::path missing = folder_ / "missing" / "a.json";
  EXPECT_EQ(text_of([&] { read_case(missing); }),
            "cannot open " + missing.string() + ": No such file or directory");
  EXPECT_EQ(text_of([&] { write_case(missing, example_case()); }),
            "cannot create a file beside " + missing.string() + ": No such file or directory");
  EXPECT_EQ(text_of([&] { find_case_files(missing); }),
            "cannot find " + missing.string() + ": No such file or directory");
  EXPECT_EQ(text_of([&] { read_case(folder_); }), "cannot read " + folder_.string() + ": Is a directory");
  const fs::path bad = folder_ / "bad.json";
  std::ofstream(bad) << "{}";
  EXPECT_EQ(text_of([&] { read_case(bad); }), bad.string() + ": $.normproof_case: missing");
  try {
    read_case(bad);
  } catch (const CaseError& error) {
    EXPECT_EQ(error.path(), "$.normproof_case");
    EXPECT_EQ(error.reason(), "missing");
  }
}

TEST_F(CaseFiles, FindsJsonFilesSorted) {
  fs::create_directories(folder_ / "b" / "c");
  fs::create_directories(folder_ / "folder.json");
  for (const char* name :
       {"z.json", "a.json", "b/c/m.json", "b/readme.md", "case.schema.json", "x.json.bak"}) {
    std::ofstream(folder_ / name) << "";
  }
  const std::vector<fs::path> expected = {folder_ / "a.json", folder_ / "b/c/m.json", folder_ / "z.json"};
  EXPECT_EQ(find_case_files(folder_), expected);
  EXPECT_EQ(find_case_files(folder_ / "b/readme.md"), std::vector<fs::path>{folder_ / "b/readme.md"});
}

}  // namespace
}  // namespace normproof
