// Calls of judged operations in files: dumps (safetensors), which any framework writes, and JSON documents,
// which hold a small repro in a form that people read. README.md documents both.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/safetensors.h"
#include "oracle/judged/operation.h"

namespace normproof::oracle::judged {

struct StoredCall {
  Call call;
  std::optional<std::string> policy;  // uninterpreted
  bool lacks_epsilon = false;         // the file does not say one
};

// What is said elsewhere, and wins over the file.
struct FileOptions {
  const JudgedOperation* operation = nullptr;
  std::optional<std::uint32_t> epsilon;  // fp32 bits
};

// Throws CaseError or SafetensorsError for what is no call, std::system_error where the file cannot be read.
// `with_outputs`: the file must hold what there is to judge.
StoredCall read_call(const std::filesystem::path& file, const FileOptions& options, bool with_outputs);
// The same; nothing where the file is about something else than a judged operation. What it is about and what
// it holds are of one reading, also where somebody writes another file of this name meanwhile.
std::optional<StoredCall> read_call_if_judged(const std::filesystem::path& file, const FileOptions& options,
                                              bool with_outputs);
// The same from an open dump. `prefix`: of the names of its tensors and of its metadata.
StoredCall call_from_dump(const SafetensorsFile& file, const FileOptions& options, bool with_outputs,
                          const std::string& prefix = {});
StoredCall call_from_json(std::string_view text, const FileOptions& options, bool with_outputs);

std::string call_to_json(const Call& call, const std::optional<std::string>& policy);
// What write_call_dump() writes. Refers to `call`.
struct CallContents {
  std::vector<SafetensorsContent> contents;
  std::map<std::string, std::string> metadata;
};
CallContents call_contents(const Call& call, const std::optional<std::string>& policy,
                           const std::string& prefix = {});
void write_call_dump(const std::filesystem::path& file, const Call& call,
                     const std::optional<std::string>& policy);

}  // namespace normproof::oracle::judged
