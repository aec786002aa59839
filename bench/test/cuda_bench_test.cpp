#include "bench/cuda_bench.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace normproof::bench {
namespace {

using ::testing::UnitTest;

Measured measured(const std::string& operation, normproof_dtype dtype, std::int64_t hidden,
                  std::int64_t tokens, double copy_us, double kernel_us) {
  Measured row;
  row.row = {operation, hidden, tokens, true, dtype};
  row.copy_us = copy_us;
  row.kernel_us = kernel_us;
  row.shape = "block_2_early";
  return row;
}

Report report_of(std::vector<Measured> rows) {
  Report report;
  report.measured = std::move(rows);
  return report;
}

std::size_t exceptions_in(const std::string& text) {
  std::size_t found = 0;
  for (auto at = text.find("EXCEPTION"); at != std::string::npos; at = text.find("EXCEPTION", at + 1))
    ++found;
  return found;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class PeersFile : public testing::Test {
 protected:
  void write(const std::string& text) const { std::ofstream(path_) << text; }
  void TearDown() override { std::filesystem::remove(path_); }
  const std::filesystem::path path_ =
      std::filesystem::temp_directory_path() /
      (std::string("peers_") + UnitTest::GetInstance()->current_test_info()->name() + ".csv");
};

TEST_F(PeersFile, TheFastestPeerIsTakenAndPrototypesAreNone) {
  write(
      "# measured somewhere\nop,H,tokens,mode,copy,a,b,c,prototype,prototype_pdl,prototype_config\n"
      "add,4096,8192,cold,60,65,70,,50,48,x\n");
  const auto rows = read_peers(path_);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].row.operation, "add");
  EXPECT_EQ(rows[0].row.hidden, 4096);
  EXPECT_TRUE(rows[0].row.cold);
  const Peer peer = rows[0].peer.value_or(Peer{});
  EXPECT_EQ(peer.name, "a");
  EXPECT_DOUBLE_EQ(peer.kernel_us, 65);
  EXPECT_DOUBLE_EQ(peer.ratio, 60.0 / 65);
  EXPECT_DOUBLE_EQ(peer.prototype_us, 48);
}

TEST_F(PeersFile, ALineThatIsNoRowIsNamed) {
  write(
      "op,H,tokens,mode,copy,a,prototype,prototype_pdl\nadd,4096,8192,cold,60,70,,\nadd,4096,8192,cold,60,-1,"
      ",\n");
  try {
    read_peers(path_);
    FAIL() << "a negative time was taken";
  } catch (const std::runtime_error& error) {
    EXPECT_TRUE(contains(error.what(), path_.string() + ":3:")) << error.what();
  }
  write("op,H\n");
  EXPECT_THROW(read_peers(path_), std::runtime_error);
}

TEST(BenchReport, RowsBehindTheBestPeerAreCountedAndNamed) {
  Measured ahead = measured("add", NORMPROOF_BF16, 512, 1024, 10, 10);
  ahead.peer = Peer{"other", 1.0, 10, 0, 0};
  Measured behind = measured("add", NORMPROOF_BF16, 512, 128, 9.9, 10);
  behind.peer = Peer{"other", 1.0, 11, 0, 0};
  const std::string text = to_text(report_of({ahead, behind}));
  EXPECT_TRUE(
      contains(text, "1 of 2 rows at least as fast as the best peer, relative to the copy; 2 in micro"))
      << text;
  EXPECT_TRUE(contains(text, "EXCEPTION add bf16 128 x 512 cold: other reached 1.000")) << text;
  EXPECT_EQ(exceptions_in(text), 1u);
}

