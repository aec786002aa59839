// The table of targets by name.
#include "properties/targets/target.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "properties/targets/compared_target.h"
#include "properties/targets/cuda_target.h"
#include "properties/targets/kernel_target.h"
#include "properties/targets/plugin_target.h"

namespace normproof {

std::filesystem::path mutants_folder() {
  if (const char* folder = std::getenv("NORMPROOF_MUTANTS")) return folder;
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::filesystem::path("mutants") : program.parent_path().parent_path() / "mutants";
}

namespace {

constexpr std::string_view kMutantPrefix = "mutant:";
constexpr std::string_view kLibraryPrefix = "libmutant_";
constexpr std::string_view kLibrarySuffix = ".so";

std::vector<std::string> mutant_names() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(mutants_folder(), error)) {
    const std::string file = entry.path().filename().string();
    if (file.starts_with(kLibraryPrefix) && file.ends_with(kLibrarySuffix)) {
      names.push_back(
          file.substr(kLibraryPrefix.size(), file.size() - kLibraryPrefix.size() - kLibrarySuffix.size()));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool is_there(std::string_view name) {
  if (!names_a_plugin(name)) return name == "host" || name == "cuda" || name.starts_with(kMutantPrefix);
  std::error_code error;
  return std::filesystem::exists(name, error);
}

// Where "A+B" is divided, npos in any other name. The path of a library may hold a '+' too, as in
// "./c++/libmine.so" and "a+b.so".
std::size_t find_divider(std::string_view name) {
  if (names_a_plugin(name) && is_there(name)) return std::string_view::npos;
  for (const bool both : {true, false}) {
    for (std::size_t plus = name.find('+'); plus != std::string_view::npos; plus = name.find('+', plus + 1))
      if (is_there(name.substr(0, plus)) && (!both || is_there(name.substr(plus + 1)))) return plus;
  }
  // Neither is there: the complaint is about the first.
  return names_a_plugin(name) ? std::string_view::npos : name.find('+');
}

}  // namespace

oracle::Policy Judging::policy_of(const Case& test_case) const {
  const oracle::GivenOrder* given = orders ? orders->find(test_case, match) : nullptr;
  return given != nullptr ? oracle::with_order(policy, *given) : policy;
}

std::vector<RunResult> Target::run_all(std::span<const RunRequest> requests) {
  std::vector<RunResult> results;
  for (const RunRequest& request : requests) results.push_back(run(*request.test_case, *request.tensors));
  return results;
}

std::unique_ptr<Target> make_target(std::string_view name) {
  if (const auto plus = find_divider(name); plus != std::string_view::npos)
    return make_compared_target(make_target(name.substr(0, plus)), make_target(name.substr(plus + 1)));
  if (name == "cuda") return make_cuda_target(default_worker_settings());
  if (names_a_plugin(name)) return make_plugin_target(name, plugin_worker_settings(name));
  if (name == "host") return make_kernel_target("host", linked_kernels());
  if (name.starts_with(kMutantPrefix)) {
    const std::string mutant(name.substr(kMutantPrefix.size()));
    const auto names = mutant_names();
    if (std::find(names.begin(), names.end(), mutant) == names.end()) {
      throw TargetError(
          fmt::format("mutant '{0}' is not built, or there is none of that name: {1} has {2}; in a clone "
                      "./normproof builds the mutants that a command line names, and "
                      "`cmake --build BUILD --target mutant_{0}` does",
                      mutant, mutants_folder().string(),
                      names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))));
    }
    const auto library = mutants_folder() / fmt::format("{}{}{}", kLibraryPrefix, mutant, kLibrarySuffix);
    return make_kernel_target(std::string(name), load_kernels(library.string()));
  }
  std::vector<std::string> accepted;
  for (const auto& target : available_targets()) accepted.push_back(target.name);
  throw TargetError(fmt::format("there is no target '{}'; there are: {}", name, fmt::join(accepted, ", ")));
}

std::vector<TargetDescription> available_targets() {
  std::vector<TargetDescription> targets = {
      {"host", "the production kernels, their CUDA threads run on the CPU"},
      {"cuda", "the production kernels on an NVIDIA GPU (needs a build with CUDA and a device)"},
      {"./libmine.so", "path of your plug-in (start with `normproof new-target mine`)"},
  };
  for (const auto& name : mutant_names()) {
    targets.push_back({std::string(kMutantPrefix) + name, "the production kernels with a bug planted"});
  }
  return targets;
}

}  // namespace normproof
