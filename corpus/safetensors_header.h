// The JSON header of a safetensors file: strict reading and the checks of its claims.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/safetensors.h"

namespace normproof {

// What is wrong with a header, without the file's name.
struct SafetensorsHeaderError {
  std::string field;
  std::string reason;
};

struct SafetensorsHeader {
  std::vector<SafetensorsTensor> tensors;  // in the order of their bytes
  std::map<std::string, std::string> metadata;
};

// Reads the header of a file with `data_bytes` bytes after it. Throws SafetensorsHeaderError for what is no
// JSON object of tensors, for duplicate and unknown keys, unknown dtypes, shapes that overflow, and offsets
// that disagree with the shape, lie outside the data, overlap, or leave a part of it uncovered.
SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_bytes);

}  // namespace normproof
