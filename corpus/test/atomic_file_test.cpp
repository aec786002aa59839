// Output files: replaced as a whole; links, modes and what is no regular file stay what they are.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "corpus/atomic_file.h"
#include "corpus/test/temporary_folder.h"

namespace normproof {
namespace {

namespace fs = std::filesystem;

std::string text_in(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

struct stat status_of(const fs::path& file) {
  struct stat status{};
  EXPECT_EQ(lstat(file.c_str(), &status), 0) << file;
  return status;
}

std::string error_of(const fs::path& file, std::string_view text) {
  try {
    write_text_atomically(file, text);
  } catch (const std::system_error& error) {
    return error.what();
  }
  return "no error";
}

class AtomicFile : public testing::Test {
 protected:
  fs::path path(std::string_view name) const { return folder_.path() / name; }
  std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()));
  }
  // Runs `work` as another user, or in namespaces of its own; skips the test where that cannot be had.
  static int in_child(const std::function<int()>& work) {
    const pid_t child = fork();
    if (child == 0) _exit(work());
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  TemporaryFolder folder_;
};

TEST_F(AtomicFile, AFileKeepsItsMode) {
  const fs::path file = path("a.json");
  std::ofstream(file) << "old, and longer";
  for (const mode_t mode : {0600u, 0640u, 0755u}) {
    ASSERT_EQ(chmod(file.c_str(), mode), 0);
    write_text_atomically(file, "new");
    EXPECT_EQ(status_of(file).st_mode & 07777, mode);
    EXPECT_EQ(text_in(file), "new");
  }
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicFile, LinksAreFollowed) {
  fs::create_directories(path("there"));
  fs::create_symlink("there/file", path("second"));
  fs::create_symlink("second", path("first"));
  for (const std::string text : {"the first, to a file that is not there yet", "the second"}) {
    write_text_atomically(path("first"), text);
    EXPECT_TRUE(fs::is_symlink(path("first")));
    EXPECT_TRUE(fs::is_symlink(path("second")));
    EXPECT_EQ(text_in(path("there/file")), text);
  }
  fs::create_symlink("round", path("round"));
  EXPECT_EQ(error_of(path("round"), "x"),
            "cannot follow " + path("round").string() + ": Too many levels of symbolic links");
}

TEST_F(AtomicFile, AFifoIsWrittenThrough) {
  const fs::path fifo = path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  // More than a pipe holds.
  const std::string text(300'000, 'x');
  std::string read;
  std::thread reader([&] { read = text_in(fifo); });
  write_text_atomically(fifo, text);
  reader.join();
  EXPECT_EQ(read, text);
  EXPECT_TRUE(S_ISFIFO(status_of(fifo).st_mode));
}

TEST_F(AtomicFile, AnOpenDescriptorIsWrittenThrough) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  write_text_atomically("/dev/fd/" + std::to_string(ends[1]), "text");
  char buffer[8] = {};
  EXPECT_EQ(read(ends[0], buffer, sizeof buffer), 4);
  EXPECT_STREQ(buffer, "text");
  // Nobody reads: an error, not the end of the program.
  close(ends[0]);
  const std::string name = "/dev/fd/" + std::to_string(ends[1]);
  EXPECT_EQ(error_of(name, "text"), "cannot write " + name + ": Broken pipe");
  close(ends[1]);
  // A file goes on where its descriptor is, as after `> file`.
  const fs::path file = path("printed");
  const int descriptor = open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(write(descriptor, "before ", 7), 7);
  write_text_atomically("/proc/self/fd/" + std::to_string(descriptor), "text");
  ASSERT_EQ(write(descriptor, " after", 6), 6);
  close(descriptor);
  EXPECT_EQ(text_in(file), "before text after");
  EXPECT_NE(error_of("/dev/fd/987", "text"), "no error");
}

TEST_F(AtomicFile, DevicesStayDevices) {
  // This test's own, where it may make some: root would lose the machine's to code that replaces them.
  fs::path null = "/dev/null", full = "/dev/full";
  if (access("/dev", W_OK) == 0) {
    null = path("null"), full = path("full");
    for (const auto& [node, number] : {std::pair(null, 3u), std::pair(full, 7u)}) {
      if (mknod(node.c_str(), S_IFCHR | 0666, makedev(1, number)) != 0)
        GTEST_SKIP() << "no leave to make a device";
      const int device = open(node.c_str(), O_WRONLY | O_CLOEXEC);
      if (device < 0) GTEST_SKIP() << "no leave to open a device here";
      close(device);
    }
  }
  write_text_atomically(null, "text");
  EXPECT_EQ(error_of(full, "text"), "cannot write " + full.string() + ": No space left on device");
  for (const fs::path& node : {null, full}) EXPECT_TRUE(S_ISCHR(status_of(node).st_mode)) << node;
}

TEST_F(AtomicFile, ALongNameFits) {
  const fs::path file = path(std::string(255, 'n'));
  write_text_atomically(file, "text");
  EXPECT_EQ(text_in(file), "text");
}

TEST_F(AtomicFile, ReadOnlyFilesAreRefused) {
  const fs::path file = path("a.json");
  std::ofstream(file) << "old";
  chmod(file.c_str(), 0444);
  chmod(folder_.path().c_str(), 0777);
  const int status = in_child([&] {
    if (geteuid() == 0 && setuid(65534) != 0) return 77;
    return error_of(file, "new") == "cannot write " + file.string() + ": Permission denied" ? 0 : 1;
  });
  if (status == 77) GTEST_SKIP() << "cannot become another user";
  EXPECT_EQ(status, 0);
  EXPECT_EQ(text_in(file), "old");
}

TEST_F(AtomicFile, AFolderThatTakesNoOtherFileIsWrittenInPlace) {
  const fs::path file = path("a.json");
  std::ofstream(file) << "old, and longer";
  chmod(file.c_str(), 0666);
  chmod(folder_.path().c_str(), 0555);
  const int status = in_child([&] {
    if (geteuid() == 0 && setuid(65534) != 0) return 77;
    return error_of(file, "new") == "no error" ? 0 : 1;
  });
  chmod(folder_.path().c_str(), 0755);
  if (status == 77) GTEST_SKIP() << "cannot become another user";
  EXPECT_EQ(status, 0);
  EXPECT_EQ(text_in(file), "new");
}

TEST_F(AtomicFile, AFullDiskLeavesTheOldFile) {
  const fs::path disk = path("disk");
  fs::create_directory(disk);
  const int status = in_child([&] {
    // A user's own namespace may mount; so may root.
    if (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) != 0) return 77;
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 77;
    if (mount("small", disk.c_str(), "tmpfs", 0, "size=64k") != 0) return 77;
    write_text_atomically(disk / "a", "old");
    const std::string error = error_of(disk / "a", std::string(100'000, 'x'));
    if (error.find("No space left on device") == std::string::npos) return 1;
    if (text_in(disk / "a") != "old") return 2;
    // Nothing unfinished is left.
    return std::distance(fs::directory_iterator(disk), fs::directory_iterator()) == 1 ? 0 : 3;
  });
  if (status == 77) GTEST_SKIP() << "no leave to mount a disk";
  EXPECT_EQ(status, 0);
}

TEST_F(AtomicFile, AFileThatIsAMountKeepsItsPlace) {
  std::ofstream(path("outside")) << "old, and longer";
  std::ofstream(path("a.json")) << "";
  const int status = in_child([&] {
    if (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) != 0) return 77;
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 77;
    if (mount(path("outside").c_str(), path("a.json").c_str(), nullptr, MS_BIND, nullptr) != 0) return 77;
    return error_of(path("a.json"), "new") == "no error" ? 0 : 1;
  });
  if (status == 77) GTEST_SKIP() << "no leave to mount a file";
  EXPECT_EQ(status, 0);
  EXPECT_EQ(text_in(path("outside")), "new");
}

TEST_F(AtomicFile, ASignalHandlerRemovesWhatIsUnfinished) {
  const auto unfinished = [&] {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(folder_.path()))
      count += entry.path().extension() == ".unfinished" ? 1 : 0;
    return count;
  };
  const pid_t writer = fork();
  if (writer == 0) {
    signal(SIGTERM, [](int) {
      remove_unfinished_files();
      _exit(0);
    });
    const std::string text(std::size_t{8} << 20, 'x');
    while (true) write_text_atomically(path("a.json"), text);
  }
  while (unfinished() == 0) usleep(100);
  kill(writer, SIGTERM);
  int status = 1;
  waitpid(writer, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(unfinished(), 0u);
}

}  // namespace
}  // namespace normproof
