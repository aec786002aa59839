// Safetensors files: named tensors and string metadata, the form in which frameworks exchange them.
// Layout: 8 bytes little-endian header length, a JSON header of that length, the tensors' bytes without gaps.
// https://github.com/huggingface/safetensors#format
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"

namespace normproof {

// A file that is no safetensors file, or lacks what is asked of it. what() is "file: field: reason"; the
// field is "header", a tensor, or one of its entries, for instance `x.data_offsets`.
class SafetensorsError : public std::runtime_error {
 public:
  SafetensorsError(const std::filesystem::path& file, std::string field, std::string reason);
  const std::string& field() const { return field_; }
  const std::string& reason() const { return reason_; }

 private:
  std::string field_;
  std::string reason_;
};

// An element type of the format. `dtype` where this project computes with it.
struct SafetensorsDType {
  std::string_view name;  // as in the header
  int bits;               // per element
  std::optional<DType> dtype;
};
std::span<const SafetensorsDType> safetensors_dtypes();
// The format's name for `dtype`, for instance "BF16".
std::string_view safetensors_name_of(DType dtype);

struct SafetensorsTensor {
  std::string name;
  SafetensorsDType dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;  // of the first byte, within the tensors' bytes
  std::uint64_t bytes = 0;   // = elements * bits / 8
};

// An open file whose header was found to be sound: every tensor has the size that its shape and dtype say,
// and together they cover the data without overlaps or gaps. The tensors' bytes stay in the file until they
// are read.
class SafetensorsFile {
 public:
  const std::filesystem::path& path() const { return path_; }
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }  // in the order of their bytes
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // nullptr where there is none.
  const SafetensorsTensor* find(std::string_view name) const;
  // The bytes of a tensor of this file, row-major, little-endian. Throws SafetensorsError where the file has
  // shrunk meanwhile, std::system_error where it cannot be read.
  std::vector<std::byte> read(const SafetensorsTensor& tensor) const;

 private:
  friend SafetensorsFile read_safetensors(const std::filesystem::path&);
  std::filesystem::path path_;
  std::shared_ptr<const int> descriptor_;  // closes it
  std::uint64_t data_begin_ = 0;           // of the tensors' bytes, within the file
  std::vector<SafetensorsTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

inline constexpr std::uint64_t kMaximumSafetensorsHeaderBytes =
    100'000'000;  // as the format's reference reader

// Opens a file and reads its header. Memory is bounded by a small multiple of the header, which the file
// really has. Throws SafetensorsError; std::system_error where the file cannot be opened or read.
SafetensorsFile read_safetensors(const std::filesystem::path& file);

// A tensor to write. `data` holds the elements row-major, little-endian.
struct SafetensorsContent {
  std::string name;
  DType dtype;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
};

// Writes a file as a whole or not at all. Throws std::invalid_argument where a tensor's data has not the size
// that its shape says or a name occurs twice, std::system_error where the file cannot be written.
void write_safetensors(const std::filesystem::path& file, std::span<const SafetensorsContent> tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace normproof
