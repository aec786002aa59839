// write_seeds CORPUS FOLDER [WITHOUT-PREFIX...]: the JSON corpus in the fuzzers' binary form, one file per
// case. Cases whose file name starts with one of the prefixes are left out. Links no RapidCheck and no
// command-line library, so that it builds wherever the fuzzers build.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "corpus/case_bytes.h"
#include "corpus/case_json.h"

namespace normproof {
namespace {

void write_file(const std::filesystem::path& path, const std::vector<std::uint8_t>& bytes) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!stream.flush()) throw std::runtime_error(fmt::format("cannot write {}", path.string()));
}

int write_seeds(const std::filesystem::path& corpus, const std::filesystem::path& folder,
                const std::vector<std::string>& without) {
  std::filesystem::create_directories(folder);
  int written = 0, too_large = 0, left_out = 0;
  for (const auto& file : find_case_files(corpus)) {
    const std::string name = file.stem().string();
    if (std::any_of(without.begin(), without.end(),
                    [&](const std::string& prefix) { return name.starts_with(prefix); })) {
      ++left_out;
    } else if (const auto bytes = case_to_bytes(read_case(file))) {
      write_file(folder / name, *bytes);
      ++written;
    } else {
      ++too_large;
    }
  }
  fmt::print("{} seeds in {}, {} left out as asked, {} too large for the binary form\n", written,
             folder.string(), left_out, too_large);
  return written > 0 ? 0 : 3;
}

}  // namespace
}  // namespace normproof

int main(int argument_count, char** arguments) {
  if (argument_count < 3) {
    fmt::print(stderr, "usage: write_seeds CORPUS FOLDER [WITHOUT-PREFIX...]\n");
    return 2;
  }
  try {
    return normproof::write_seeds(arguments[1], arguments[2], {arguments + 3, arguments + argument_count});
  } catch (const std::exception& error) {
    fmt::print(stderr, "write_seeds: {}\n", error.what());
    return 3;
  }
}
