// Replays files through a harness without a fuzzing engine, so that harnesses build and run with every
// compiler. Usage: HARNESS FILE-OR-FOLDER...  Options of libFuzzer (-runs=0 and the like) are ignored.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

// Returns false where the file cannot be read.
bool replay(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  if (!stream.good() && !stream.eof()) return false;
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  return true;
}

}  // namespace

int main(int argument_count, char** arguments) {
  std::size_t executed = 0;
  for (int index = 1; index < argument_count; ++index) {
    const std::string argument = arguments[index];
    if (argument.starts_with("-")) continue;
    std::vector<std::filesystem::path> files = {argument};
    if (std::filesystem::is_directory(argument)) {
      files.clear();
      for (const auto& entry : std::filesystem::recursive_directory_iterator(argument)) {
        if (entry.is_regular_file()) files.push_back(entry.path());
      }
    }
    for (const auto& file : files) {
      if (!std::filesystem::is_regular_file(file) || !replay(file)) {
        fmt::print(stderr, "cannot read {}\n", file.string());
        return 3;
      }
      ++executed;
    }
  }
  fmt::print("{} inputs executed\n", executed);
  return executed > 0 ? 0 : 3;
}
