// Safetensors files: opening, reading tensors, writing. The header's JSON is read in safetensors_header.cpp.
#include "corpus/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "corpus/atomic_file.h"
#include "corpus/json.h"
#include "corpus/message_text.h"
#include "corpus/safetensors_header.h"

namespace normproof {
namespace {

namespace fs = std::filesystem;

constexpr std::array<SafetensorsDType, 22> kDTypes = {{
    {"F32", 32, DType::fp32},
    {"F16", 16, DType::fp16},
    {"BF16", 16, DType::bf16},
    {"F8_E4M3", 8, DType::fp8_e4m3fn},
    {"F8_E5M2", 8, DType::fp8_e5m2},
    {"F8_E4M3FNUZ", 8, DType::fp8_e4m3fnuz},
    {"F8_E5M2FNUZ", 8, DType::fp8_e5m2fnuz},
    {"F64", 64, std::nullopt},
    {"C64", 64, std::nullopt},
    {"I64", 64, std::nullopt},
    {"U64", 64, std::nullopt},
    {"I32", 32, std::nullopt},
    {"U32", 32, std::nullopt},
    {"I16", 16, std::nullopt},
    {"U16", 16, std::nullopt},
    {"I8", 8, DType::int8},
    {"U8", 8, DType::uint8},
    {"BOOL", 8, std::nullopt},
    {"F8_E8M0", 8, DType::uint8},
    {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt},
    {"F4", 4, std::nullopt},
}};

constexpr std::size_t kLengthBytes = 8;

[[noreturn]] void fail_to(const char* what, const fs::path& file) {
  throw std::system_error(errno, std::generic_category(), what + (" " + file.string()));
}

// Reads as many bytes as `data` takes; fewer where the file ends. Returns how many.
std::size_t read_at(int descriptor, std::uint64_t offset, std::span<std::byte> data, const fs::path& file) {
  std::size_t done = 0;
  while (done < data.size()) {
    const ssize_t count =
        pread(descriptor, data.data() + done, data.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_to("cannot read", file);
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

std::shared_ptr<const int> open_file(const fs::path& file) {
  // Without O_NONBLOCK a named pipe would hang here.
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) fail_to("cannot open", file);
  return {new int(descriptor), [](const int* number) {
            close(*number);
            delete number;
          }};
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

SafetensorsError::SafetensorsError(const fs::path& file, std::string field, std::string reason)
    : std::runtime_error(file.string() + ": " + field + ": " + reason),
      field_(std::move(field)),
      reason_(std::move(reason)) {}

std::span<const SafetensorsDType> safetensors_dtypes() { return kDTypes; }

std::string_view safetensors_name_of(DType dtype) {
  return std::ranges::find(kDTypes, std::optional(dtype), &SafetensorsDType::dtype)->name;
}

const SafetensorsTensor* SafetensorsFile::find(std::string_view name) const {
  const auto found = std::ranges::find(tensors_, name, &SafetensorsTensor::name);
  return found == tensors_.end() ? nullptr : &*found;
}

std::vector<std::byte> SafetensorsFile::read(const SafetensorsTensor& tensor) const {
  std::vector<std::byte> data(static_cast<std::size_t>(tensor.bytes));
  const std::size_t count = read_at(*descriptor_, data_begin_ + tensor.offset, data, path_);
  if (count < data.size()) {
    throw SafetensorsError(path_, shortened(tensor.name),
                           "the file was cut off while it was read: " + std::to_string(count) + " of " +
                               std::to_string(data.size()) + " bytes are left");
  }
  return data;
}

SafetensorsFile read_safetensors(const fs::path& file) {
  SafetensorsFile result;
  result.path_ = file;
  result.descriptor_ = open_file(file);
  const auto fail = [&](std::string field, std::string reason) {
    throw SafetensorsError(file, std::move(field), std::move(reason));
  };
  struct stat status{};
  if (fstat(*result.descriptor_, &status) != 0) fail_to("cannot examine", file);
  if (!S_ISREG(status.st_mode)) fail("file", "not a regular file");
  const auto size = static_cast<std::uint64_t>(status.st_size);

  std::array<std::byte, kLengthBytes> length_bytes{};
  if (size < kLengthBytes || read_at(*result.descriptor_, 0, length_bytes, file) < kLengthBytes) {
    fail("header length", "takes 8 bytes, but the file has only " + std::to_string(size));
  }
  std::uint64_t length = 0;
  for (std::size_t byte = 0; byte < kLengthBytes; ++byte) {
    length |= std::to_integer<std::uint64_t>(length_bytes[byte]) << (8 * byte);
  }
  if (length > kMaximumSafetensorsHeaderBytes) {
    fail("header length", "at most " + std::to_string(kMaximumSafetensorsHeaderBytes) + " bytes, got " +
                              std::to_string(length));
  }
  if (length > size - kLengthBytes) {
    fail("header length", "got " + std::to_string(length) + " bytes, but the file has only " +
                              std::to_string(size - kLengthBytes) + " bytes after it");
  }
  std::string header(static_cast<std::size_t>(length), '\0');
  if (read_at(*result.descriptor_, kLengthBytes, std::as_writable_bytes(std::span(header)), file) < length) {
    fail("header", "the file was cut off while it was read");
  }
  result.data_begin_ = kLengthBytes + length;
  try {
    auto [tensors, metadata] = parse_safetensors_header(header, size - result.data_begin_);
    result.tensors_ = std::move(tensors);
    result.metadata_ = std::move(metadata);
  } catch (const SafetensorsHeaderError& error) {
    fail(error.field, error.reason);
  }
  return result;
}

void write_safetensors(const fs::path& file, std::span<const SafetensorsContent> tensors,
                       const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  std::vector<std::span<const std::byte>> parts(2);
  for (const SafetensorsContent& tensor : tensors) {
    std::uint64_t elements = 1;
    for (const std::int64_t size : tensor.shape) elements *= static_cast<std::uint64_t>(size);
    if (elements * size_of(tensor.dtype) != tensor.data.size()) {
      throw std::invalid_argument(tensor.name + ": the shape takes " +
                                  std::to_string(elements * size_of(tensor.dtype)) + " bytes, got " +
                                  std::to_string(tensor.data.size()));
    }
    if (header.contains(tensor.name)) throw std::invalid_argument(tensor.name + ": given twice");
    header[tensor.name] = {{"dtype", safetensors_name_of(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + tensor.data.size()}}};
    offset += tensor.data.size();
    parts.push_back(tensor.data);
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the tensors begin on a multiple of 8
  std::string length;
  for (std::size_t byte = 0; byte < kLengthBytes; ++byte)
    length += static_cast<char>(text.size() >> (8 * byte));
  parts[0] = bytes_of(length);
  parts[1] = bytes_of(text);
  write_file_atomically(file, parts);
}

}  // namespace normproof
