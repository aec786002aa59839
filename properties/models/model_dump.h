// Dumps of a whole model: of every norm that ran, one call with some of its rows, in one safetensors file.
// Each call has the tensors of a dump, called "MODULE/x", and its metadata,
// "MODULE/op"; DUMP.md documents both.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "corpus/dump.h"
#include "oracle/judged/call_files.h"

namespace normproof {

// Where a row was: in which call of its module, and which row of that call.
struct RowPlace {
  std::int64_t call = 0;
  std::int64_t row = 0;
  friend auto operator<=>(const RowPlace&, const RowPlace&) = default;
};
std::string to_text(const RowPlace& place);  // "0:17"

// Of all rows of a call, recorded or not: of the bits that went in, and of those that came out. Whoever
// records chooses how they are made; equal bits have equal digests.
struct CallDigest {
  std::uint64_t inputs = 0;
  std::uint64_t outputs = 0;
  friend bool operator==(const CallDigest&, const CallDigest&) = default;
};

struct ModuleCall {
  std::string module;  // "model.layers.0.input_layernorm"
  // Its rows, with outputs, in the order of `places`: of an operation of cases, or of a judged one.
  std::variant<Dump, oracle::judged::StoredCall> call;
  std::vector<RowPlace> places;          // as many as rows, each once
  std::vector<CallDigest> digests = {};  // of the first calls, in their order; may be missing

  const Dump* dump() const { return std::get_if<Dump>(&call); }
  const oracle::judged::StoredCall* judged() const { return std::get_if<oracle::judged::StoredCall>(&call); }
  std::int64_t rows() const;
  const std::optional<std::string>& policy() const;  // uninterpreted
};

// In the order in which the modules first ran.
using ModelDump = std::vector<ModuleCall>;

// Whether the file says that it holds a model's calls, and not one.
bool is_model_dump(const SafetensorsFile& file);
// The modules, in that order. Throws SafetensorsError where the file is no dump of a model.
std::vector<std::string> modules_of(const SafetensorsFile& file);

// The judged operation that the file says of the module; nullptr where it says another, or nothing.
const oracle::judged::JudgedOperation* judged_operation_of(const SafetensorsFile& file,
                                                           const std::string& module);
// Reads one call; `options` as for read_dump(). Throws SafetensorsError, also where there is no such module.
ModuleCall read_module_call(const SafetensorsFile& file, const std::string& module,
                            const DumpOptions& options = {});
// Reads all of them. Throws SafetensorsError; std::system_error where the file cannot be read.
ModelDump read_model_dump(const std::filesystem::path& file);

// `metadata`: more of it, free of keys that are the format's own. Throws std::invalid_argument where a call
// is invalid, or a name or a place occurs twice; std::system_error where the file cannot be written.
void write_model_dump(const std::filesystem::path& file, const ModelDump& calls,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace normproof
