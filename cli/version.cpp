#include "cli/version.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

#include "cli/commands.h"
#include "commit.h"
#include "corpus/hash.h"

namespace normproof {
namespace {

namespace fs = std::filesystem;

std::string compiler() {
#ifdef __clang__
  return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  return fmt::format("g++ {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

// Names and contents of all case files, so that two corpora with the same digest are the same.
std::string corpus_digest() {
  const fs::path folder = default_corpus_folder();
  std::error_code error;
  std::vector<std::string> names;
  for (fs::recursive_directory_iterator file(folder, error), end; !error && file != end;
       file.increment(error))
    if (file->path().extension() == ".json" && file->is_regular_file(error))
      names.push_back(file->path().lexically_relative(folder).string());
  // Tests, and the schema, are no cases; an installation leaves them out.
  std::erase_if(names, [](const std::string& name) {
    return name.find('/') == std::string::npos || name.starts_with("test/");
  });
  if (error || names.empty()) return "no corpus";
  std::ranges::sort(names);
  std::uint64_t hash = fnv1a("");
  for (const std::string& name : names) {
    std::ifstream file(folder / name, std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(file), {}};
    hash = fnv1a(content, fnv1a(fmt::format("{} {} ", name, content.size()), hash));
  }
  return fmt::format("corpus {:016x}: {} files", hash, names.size());
}

}  // namespace

std::string version_text() {
  return fmt::format("normproof {} (commit {}, {}, {}, {})", NORMPROOF_VERSION, kCommit, compiler(),
                     NORMPROOF_CUDA_VERSION, corpus_digest());
}

}  // namespace normproof
