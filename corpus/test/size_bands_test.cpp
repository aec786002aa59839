// The table of sizes: every hidden size of corpus/models is a band, and what is missing is named.
#include "corpus/size_bands.h"

#include <gtest/gtest.h>

#include "corpus/case_json.h"

namespace normproof {
namespace {

Case of_shape(std::vector<std::int64_t> shape) {
  Case test_case;
  test_case.shape = std::move(shape);
  return test_case;
}

TEST(SizeBands, HaveEveryHiddenSizeOfTheModels) {
  std::size_t files = 0;
  for (const auto& file : find_case_files(NORMPROOF_SOURCE_DIR "/corpus/models")) {
    const auto cell = size_cell(read_case(file));
    ASSERT_TRUE(cell) << file;
    const SizeBand& band = kHiddenBands[cell->second];
    EXPECT_EQ(band.first, band.last) << file;
    ++files;
  }
  EXPECT_GT(files, 40u);
}

TEST(SizeBands, TellTheCellOfACase) {
  const auto rows_band = [](std::vector<std::int64_t> shape) {
    const auto cell = size_cell(of_shape(std::move(shape)));
    return cell ? to_string(kRowBands[cell->first]) + " x " + to_string(kHiddenBands[cell->second]) : "";
  };
  EXPECT_EQ(rows_band({256, 6144}), "65-256 x 6144");
  EXPECT_EQ(rows_band({4, 64, 6143}), "65-256 x 2049-8191");
  EXPECT_EQ(rows_band({1024, 16384}), "257-1024 x 16384");
  EXPECT_EQ(rows_band({1, 65536, 4}), "65535-65537 x 2-16");
  EXPECT_EQ(rows_band({8388609, 1}), "8388609 x 1");
  EXPECT_EQ(rows_band({0, 64}), "");
  EXPECT_EQ(rows_band({5000, 64}), "");
  EXPECT_EQ(rows_band({65536, 512}), "");  // costs too much, and is not wanted
}

TEST(SizesReached, NameWhatIsMissing) {
  SizesReached sizes;
  EXPECT_EQ(sizes.count(), 0u);
  EXPECT_EQ(sizes.missing(0), "1 to 16385-65536");
  for (std::size_t hidden = 0; hidden < kHiddenBands.size(); ++hidden) sizes.add({0, hidden});
  EXPECT_EQ(sizes.missing(0), "");
  EXPECT_EQ(sizes.count(), kHiddenBands.size());
  SizesReached some;
  for (const std::int64_t hidden : {1, 20, 64, 128}) some.add(*size_cell(of_shape({65536, hidden})));
  EXPECT_EQ(some.missing(7), "2-16");
  some += sizes;
  EXPECT_EQ(some.count(), sizes.count() + 4);
  EXPECT_NE(sizes_left_out().find("8388609 rows with H of 2 and more"), std::string::npos);
}

}  // namespace
}  // namespace normproof