TEST(BenchReport, GoalsAreChecked) {
  EXPECT_EQ(exceptions_in(to_text(report_of({measured("add", NORMPROOF_BF16, 4096, 8192, 96, 100)}))), 0u);
  EXPECT_EQ(exceptions_in(to_text(report_of({measured("add", NORMPROOF_BF16, 4096, 8192, 95.9, 100)}))), 1u);
  EXPECT_EQ(exceptions_in(to_text(report_of({measured("add", NORMPROOF_BF16, 1024, 8192, 92, 100)}))), 0u);
  EXPECT_EQ(exceptions_in(to_text(report_of({measured("rms", NORMPROOF_BF16, 128, 8192, 94, 100)}))), 1u);
  Measured one = measured("rms", NORMPROOF_BF16, 2048, 1, 1.2, 1);
  one.peer = Peer{"other", 1.0, 2, 0, 0};
  EXPECT_TRUE(contains(to_text(report_of({one})), "1.20 x the best peer, the goal is 1.25 x"));
  one.copy_us = 1.25;
  EXPECT_EQ(exceptions_in(to_text(report_of({one}))), 0u);
  // The goals are none of somebody else's kernel.
  Measured foreign = measured("add", NORMPROOF_BF16, 4096, 8192, 10, 100);
  foreign.is_plugin = true;
  EXPECT_EQ(exceptions_in(to_text(report_of({foreign}))), 0u);
}

TEST(BenchReport, Fp16IsComparedWithBf16ByTime) {
  const Measured bf16 = measured("rms", NORMPROOF_BF16, 512, 8192, 10, 10);
  const auto with = [&](double fp16_us) {
    return to_text(report_of({bf16, measured("rms", NORMPROOF_FP16, 512, 8192, 20, fp16_us)}));
  };
  EXPECT_TRUE(contains(with(10.3),
                       "fp16: at most 1.03 x bf16's time in 1 of 1 rows, of those from 8192 tokens on, "
                       "cold, in 1 of 1\n"))
      << with(10.3);
  EXPECT_EQ(exceptions_in(with(10.3)), 0u);
  EXPECT_TRUE(contains(with(10.4), "bf16's time in 0 of 1 rows")) << with(10.4);
  EXPECT_TRUE(contains(with(10.4), "EXCEPTION rms fp16 8192 x 512 cold: 1.040 x bf16's time\n"))
      << with(10.4);
}

TEST(BenchReport, Fp32IsComparedWithBf16RelativeToTheCopy) {
  const auto with = [&](double fp32_us, std::int64_t tokens) {
    return to_text(report_of({measured("rms", NORMPROOF_BF16, 512, tokens, 10, 10),
                              measured("rms", NORMPROOF_FP32, 512, tokens, 20, fp32_us)}));
  };
  EXPECT_EQ(exceptions_in(with(20.5, 8192)), 0u);
  EXPECT_TRUE(contains(with(21, 16),
                       "fp32: at most 1.03 x bf16's multiple of the copy in 0 of 1 rows, of those from "
                       "8192 tokens on, cold, in 0 of 0\n"))
      << with(21, 16);
  EXPECT_TRUE(
      contains(with(21, 16), "EXCEPTION rms fp32 16 x 512 cold: 1.050 x bf16's multiple of the copy\n"));
}

TEST(BenchReport, Fp32IsComparedWithBf16OfAsManyBytes) {
  const auto with = [&](std::int64_t bf16_hidden) {
    return to_text(report_of({measured("rms", NORMPROOF_BF16, bf16_hidden, 16, 10, 10),
                              measured("rms", NORMPROOF_FP32, 512, 16, 10, 10.4)}));
  };
  const std::string text = with(1024);
  EXPECT_TRUE(contains(
      text, "fp32: at most 1.03 x the multiple of the copy of bf16's row of as many bytes in 0 of 1"))
      << text;
  EXPECT_TRUE(
      contains(text, "EXCEPTION rms fp32 16 x 512 cold: 1.040 x the multiple of the copy of bf16's row of"));
  EXPECT_EQ(exceptions_in(text), 1u);
  EXPECT_FALSE(contains(with(2048), "fp32: at most"));
}

TEST(BenchReport, DtypesAreComparedOnTheSameRowAlone) {
  EXPECT_FALSE(contains(to_text(report_of({measured("rms", NORMPROOF_BF16, 512, 1024, 10, 10),
                                           measured("rms", NORMPROOF_FP16, 512, 8192, 10, 20)})),
                        "bf16's"));
  Measured foreign = measured("rms", NORMPROOF_BF16, 512, 1024, 10, 10);
  foreign.is_plugin = true;
  EXPECT_FALSE(
      contains(to_text(report_of({foreign, measured("rms", NORMPROOF_FP16, 512, 1024, 10, 20)})), "bf16's"));
}

}  // namespace
}  // namespace normproof::bench
