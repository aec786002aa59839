// Cases in files: reading, atomic writing, finding.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "corpus/atomic_file.h"
#include "corpus/case_json.h"
#include "corpus/limits.h"
#include "corpus/sequence.h"

namespace normproof {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_at(std::string_view what, const fs::path& path) {
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

 private:
  int number_;
};

// One in a folder, unlike the pipes of /dev/stdin and /dev/fd.
bool is_named_fifo(int descriptor) {
  struct stat status{};
  if (fstat(descriptor, &status) != 0 || !S_ISFIFO(status.st_mode)) return false;
  std::error_code error;
  return fs::read_symlink("/proc/self/fd/" + std::to_string(descriptor), error).is_absolute();
}

std::string read_text(const fs::path& path) {
  // Without O_NONBLOCK a FIFO that nobody writes to would hang here.
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.number() < 0) fail_at("cannot open", path);
  if (is_named_fifo(file.number())) throw CaseError("$", "this is a FIFO, not a file");
  fcntl(file.number(), F_SETFL, 0);  // a pipe, as in <(command), is read to its end
  std::string text;
  std::string chunk(std::size_t{1} << 16, '\0');
  for (;;) {
    const ssize_t count = read(file.number(), chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_at("cannot read", path);
    if (count == 0) return text;
    text.append(chunk, 0, static_cast<std::size_t>(count));
    if (text.size() > kMaximumCaseTextBytes) return text;  // refused by the parser, with its size
  }
}

}  // namespace

Case read_case(const fs::path& file, Demand* demand) {
  try {
    return case_from_json(read_text(file), demand);
  } catch (const CaseError& error) {
    throw CaseError(file, error);
  }
}

void write_case(const fs::path& file, const Case& test_case, const Demand& demand) {
  write_text_atomically(file, case_to_json(test_case, demand));
}

Sequence read_sequence(const fs::path& file) {
  try {
    return sequence_from_json(read_text(file));
  } catch (const CaseError& error) {
    throw CaseError(file, error);
  }
}

void write_sequence(const fs::path& file, const Sequence& sequence) {
  write_text_atomically(file, sequence_to_json(sequence));
}

std::vector<fs::path> find_case_files(const fs::path& file_or_folder) {
  if (!fs::exists(file_or_folder)) {
    errno = ENOENT;
    fail_at("cannot find", file_or_folder);
  }
  if (!fs::is_directory(file_or_folder)) return {file_or_folder};
  std::vector<fs::path> files;
  std::error_code ignored;  // a link round in a circle is found to be no case when it is read
  for (const auto& entry : fs::recursive_directory_iterator(file_or_folder)) {
    const fs::path& path = entry.path();
    if (path.extension() != ".json" || path.stem().extension() == ".schema" || entry.is_directory(ignored))
      continue;
    files.push_back(path);
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace normproof
