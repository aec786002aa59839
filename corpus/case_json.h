// A Case as JSON text and in files. The format is documented in CASE.md and case.schema.json.
#pragma once

#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"

namespace normproof {

// A document that is not a case. what() is "path: reason", for instance
// `$.shape[1]: the hidden size is 1 to 1048576, got 0`; read_case() puts the file's name before it.
class CaseError : public std::runtime_error {
 public:
  CaseError(std::string path, std::string reason)
      : std::runtime_error(path + ": " + reason), path_(std::move(path)), reason_(std::move(reason)) {}
  CaseError(const std::filesystem::path& file, const CaseError& error)
      : std::runtime_error(file.string() + ": " + error.what()), path_(error.path_), reason_(error.reason_) {}

  const std::string& path() const { return path_; }      // JSON path; "$" is the document
  const std::string& reason() const { return reason_; }  // with the offending value, shortened

 private:
  std::string path_;
  std::string reason_;
};

// How the outputs that a case stores are to be judged, as the file says itself. The policy's axes are the
// oracle's: here they are text.
struct Demand {
  std::optional<std::string> policy;
  bool canonical = false;  // in the canonical order of summation, which determines every bit
  friend bool operator==(const Demand&, const Demand&) = default;
};
inline constexpr std::size_t kMaximumPolicyBytes = 1024;

// Reads one document. Strict: throws CaseError for anything that is not a valid case (see validate()),
// unknown and duplicate keys included. Memory is bounded by a small multiple of the text's size: recipes are
// not carried out. `demand`: gets what the document says of that.
Case case_from_json(std::string_view text, Demand* demand = nullptr);

// Canonical text: fixed order of keys, one row of data per line, default values left out, newline at the end.
// case_from_json() gives the same case back. Throws std::invalid_argument where validate() finds fault, or
// the demand's policy is empty or too long.
std::string case_to_json(const Case& test_case, const Demand& demand = {});

// Throws CaseError, and std::system_error where the file cannot be read.
Case read_case(const std::filesystem::path& file, Demand* demand = nullptr);

// Replaces `file` as a whole or not at all, also when the machine fails in between. Throws std::system_error
// with the path and the reason; std::invalid_argument as case_to_json().
void write_case(const std::filesystem::path& file, const Case& test_case, const Demand& demand = {});

// The file itself; or all *.json files in the folder and below it, *.schema.json apart, sorted by path.
// Throws std::system_error where there is no such file or folder.
std::vector<std::filesystem::path> find_case_files(const std::filesystem::path& file_or_folder);

}  // namespace normproof
