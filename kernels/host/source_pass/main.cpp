// normproof-cuda-source-pass: makes CUDA sources compile with a plain C++ compiler, and their headers. Called
// by the CMake function normproof_add_cuda_host_target().
//
//   normproof-cuda-source-pass --output FOLDER --depfile FILE [--hip] [--include FOLDER...] -- SOURCE...
//
// Each SOURCE becomes FOLDER/<its path>.cpp; headers that need a change too, wherever they are found beside
// the file that includes them or in an --include folder, become FOLDER/<their path>.
//
//   normproof-cuda-source-pass --unavailable
//
// prints what of CUDA cannot be had: names, a tab, the reason.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/host/source_pass/overloads.h"
#include "kernels/host/source_pass/rewrite.h"
#include "kernels/host/source_pass/unavailable.h"

namespace normproof::source_pass {
namespace {

using std::filesystem::path;

struct Options {
  path output, depfile;
  std::vector<path> includes, sources;
  bool hip = false;
};

std::string read(const path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error(file.string() + ": cannot be read");
  return {std::istreambuf_iterator<char>(stream), {}};
}

// A file that is as wanted keeps its time, so that nothing is compiled again.
void write(const path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  if (std::filesystem::exists(file) && read(file) == text) return;
  std::ofstream stream(file, std::ios::binary);
  stream << text;
  if (!stream.flush()) throw std::runtime_error(file.string() + ": cannot be written");
}

class Pass {
 public:
  explicit Pass(const Options& options) : options_(options) {}

  void run() {
    for (const path& source : options_.sources) find(canonical(source));
    // HIP has what CUDA has no more.
    if (options_.hip)
      defined_.insert({"__shfl", "__shfl_up", "__shfl_down", "__shfl_xor", "__any", "__all", "__ballot"});
    for (auto& [file, input] : files_) add_defined_names(input.tokens, defined_);
    for (auto& [file, input] : files_) {
      const bool dropped = options_.hip && drop_host_overloads(input.tokens);
      input.changed = rewrite(input.tokens, defined_) || dropped;
    }
    // Whoever includes a changed file is changed.
    for (bool more = true; more;) {
      more = false;
      for (auto& [file, input] : files_) {
        const bool includes_changed =
            std::any_of(input.included.begin(), input.included.end(),
                        [&](const auto& included) { return files_.at(included.second).changed; });
        if (!input.changed && includes_changed) more = input.changed = true;
      }
    }
    for (auto& [file, input] : files_) {
      if (input.changed || is_source(file)) write_file(file, input);
    }
    write_depfile();
  }

 private:
  struct Input {
    std::vector<Token> tokens;
    std::map<std::string, path, std::less<>> included;  // by name, as it is written
    bool changed = false;
  };

  static path canonical(const path& file) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(file));
  }
  bool is_source(const path& file) const {
    return std::any_of(options_.sources.begin(), options_.sources.end(),
                       [&](const path& source) { return canonical(source) == file; });
  }

  // Reads the file and whatever it includes.
  void find(const path& file) {
    if (files_.contains(file)) return;
    Input& input = files_[file];
    input.tokens = tokens_of(read(file));
    rewrite_includes(input.tokens, [&](std::string_view name, bool quoted) {
      std::vector<path> folders = options_.includes;
      if (quoted) folders.insert(folders.begin(), file.parent_path());
      for (const path& folder : folders) {
        std::error_code error;
        const path candidate = folder / name;
        if (!std::filesystem::is_regular_file(candidate, error)) continue;
        const path found = canonical(candidate);
        input.included.emplace(name, found);
        find(found);
        break;
      }
      return std::string();
    });
  }

  path output_of(const path& file) const {
    const std::string suffix = is_source(file) ? ".cpp" : "";
    return options_.output / (file.relative_path().string() + suffix);
  }

  void write_file(const path& file, Input& input) {
    // Where a copy lies its relative includes would not be found.
    rewrite_includes(input.tokens, [&](std::string_view name, bool) {
      const auto included = input.included.find(name);
      if (included == input.included.end()) return std::string();
      const bool copied = files_.at(included->second).changed;
      return (copied ? output_of(included->second) : included->second).string();
    });
    // nvcc includes the runtime's header by itself.
    const std::string first = is_source(file) ? "#include <cuda_runtime.h>\n" : "";
    write(output_of(file), first + "#line 1 \"" + file.string() + "\"\n" + text_of(input.tokens));
  }

  void write_depfile() const {
    std::string text;
    for (const path& source : options_.sources)
      text += (text.empty() ? "" : " ") + output_of(canonical(source)).string();
    text += ":";
    for (const auto& [file, input] : files_) text += " \\\n  " + file.string();
    std::ofstream(options_.depfile) << text << "\n";
  }

  const Options& options_;
  Names defined_;
  std::map<path, Input> files_;
};

Options parse(const std::vector<std::string>& arguments) {
  Options options;
  std::string current;
  for (const std::string& argument : arguments) {
    if (argument == "--hip" && current != "--") {
      options.hip = true;
    } else if (argument.starts_with("--")) {
      current = argument;
    } else if (current == "--output") {
      options.output = argument;
    } else if (current == "--depfile") {
      options.depfile = argument;
    } else if (current == "--include") {
      options.includes.emplace_back(argument);
    } else if (current == "--") {
      options.sources.emplace_back(argument);
    } else {
      throw std::invalid_argument("'" + argument + "' behind '" + current + "'");
    }
  }
  if (options.output.empty() || options.depfile.empty() || options.sources.empty())
    throw std::invalid_argument(
        "wanted: --output FOLDER --depfile FILE [--hip] [--include FOLDER...] -- SOURCE...");
  return options;
}

}  // namespace
}  // namespace normproof::source_pass

int main(int count, char** arguments) {
  using namespace normproof::source_pass;
  try {
    if (count == 2 && std::string_view(arguments[1]) == "--unavailable") {
      for (const Unavailable& row : all_unavailable())
        std::printf("%s\t%s\n", std::string(row.names).c_str(), std::string(row.why).c_str());
      return 0;
    }
    const Options options = parse({arguments + 1, arguments + count});
    Pass(options).run();
    return 0;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "normproof-cuda-source-pass: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "normproof-cuda-source-pass: %s\n", error.what());
    return 3;
  }
}
