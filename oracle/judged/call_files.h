// Calls of judged operations in files: dumps (safetensors), which any framework writes, and JSON documents,
// which hold a small repro in a form that people read. README.md documents both.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "oracle/judged/operation.h"

namespace normproof::oracle::judged {

struct StoredCall {
  Call call;
  std::optional<std::string> policy;  // uninterpreted
};

// What is said elsewhere, and wins over the file.
struct FileOptions {
  const JudgedOperation* operation = nullptr;
  std::optional<std::uint32_t> epsilon;  // fp32 bits
};

// The judged operation that a file is about, by what it says or by its option; nullptr for other files.
// Throws SafetensorsError for a dump that cannot be read, std::system_error where the file cannot be.
const JudgedOperation* judged_operation_of(const std::filesystem::path& file,
                                           std::string_view operation = {});

// Throws CaseError or SafetensorsError for what is no call, std::system_error where the file cannot be read.
// `with_outputs`: the file must hold what there is to judge.
StoredCall read_call(const std::filesystem::path& file, const FileOptions& options, bool with_outputs);
StoredCall call_from_json(std::string_view text, const FileOptions& options, bool with_outputs);

std::string call_to_json(const Call& call, const std::optional<std::string>& policy);
void write_call_dump(const std::filesystem::path& file, const Call& call,
                     const std::optional<std::string>& policy);

}  // namespace normproof::oracle::judged
