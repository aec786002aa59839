// Writing a file as a whole or not at all: write beside it, flush, rename.
#include "corpus/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace normproof {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const char* what, const fs::path& path) {
  throw std::system_error(errno, std::generic_category(), what + (" " + path.string()));
}

// A file under construction; removed unless it was put in place.
class UnfinishedFile {
 public:
  explicit UnfinishedFile(const fs::path& file) : file_(file), folder_(file.parent_path()) {
    if (folder_.empty()) folder_ = ".";
    // Beside the file, because a rename is atomic within one file system only; hidden while unfinished.
    const std::string prefix = "." + file.filename().string() + "." + std::to_string(getpid()) + ".";
    for (int attempt = 0; attempt < 1000 && descriptor_ < 0; ++attempt) {
      path_ = folder_ / (prefix + std::to_string(attempt) + ".unfinished");
      descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (descriptor_ < 0 && errno != EEXIST) break;
    }
    if (descriptor_ < 0) fail("cannot create a file beside", file);
  }
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;
  ~UnfinishedFile() {
    if (descriptor_ >= 0) close(descriptor_);
    if (!in_place_) unlink(path_.c_str());
  }

  void append(std::span<const std::byte> data) {
    while (!data.empty()) {
      const ssize_t count = write(descriptor_, data.data(), data.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail("cannot write", file_);
      data = data.subspan(static_cast<std::size_t>(count));
    }
  }
  void put_in_place() {
    if (fsync(descriptor_) != 0) fail("cannot flush", file_);
    // close(2) may report that earlier writes failed.
    if (close(std::exchange(descriptor_, -1)) != 0) fail("cannot close", file_);
    if (rename(path_.c_str(), file_.c_str()) != 0) fail("cannot replace", file_);
    in_place_ = true;
    // The new name must survive a power failure too; a folder that cannot be flushed is no error.
    const int folder = open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return;
    fsync(folder);
    close(folder);
  }

 private:
  fs::path file_, folder_, path_;
  int descriptor_ = -1;
  bool in_place_ = false;
};

}  // namespace

void write_file_atomically(const fs::path& file, std::span<const std::span<const std::byte>> parts) {
  UnfinishedFile unfinished(file);
  for (const auto part : parts) unfinished.append(part);
  unfinished.put_in_place();
}

void write_text_atomically(const fs::path& file, std::string_view text) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(text));
  write_file_atomically(file, {&bytes, 1});
}

}  // namespace normproof
