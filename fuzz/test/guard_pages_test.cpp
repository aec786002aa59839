// An access to one byte outside a tensor, or a write into an input, traps and
// is named; what is allowed is not.
#include "fuzz/guard_pages.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace normproof::fuzz {
namespace {

constexpr std::array<std::int64_t, 2> kShape = {1, 5};  // 10 bytes of bf16
constexpr int kTrapped = 5;
enum class Access { read, write };

// Ends the process: with kTrapped after a trap, else with 0.
[[noreturn]] void touch(GuardPages::Side side, bool read_only, std::ptrdiff_t byte, Access access) {
  TensorMemory memory;
  const GuardedTensor tensor(memory, "input", DType::bf16, kShape, {});
  GuardPages pages;
  volatile std::byte* const first = pages.move_in(tensor, side, read_only);
  handle_traps(
      {.describe = [&](const void* address, std::string_view what) { return pages.describe(address, what); },
       .report =
           [](const std::string& what) {
             fmt::print(stderr, "{}\n", what);
             std::_Exit(kTrapped);
           }});
  if (access == Access::write) {
    first[byte] = std::byte{1};
  } else {
    const std::byte value = first[byte];
    (void)value;
  }
  std::_Exit(0);
}

using Side = GuardPages::Side;
const testing::ExitedWithCode trapped(kTrapped), allowed(0);

TEST(GuardPages, OneByteBeyondTheEndTraps) {
  EXPECT_EXIT(touch(Side::end, false, 10, Access::read), trapped,
              "input: byte 10 from the first element was (read|touched), 1 beyond the last byte");
  EXPECT_EXIT(touch(Side::end, false, 12, Access::write), trapped, "was (written|touched), 3 beyond");
}

TEST(GuardPages, OneByteBeforeTheBeginningTraps) {
  EXPECT_EXIT(touch(Side::beginning, false, -1, Access::read), trapped,
              "input: byte -1 from the first element was (read|touched), before the tensor");
}

TEST(GuardPages, AWriteIntoAnInputTraps) {
  for (const Side side : {Side::beginning, Side::end}) {
    EXPECT_EXIT(touch(side, true, 3, Access::write), trapped, "input: byte 3 .*, which is an input");
    EXPECT_EXIT(touch(side, true, 3, Access::read), allowed, "");
  }
}

TEST(GuardPages, TheTensorItselfIsThere) {
  for (const Side side : {Side::beginning, Side::end}) {
    for (const std::ptrdiff_t byte : {0, 9}) {
      EXPECT_EXIT(touch(side, false, byte, Access::write), allowed, "");
    }
  }
}

TEST(GuardPages, WhatWasWrittenComesBack) {
  TensorMemory memory;
  GuardedTensor tensor(memory, "out", DType::bf16, kShape, {});
  const std::vector<std::byte> values(10, std::byte{7});
  tensor.scatter(values);
  GuardPages pages;
  for (const Side side : {Side::beginning, Side::end}) {
    std::byte* const first = pages.move_in(tensor, side, false);
    EXPECT_EQ(first[9], std::byte{7});
    first[9] = std::byte{8};
    // At the end that meets no page the guard zone comes along, and with it what is written there.
    const std::ptrdiff_t stray = side == Side::end ? -1 : 10;
    first[stray] = std::byte{9};
    pages.move_out();
    EXPECT_EQ(tensor.gather()[9], std::byte{8});
    EXPECT_NE(tensor.find_stray_write().find(fmt::format("byte {} from", stray)), std::string::npos);
    tensor.scatter(values);
    tensor.data()[stray] = kCanary;
  }
}

}  // namespace
}  // namespace normproof::fuzz
