// When a worker counts as hung, and what processors have worked for a process.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "properties/targets/worker/process_memory.h"
#include "properties/targets/worker_process.h"

namespace normproof {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Patience, IsForWhatAWorkerComputes) {
  constexpr seconds kPatience{20};
  EXPECT_FALSE(counts_as_hung(milliseconds(19999), seconds(0), kPatience));
  EXPECT_TRUE(counts_as_hung(seconds(20), seconds(0), kPatience));   // it waits for ever
  EXPECT_TRUE(counts_as_hung(seconds(20), seconds(20), kPatience));  // it computes for ever
  EXPECT_FALSE(counts_as_hung(seconds(21), seconds(5), kPatience));  // a busy machine
  EXPECT_TRUE(counts_as_hung(seconds(80), seconds(20), kPatience));
  EXPECT_TRUE(counts_as_hung(seconds(60), seconds(2), kPatience));
  EXPECT_TRUE(counts_as_hung(seconds(100), seconds(10), kPatience));
}

// A process whose child computes: the time of both counts.
TEST(Patience, ProcessorTimeIsThatOfAllProcesses) {
  const pid_t parent = fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) {
    const pid_t child = fork();
    if (child == 0) {
      while (true) continue;
    }
    while (true) pause();
  }
  const auto begin = std::chrono::steady_clock::now();
  milliseconds used(0);
  while (used < milliseconds(100) && std::chrono::steady_clock::now() - begin < seconds(20)) {
    usleep(10000);
    used = processor_time_of_tree(parent);
  }
  for (const pid_t child : children_of(parent)) kill(child, SIGKILL);
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  EXPECT_GE(used, milliseconds(100));
  EXPECT_LE(used, std::chrono::steady_clock::now() - begin + milliseconds(100));
  EXPECT_EQ(processor_time_of_tree(parent), milliseconds(0));  // it is no more
}

}  // namespace
}  // namespace normproof
