// Corpora are made small enough together; small ones stay whole, and the smallest inputs stay.
#include "fuzz/campaign/corpus_size.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <string>

namespace normproof::campaign {
namespace {

using std::filesystem::path;

class CorpusSizes : public testing::Test {
 protected:
  ~CorpusSizes() override { std::filesystem::remove_all(folder_); }
  // A folder of inputs that are named by their sizes.
  path add(const std::string& name, const std::vector<int>& sizes) {
    std::filesystem::create_directories(folder_ / name);
    for (const int size : sizes) {
      std::ofstream(folder_ / name / std::to_string(size))
          << std::string(static_cast<std::size_t>(size), 'x');
    }
    return folder_ / name;
  }
  static std::set<int> sizes_in(const path& folder) {
    std::set<int> sizes;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      sizes.insert(std::stoi(entry.path().filename().string()));
    return sizes;
  }

 private:
  path folder_ =
      std::filesystem::temp_directory_path() / ("normproof-corpus-size-" + std::to_string(getpid()));
};

TEST_F(CorpusSizes, WhatFitsStays) {
  const path one = add("one", {1, 2}), other = add("other", {3});
  bound_corpora({one, other}, {.inputs = 3, .bytes = 6});
  EXPECT_EQ(sizes_in(one), (std::set{1, 2}));
  EXPECT_EQ(sizes_in(other), std::set{3});
}

TEST_F(CorpusSizes, TooManyInputsAreSharedOut) {
  const path small = add("small", {9}), large = add("large", {1, 2, 3, 4, 5}),
             wide = add("wide", {1, 2, 7, 8});
  bound_corpora({small, large, wide}, {.inputs = 7, .bytes = 1000});
  EXPECT_EQ(sizes_in(small), std::set{9});
  EXPECT_EQ(sizes_in(large), (std::set{1, 2, 3}));
  EXPECT_EQ(sizes_in(wide), (std::set{1, 2, 7}));
}

TEST_F(CorpusSizes, TooManyBytesAreSharedOut) {
  const path small = add("small", {10}), large = add("large", {20, 30, 100}), folderless = "/nowhere";
  bound_corpora({small, large, folderless}, {.inputs = 100, .bytes = 65});
  EXPECT_EQ(sizes_in(small), std::set{10});
  EXPECT_EQ(sizes_in(large), (std::set{20, 30}));
  bound_corpora({large}, {.inputs = 0, .bytes = 65});
  EXPECT_TRUE(sizes_in(large).empty());
}

}  // namespace
}  // namespace normproof::campaign
