// write_dump_seeds CORPUS FOLDER: the small cases of the corpus with the outputs that the contract demands,
// as dumps and as case files: seeds of check_fuzzer.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <filesystem>

#include "corpus/case_json.h"
#include "corpus/dump.h"
#include "oracle/canonical_judge.h"

namespace normproof {
namespace {

constexpr std::int64_t kMaximumElements = 1024;

int write_dump_seeds(const std::filesystem::path& corpus, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  int written = 0;
  for (const auto& file : find_case_files(corpus)) {
    Case test_case = read_case(file);
    if (test_case.elements() > kMaximumElements) continue;
    test_case.outputs = oracle::expected_outputs(test_case, materialize(test_case));
    const std::string name = file.stem().string();
    write_dump(folder / (name + ".safetensors"), test_case, "native");
    write_case(folder / (name + ".json"), test_case);
    written += 2;
  }
  fmt::print("{} seeds in {}\n", written, folder.string());
  return written > 0 ? 0 : 3;
}

}  // namespace
}  // namespace normproof

int main(int argument_count, char** arguments) {
  if (argument_count != 3) {
    fmt::print(stderr, "usage: write_dump_seeds CORPUS FOLDER\n");
    return 2;
  }
  try {
    return normproof::write_dump_seeds(arguments[1], arguments[2]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "write_dump_seeds: {}\n", error.what());
    return 3;
  }
}
