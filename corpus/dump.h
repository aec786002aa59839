// Dumps: what went into a norm kernel and what came out of it, as a safetensors file that any framework can
// write. The operation's tensors by their names, input as x, and string metadata op, epsilon, policy;
// DUMP.md documents it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "corpus/safetensors.h"

namespace normproof {

// What a dump says of itself, and what the caller says instead. Where both speak, the caller wins.
struct DumpOptions {
  std::optional<Operation> operation;
  std::optional<std::uint32_t> epsilon_bits;  // fp32
};

struct Dump {
  Case test_case;                     // rank 2: leading dimensions flattened to rows; with outputs
  std::optional<std::string> policy;  // metadata `policy`, uninterpreted
};

// Reads a dump. `x` is the input before the call, also where the kernel works in place; any leading shape,
// the last dimension is the hidden size. A missing `weight` means a norm without weight. Throws
// SafetensorsError naming the tensor or metadata key: missing or unknown tensors, a tensor that the operation
// does not have, dtypes and shapes that do not fit together, an unreadable epsilon, sizes beyond the limits
// of a case; and as read_safetensors().
Dump read_dump(const std::filesystem::path& file, const DumpOptions& options = {});

// The same from an open file. `prefix`: of the names of its tensors and of its metadata.
Dump dump_from_safetensors(const SafetensorsFile& file, const DumpOptions& options = {},
                           const std::string& prefix = {});

// What write_dump() writes of a case, without the file.
struct DumpContents {
  CaseTensors tensors;  // the contents' data lie in these, and in the case's outputs
  std::vector<SafetensorsContent> contents;
  std::map<std::string, std::string> metadata;
};
// Throws std::invalid_argument as write_dump(). Refers to `test_case`.
DumpContents dump_contents(const Case& test_case, const std::optional<std::string>& policy,
                           const std::string& prefix = {});

// Wider elements first, so that in the file every tensor is aligned to its elements.
void align(std::vector<SafetensorsContent>& contents);

// Writes a valid case with outputs as a dump; recipes are carried out. Throws std::invalid_argument where the
// case is invalid or has no outputs, std::system_error where the file cannot be written.
void write_dump(const std::filesystem::path& file, const Case& test_case,
                const std::optional<std::string>& policy = std::nullopt);

// An fp32 number as text: a decimal, correctly rounded, or "0x" and eight hexadecimal digits for its bits.
// Nothing where `text` is something else, or lies beyond fp32's range.
std::optional<std::uint32_t> fp32_bits_from_text(std::string_view text);

}  // namespace normproof
