// Cases in files: reading, atomic writing, finding.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "corpus/case_json.h"
#include "corpus/limits.h"

namespace normproof {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(std::string_view what, const fs::path& path) {
  throw std::system_error(errno, std::generic_category(), std::string(what) + " " + path.string());
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int number) : number_(number) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (number_ >= 0) close(number_);
  }
  int number() const { return number_; }
  // The result of close(2), which may report that earlier writes failed.
  int close_now() { return close(std::exchange(number_, -1)); }

 private:
  int number_;
};

// Removes the file unless told to keep it.
class TemporaryFile {
 public:
  explicit TemporaryFile(fs::path path) : path_(std::move(path)) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (!kept_) unlink(path_.c_str());
  }
  const fs::path& path() const { return path_; }
  void keep() { kept_ = true; }

 private:
  fs::path path_;
  bool kept_ = false;
};

std::string read_text(const fs::path& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.number() < 0) fail("cannot open", path);
  std::string text;
  std::string chunk(std::size_t{1} << 16, '\0');
  for (;;) {
    const ssize_t count = read(file.number(), chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("cannot read", path);
    if (count == 0) return text;
    text.append(chunk, 0, static_cast<std::size_t>(count));
    if (text.size() > kMaximumCaseTextBytes) return text;  // refused by the parser, with its size
  }
}

void write_all(int file, std::string_view text, const fs::path& path) {
  while (!text.empty()) {
    const ssize_t count = write(file, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("cannot write", path);
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

}  // namespace

Case read_case(const fs::path& file) {
  try {
    return case_from_json(read_text(file));
  } catch (const CaseError& error) {
    throw CaseError(file, error);
  }
}

void write_case(const fs::path& file, const Case& test_case) {
  const std::string text = case_to_json(test_case);
  // Beside the file, because a rename is atomic within one file system only; hidden, and no *.json while
  // unfinished.
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  const std::string prefix = "." + file.filename().string() + "." + std::to_string(getpid()) + ".";
  int number = -1;
  fs::path unfinished;
  for (int attempt = 0; attempt < 1000 && number < 0; ++attempt) {
    unfinished = folder / (prefix + std::to_string(attempt) + ".unfinished");
    number = open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (number < 0 && errno != EEXIST) break;
  }
  FileDescriptor output(number);
  if (output.number() < 0) fail("cannot create a file beside", file);
  TemporaryFile temporary(unfinished);
  write_all(output.number(), text, file);
  if (fsync(output.number()) != 0) fail("cannot flush", file);
  if (output.close_now() != 0) fail("cannot close", file);
  if (rename(temporary.path().c_str(), file.c_str()) != 0) fail("cannot replace", file);
  temporary.keep();
  // The new name must survive a power failure too; a folder that cannot be flushed is no error.
  const FileDescriptor folder_descriptor(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder_descriptor.number() >= 0) fsync(folder_descriptor.number());
}

std::vector<fs::path> find_case_files(const fs::path& file_or_folder) {
  if (!fs::exists(file_or_folder)) {
    errno = ENOENT;
    fail("cannot find", file_or_folder);
  }
  if (!fs::is_directory(file_or_folder)) return {file_or_folder};
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(file_or_folder)) {
    const fs::path& path = entry.path();
    if (path.extension() != ".json" || path.stem().extension() == ".schema" || entry.is_directory()) continue;
    files.push_back(path);
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace normproof
