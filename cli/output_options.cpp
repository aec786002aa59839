#include "cli/output_options.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace normproof {
namespace {

namespace fs = std::filesystem;

// Whatever command has an option of these names writes there.
constexpr std::array<std::string_view, 13> kFiles = {
    "--json", "--junit",       "--html",  "--sarif",  "--csv",      "--svg",           "--tune",
    "--dump", "--certificate", "--repro", "--output", "--markdown", "--write-baseline"};
constexpr std::array<std::string_view, 4> kFolders = {"--findings", "--folder", "--regressions",
                                                      "--examples"};

std::string why_no_file_in(const fs::path& folder) {
  const fs::path trial = folder / fmt::format(".normproof-trial.{}", getpid());
  const int descriptor = open(trial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0) return std::strerror(errno);
  close(descriptor);
  unlink(trial.c_str());
  return {};
}

// What is wrong with the file as an output; empty where nothing is.
std::string objection_to_file(const std::string& text) {
  std::error_code error;
  // A device or a pipe has no neighbours, and what /dev/fd names has no path.
  if (fs::exists(text, error) && fs::is_other(text, error)) return {};
  const fs::path file = fs::weakly_canonical(fs::absolute(text), error);  // what a link leads to is written
  if (error) return fmt::format("{}: {}", text, error.message());
  const fs::file_status status = fs::status(file, error);
  if (fs::is_directory(status)) return fmt::format("{} is a folder, not a file", text);
  if (fs::exists(status) && access(file.c_str(), W_OK) == 0) return {};
  fs::create_directories(file.parent_path(), error);
  if (error) return fmt::format("{}: its folder cannot be made: {}", text, error.message());
  const std::string reason = why_no_file_in(file.parent_path());
  return reason.empty() ? reason : fmt::format("{}: no file can be written there: {}", text, reason);
}

// The same of a folder, which is made when the first file comes.
std::string objection_to_folder(const std::string& text) {
  std::error_code error;
  fs::path folder = fs::weakly_canonical(fs::absolute(text), error);
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  if (!fs::is_directory(folder, error)) return fmt::format("{}: {} is not a folder", text, folder.string());
  const std::string reason = why_no_file_in(folder);
  return reason.empty() ? reason
                        : fmt::format("{}: nothing can be written in {}: {}", text, folder.string(), reason);
}

}  // namespace

void try_outputs_first(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    const auto is_one_of = [&](const auto& names) {
      return std::ranges::any_of(
          names, [&](std::string_view name) { return option->check_name(std::string(name)); });
    };
    // --output is a folder where that is its older name.
    if (is_one_of(kFolders)) {
      option->check(objection_to_folder);
    } else if (is_one_of(kFiles)) {
      option->check(objection_to_file);
    }
  }
}

}  // namespace normproof
