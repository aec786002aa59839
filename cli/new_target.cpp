// `normproof new-target NAME`: a folder with an example of a plug-in that builds and conforms, to put a
// kernel into.
#include "cli/new_target.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include "cli/commands.h"
#include "cli/exit_codes.h"
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

std::string with_name(std::string_view text, const std::string& name) {
  constexpr std::string_view kPlace = "@NAME@";
  std::string result(text);
  for (std::size_t at = result.find(kPlace); at != std::string::npos;
       at = result.find(kPlace, at + name.size()))
    result.replace(at, kPlace.size(), name);
  return result;
}

// Whole or not at all: a folder that a full disk left half written would be in the way of the next try.
void write_folder(const std::filesystem::path& folder, const std::string& name) {
  std::error_code error;
  if (!std::filesystem::create_directory(folder, error)) {
    if (!error)
      throw UsageError(fmt::format("new-target: {} is there already, and stays as it is", folder.string()));
    throw std::system_error(error, fmt::format("new-target: cannot make the folder {}", folder.string()));
  }
  try {
    for (const NewTargetFile& file : new_target_files())
      write_text_atomically(folder / file.name, with_name(file.text, name));
  } catch (...) {
    for (const NewTargetFile& file : new_target_files()) std::filesystem::remove(folder / file.name, error);
    std::filesystem::remove(folder, error);  // what somebody else put there stays
    throw;
  }
}

int new_target(const std::filesystem::path& given) {
  const std::filesystem::path folder = given.has_filename() ? given : given.parent_path();
  const std::string name = folder.filename().string();
  if (!is_good_name(name)) {
    throw UsageError(fmt::format(
        "new-target: '{}' is not a name: a letter, then letters, digits, '_' and '-'", given.string()));
  }
  write_folder(folder, name);
  const std::string path = folder.string();
  fmt::print("wrote {}/: adapter.cpp is what you edit\n\n", path);
  fmt::print("  cmake -S {0} -B {1} -DCMAKE_BUILD_TYPE=Release && cmake --build {1}\n",
             shell_quoted_file(path), shell_quoted_file(path + "/build"));
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
  return [folder] { return new_target(*folder); };
}

}  // namespace normproof
