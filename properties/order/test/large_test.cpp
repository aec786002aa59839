// Long rows and many of them: only where NORMPROOF_LONG_TESTS is set. Prints the figures of figures.md.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "properties/order/detect.h"
#include "properties/order/families.h"
#include "properties/order/test/boxes.h"

namespace normproof::order {
namespace {

bool is_asked_for() { return std::getenv("NORMPROOF_LONG_TESTS") != nullptr; }

struct Subject {
  std::string name;
  SumTree (*tree)(std::int32_t);
};

SumTree cub(std::int32_t n) { return cub_block_reduce(n, 1024, 8); }
SumTree shuffles(std::int32_t n) { return warp_shuffles(n, 256, 8); }
SumTree canonical_8(std::int32_t n) { return canonical(n, 8); }
SumTree four(std::int32_t n) { return lanes_then_halves(n, 4, 1); }
SumTree random_1(std::int32_t n) { return random_tree(n, 1); }

const std::vector<Subject> kSubjects = {
    {"serial", serial},         {"reverse", reverse},     {"pairwise", pairwise},
    {"numpy", numpy_pairwise},  {"CUB 1024 x 8", cub},    {"warp shuffles 256 x 8", shuffles},
    {"canonical", canonical_8}, {"4 accumulators", four}, {"random tree", random_1}};

TEST(LongRows, AreCertified) {
  if (!is_asked_for()) GTEST_SKIP() << "NORMPROOF_LONG_TESTS is not set";
  fmt::print("| order | H | family looked for: rows / H | s | recovered: rows / H | s | depth |\n");
  for (const Subject& subject : kSubjects) {
    for (const std::int32_t hidden : {64, 1000, 1024, 4096, 5120, 16384}) {
      const SumTree tree = subject.tree(hidden);
      std::string line = fmt::format("| {} | {} |", subject.name, hidden);
      for (const bool families : {true, false}) {
        const auto box = make_tree_box(tree);
        DetectOptions options;
        options.look_for_families = families;
        options.look_at_root = false;
        const Finding finding = detect(*box, options);
        ASSERT_TRUE(finding.tree) << subject.name << " " << finding.reason;
        EXPECT_EQ(*finding.tree, tree);
        line +=
            fmt::format(" {:.1f} | {:.1f} |", static_cast<double>(finding.rows) / hidden, finding.seconds);
      }
      fmt::print("{} {} |\n", line, tree.depth());
      std::fflush(stdout);
    }
  }
}

}  // namespace
}  // namespace normproof::order
