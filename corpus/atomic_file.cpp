// Writing a file as a whole or not at all: write beside it, flush, rename. What
// cannot be replaced is written through.
#include "corpus/atomic_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace normproof {
namespace {

namespace fs = std::filesystem;
using Parts = std::span<const std::span<const std::byte>>;

constexpr int kMostLinks = 40;  // as the kernel follows

[[noreturn]] void fail(const char* what, const fs::path& path) {
  throw std::system_error(errno, std::generic_category(), what + (" " + path.string()));
}

// While it lives, a pipe that nobody reads is an error of write(2), not the end of the program.
class NoPipeSignal {
 public:
  NoPipeSignal() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  NoPipeSignal(const NoPipeSignal&) = delete;
  NoPipeSignal& operator=(const NoPipeSignal&) = delete;
  ~NoPipeSignal() {
    const int error = errno;
    const timespec at_once{};
    while (sigtimedwait(&pipe_, nullptr, &at_once) > 0 || errno == EINTR) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = error;
  }

 private:
  sigset_t pipe_, before_;
};

void write_all(int descriptor, Parts parts, const fs::path& file) {
  const NoPipeSignal no_signal;
  for (std::span<const std::byte> data : parts) {
    while (!data.empty()) {
      const ssize_t count = write(descriptor, data.data(), data.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail("cannot write", file);
      data = data.subspan(static_cast<std::size_t>(count));
    }
  }
}

// A descriptor that is closed at the end.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int number() const { return number_; }
  // close(2) may report that earlier writes failed.
  void close(const fs::path& file) {
    if (::close(std::exchange(number_, -1)) != 0) fail("cannot close", file);
  }

 private:
  int number_;
};

// Where a name leads.
struct Destination {
  fs::path file;                  // no link itself
  std::optional<int> descriptor;  // of this process, as in /dev/stdout and /dev/fd/63
};

fs::path folder_of(const fs::path& file) { return file.has_parent_path() ? file.parent_path() : "."; }

std::optional<int> number_in(const std::string& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Destination destination_of(const fs::path& name) {
  Destination result{name, std::nullopt};
  std::error_code error;
  const fs::path descriptors = fs::canonical("/proc/self/fd", error);
  for (int links = 0; fs::is_symlink(fs::symlink_status(result.file, error)); ++links) {
    if (links == kMostLinks) {
      errno = ELOOP;
      fail("cannot follow", name);
    }
    const fs::path folder = fs::canonical(folder_of(result.file), error);
    if (!descriptors.empty() && folder == descriptors) {
      result.descriptor = number_in(result.file.filename().string());
      if (result.descriptor) return result;
    }
    if (folder.native().starts_with("/proc/")) return result;  // such a link says what is there, not where
    result.file = folder / fs::read_symlink(result.file, error);
  }
  return result;
}

void write_to_descriptor(int number, const fs::path& file, Parts parts) {
  // What was printed before stands before it.
  std::fflush(nullptr);
  const Descriptor same(fcntl(number, F_DUPFD_CLOEXEC, 0));
  if (same.number() < 0) fail("cannot open", file);
  write_all(same.number(), parts, file);
}

void write_in_place(const fs::path& file, Parts parts) {
  Descriptor there(open(file.c_str(), O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC));
  if (there.number() < 0) fail("cannot open", file);
  write_all(there.number(), parts, file);
  // A device or a FIFO has nothing to flush.
  if (fsync(there.number()) != 0 && errno != EINVAL && errno != EROFS) fail("cannot flush", file);
  there.close(file);
}

// Whether a folder forbids what replacing needs, though the file itself may be written.
bool folder_forbids(int error) {
  return error == EACCES || error == EPERM || error == EROFS || error == EBUSY;
}

// The names of unfinished files, where a signal handler finds them. Of more than there are slots for, the
// others are not removed by it.
struct UnfinishedName {
  enum State { free, being_set, set };
  std::atomic<State> state = free;
  std::array<char, PATH_MAX> path{};
};
std::array<UnfinishedName, 16> unfinished_names;

class RegisteredName {
 public:
  RegisteredName() = default;
  RegisteredName(const RegisteredName&) = delete;
  RegisteredName& operator=(const RegisteredName&) = delete;
  ~RegisteredName() { release(); }
  void set(const std::string& path) {
    release();
    if (path.size() >= PATH_MAX) return;
    for (UnfinishedName& each : unfinished_names) {
      auto expected = UnfinishedName::free;
      if (!each.state.compare_exchange_strong(expected, UnfinishedName::being_set)) continue;
      std::memcpy(each.path.data(), path.c_str(), path.size() + 1);
      each.state = UnfinishedName::set;
      name_ = &each;
      return;
    }
  }

 private:
  void release() {
    if (name_ != nullptr) name_->state = UnfinishedName::free;
    name_ = nullptr;
  }
  UnfinishedName* name_ = nullptr;
};

// A file under construction beside another; removed unless it was put in its place.
class UnfinishedFile {
 public:
  // Beside the file, because a rename is atomic within one file system only; hidden while unfinished. The
  // name is short, so that it fits wherever the file's own does.
  explicit UnfinishedFile(const fs::path& file) : folder_(folder_of(file)), descriptor_(create()) {}
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;
  ~UnfinishedFile() {
    if (was_created() && !in_place_) unlink(path_.c_str());
  }
  bool was_created() const { return !path_.empty(); }

  // `before`: of the file that is replaced, whose mode and, where we may give it, owner the new one gets.
  void write(Parts parts, const fs::path& file, const struct stat* before) {
    write_all(descriptor_.number(), parts, file);
    if (before != nullptr) {
      const bool is_same_owner = fchown(descriptor_.number(), before->st_uid, before->st_gid) == 0;
      const mode_t kept = is_same_owner ? 07777 : 0777;
      if (fchmod(descriptor_.number(), before->st_mode & kept) != 0) fail("cannot set the mode of", file);
    }
    if (fsync(descriptor_.number()) != 0) fail("cannot flush", file);
    descriptor_.close(file);
  }
  // Whether it could; else errno says why not.
  bool put_in_place(const fs::path& file) {
    if (rename(path_.c_str(), file.c_str()) != 0) return false;
    in_place_ = true;
    // The new name must survive a power failure too; a folder that cannot be flushed is no error.
    const Descriptor folder(open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.number() >= 0) fsync(folder.number());
    return true;
  }

 private:
  int create() {
    const std::string prefix = ".normproof." + std::to_string(getpid()) + ".";
    for (int attempt = 0; attempt < 1000; ++attempt) {
      path_ = folder_ / (prefix + std::to_string(attempt) + ".unfinished");
      name_.set(path_);
      const int descriptor = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (descriptor >= 0) return descriptor;
      if (errno != EEXIST) break;
    }
    path_.clear();
    return -1;
  }

  fs::path folder_, path_;
  RegisteredName name_;
  Descriptor descriptor_;
  bool in_place_ = false;
};

// `before`: of the file that is there, none where there is none.
void replace(const fs::path& file, const struct stat* before, Parts parts) {
  UnfinishedFile unfinished(file);
  if (!unfinished.was_created()) {
    if (before != nullptr && folder_forbids(errno)) return write_in_place(file, parts);
    fail("cannot create a file beside", file);
  }
  unfinished.write(parts, file, before);
  if (unfinished.put_in_place(file)) return;
  if (before != nullptr && folder_forbids(errno))
    return write_in_place(file, parts);  // something is mounted there
  fail("cannot replace", file);
}

}  // namespace

void write_file_atomically(const fs::path& file, Parts parts) {
  const Destination destination = destination_of(file);
  if (destination.descriptor) return write_to_descriptor(*destination.descriptor, file, parts);
  struct stat there{};
  if (stat(destination.file.c_str(), &there) != 0) return replace(destination.file, nullptr, parts);
  if (!S_ISREG(there.st_mode)) return write_in_place(destination.file, parts);
  // Renaming needs no leave of the file that is replaced; writing does.
  if (faccessat(AT_FDCWD, destination.file.c_str(), W_OK, AT_EACCESS) != 0) fail("cannot write", file);
  replace(destination.file, &there, parts);
}

void remove_unfinished_files() {
  for (const UnfinishedName& each : unfinished_names)
    if (each.state == UnfinishedName::set) unlink(each.path.data());
}

void write_text_atomically(const fs::path& file, std::string_view text) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(text));
  write_file_atomically(file, {&bytes, 1});
}

}  // namespace normproof
