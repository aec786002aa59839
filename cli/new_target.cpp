// `normproof new-target NAME [--op layer_norm]`: a folder with an example of a plug-in that builds and
// conforms, to put a kernel into. With --from a plug-in of the norms of a CUDA source, for the CPU.
#include "cli/new_target.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/norm_adapter.h"
#include "cli/resources.h"
#include "corpus/atomic_file.h"

namespace normproof {
namespace {

// It becomes the name of a library, a folder and a CMake project.
bool is_good_name(const std::string& name) {
  const auto is_good = [](unsigned char character) {
    return std::isalnum(character) != 0 || character == '_' || character == '-';
  };
  return !name.empty() && std::isalpha(static_cast<unsigned char>(name.front())) != 0 &&
         std::all_of(name.begin(), name.end(), is_good);
}

// Places in a template, @NAME@ and the like, and what goes there.
using Places = std::vector<std::pair<std::string, std::string>>;

std::string filled(std::string_view text, const Places& places) {
  std::string result(text);
  for (const auto& [place, value] : places) {
    for (std::size_t at = result.find(place); at != std::string::npos;
         at = result.find(place, at + value.size()))
      result.replace(at, place.size(), value);
  }
  return result;
}

struct WrittenFile {
  std::string_view name;
  std::string text;
};
std::vector<WrittenFile> filled(std::span<const NewTargetFile> files, const Places& places) {
  std::vector<WrittenFile> result;
  for (const NewTargetFile& file : files) result.push_back({file.name, filled(file.text, places)});
  return result;
}

// The example: of RMSNorm, or of a judged operation.
std::vector<WrittenFile> example_files(const std::string& name, const std::string& operation) {
  constexpr std::string_view kKernel = "// --- the kernel ---";
  std::vector<WrittenFile> files = filled(new_target_files(), {{"@NAME@", name}});
  if (operation == "rms_norm") return files;
  for (WrittenFile& file : files) {
    if (file.name == "adapter.cpp") {
      file.text.resize(file.text.find(kKernel));
      file.text += filled(layer_norm_example(), {{"@NAME@", name}});
    } else if (file.name == "README.md") {
      const std::size_t begin = file.text.find("normproof identify"), end = file.text.find('\n', begin);
      file.text.erase(begin, end + 1 - begin);
    }
  }
  return files;
}

// Whole or not at all: a folder that a full disk left half written would be in the way of the next try.
void write_folder(const std::filesystem::path& folder, const std::vector<WrittenFile>& files) {
  std::error_code error;
  if (!std::filesystem::create_directory(folder, error)) {
    if (!error)
      throw UsageError(fmt::format("new-target: {} already exists; not overwritten", folder.string()));
    throw std::system_error(error, fmt::format("new-target: cannot make the folder {}", folder.string()));
  }
  try {
    for (const WrittenFile& file : files) write_text_atomically(folder / file.name, file.text);
  } catch (...) {
    for (const WrittenFile& file : files) std::filesystem::remove(folder / file.name, error);
    std::filesystem::remove(folder, error);  // what somebody else put there stays
    throw;
  }
}

// --- --from ---

struct FromSource {
  std::string source;  // empty: the example
  std::vector<std::string> includes, definitions;
  bool hip = false;
};

// The clone that the program was built in, or where it is installed; empty where neither can be told.
std::string folder_of_normproof() {
  const std::filesystem::path corpus = resource("corpus");
  const std::filesystem::path clone = corpus.parent_path();
  if (std::filesystem::exists(clone / "kernels/host/cuda_host_target.cmake")) return clone.string();
  return clone.parent_path().parent_path().string();  // share/normproof/corpus
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream || std::filesystem::is_directory(file))
    throw std::system_error(errno != 0 ? errno : ENOENT, std::generic_category(),
                            fmt::format("new-target: cannot read {}", file.string()));
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::string quoted_for_cmake(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text)
    quoted += c == '"' || c == '\\' || c == '$' ? std::string("\\") + c : std::string(1, c);
  return quoted + "\"";
}

// What the adapter does, and what somebody who knows the source may want to change.
void describe(const NormAdapter& adapter) {
  for (const AdaptedOperation& operation : adapter.operations) {
    fmt::print(
        "  {}: {}({}){}\n", operation.operation, operation.function, operation.signature,
        operation.order_of.empty() ? "" : fmt::format(", the argument order of {}", operation.order_of));
    if (!operation.assumed.empty())
      fmt::print("    set without knowing: {}\n", fmt::join(operation.assumed, ", "));
    if (!operation.others.empty())
      fmt::print("    would do as well: {}\n", fmt::join(operation.others, ", "));
  }
  if (!adapter.limits.empty()) fmt::print("  .limits = {{{}}}\n", adapter.limits);
  if (adapter.epsilon_is_fixed)
    fmt::print(
        "  no parameter is an epsilon: the one in .limits is the source's, as far as it could be read\n");
  for (const std::string& why : adapter.not_used) fmt::print("  not called: {}\n", why);
}

std::vector<WrittenFile> files_from(const FromSource& from, const std::string& name, NormAdapter& adapter) {
  const std::filesystem::path source = std::filesystem::absolute(from.source).lexically_normal();
  const std::string text = text_of(source), source_name = source.filename().string();
  const bool hip = from.hip || source.extension() == ".hip";
  adapter = adapter_of(text, source_name, name, hip);
  if (adapter.operations.empty()) {
    throw UsageError(fmt::format(
        "new-target: {} has no function that launches a norm, from tensors or from pointers and sizes{}{}",
        from.source, adapter.not_used.empty() ? "" : "; not called:\n  ",
        fmt::join(adapter.not_used, "\n  ")));
  }
  std::string includes = quoted_for_cmake(source.parent_path().string());
  for (const std::string& folder : from.includes)
    includes += " " + quoted_for_cmake(std::filesystem::absolute(folder).lexically_normal().string());
  std::string definitions;
  for (const std::string& definition : from.definitions)
    definitions += (definitions.empty() ? "\n  DEFINITIONS " : " ") + quoted_for_cmake(definition);
  std::vector<WrittenFile> files =
      filled(source_target_files(), {{"@NAME@", name},
                                     {"@SOURCE@", source_name},
                                     {"@NORMPROOF_FOLDER@", folder_of_normproof()},
                                     {"@INCLUDES@", includes},
                                     {"@HIP@", hip ? " HIP" : ""},
                                     {"@DEFINITIONS@", definitions}});
  files.push_back({"adapter.cu", adapter.text});
  return files;
}

int new_target(const std::filesystem::path& given, const FromSource& from, const std::string& operation) {
  const std::filesystem::path folder = given.has_filename() ? given : given.parent_path();
  const std::string name = folder.filename().string();
  if (!is_good_name(name)) {
    throw UsageError(fmt::format(
        "new-target: '{}' is not a name: a letter, then letters, digits, '_' and '-'", given.string()));
  }
  if (from.source.empty() && (from.hip || !(from.includes.empty() && from.definitions.empty())))
    throw UsageError("new-target: --include, --define and --hip belong to --from");
  const bool example = from.source.empty();
  NormAdapter adapter;
  write_folder(folder, example ? example_files(name, operation) : files_from(from, name, adapter));
  const std::string path = folder.string();
  fmt::print("wrote {}/: {} is what you edit\n", path, example ? "adapter.cpp" : "adapter.cu");
  describe(adapter);
  fmt::print("\n  cmake -S {0} -B {1} {2} && cmake --build {1} --parallel 2\n", shell_quoted_file(path),
             shell_quoted_file(path + "/build"),
             example ? "-DCMAKE_BUILD_TYPE=Release" : "-DCMAKE_CXX_COMPILER=clang++-19");
  const std::string named = folder.is_absolute() || path.starts_with("./") ? path : "./" + path;
  fmt::print("  {} verify --target {} --seconds 5\n", program_name(),
             shell_quoted(fmt::format("{}/build/lib{}.so", named, name)));
  return kAllGood;
}

}  // namespace

Action add_new_target(CLI::App& command) {
  const auto folder = std::make_shared<std::string>();
  command.add_option("name", *folder, "Name or path of the folder to create; the plug-in is named after it")
      ->required();
  const auto from = std::make_shared<FromSource>();
  command.add_option(
      "--from", from->source,
      "A CUDA source or header: the plug-in calls its norms, on the CPU, and it stays as it is");
  command.add_option("--include", from->includes, "A folder for its headers, beside its own")
      ->allow_extra_args(false);
  command.add_option("--define", from->definitions, "A macro that its build defines")
      ->allow_extra_args(false);
  const auto operation = std::make_shared<std::string>("rms_norm");
  CLI::Option* of_example =
      command.add_option("--op", *operation, "The operation of the example")->capture_default_str();
  of_example->check(CLI::IsMember({"rms_norm", "layer_norm"}));
  command.get_option("--from")->excludes(of_example);
  command.add_flag("--hip", from->hip, "The source is HIP, or CUDA that a build turns into it; FILE.hip is");
  return [folder, from, operation] { return new_target(*folder, *from, *operation); };
}

}  // namespace normproof
