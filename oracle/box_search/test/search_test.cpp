// The engine under the judges: the ranges of operations against every result, in hardware, exactly and in
// blocks; the search on problems whose answers are known.
#include "oracle/box_search/search.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "oracle/box_search/canonical_order.h"
#include "oracle/box_search/lanes.h"
#include "oracle/box_search/random_rows.h"
#include "oracle/box_search/range.h"
#include "oracle/box_search/row_search.h"

namespace normproof::oracle::box_search {
namespace {

float any_number(Random& random) {
  switch (random.below(6)) {
    case 0:
      return random.pick(std::array{0.0f, -0.0f, 1.0f, -1.0f, 0x1p-149f, -0x1p-149f});
    case 1:
      return random.pick(std::array{INFINITY, -INFINITY, 3e38f, -3e38f, 1e-40f, -1e-40f});
    case 2:
      return number_at(static_cast<Position>(random.between(kMinusInfinity, kPlusInfinity)));
    default:
      return std::ldexp(bell(random), static_cast<int>(random.between(-3, 3)));
  }
}
Side any_side(Random& random) {
  const Position low = order_of(any_number(random));
  return {low, std::min(kPlusInfinity, low + static_cast<Position>(random.below(4)))};
}

struct Seen {
  Position low = kPlusInfinity;
  Position high = kMinusInfinity;
  bool numbers = false;
  bool nan = false;
  void add(float value) {
    if (std::isnan(value)) {
      nan = true;
      return;
    }
    numbers = true;
    low = std::min(low, order_of(value));
    high = std::max(high, order_of(value));
  }
};

template <typename Result>
void expect_is(const Result& range, const Seen& seen, const std::string& what) {
  ASSERT_EQ(range.numbers, seen.numbers) << what;
  ASSERT_EQ(range.nan, seen.nan) << what;
  if (!seen.numbers) return;
  ASSERT_EQ(end_of(range.low), seen.low) << what;
  ASSERT_EQ(end_of(range.high), seen.high) << what;
}

TEST(Ranges, AreWhatEveryPointGives) {
  const std::uint64_t seed = 11;
  Random random(seed);
  const StandardFloatEnvironment environment;
  const DType dtype = DType::fp16;
  const HardwareRanges hardware(dtype);
  const ExactRanges exact(dtype);
  for (std::int64_t i = 0; i < 20000; ++i) {
    const Side a = any_side(random), b = any_side(random), c = any_side(random);
    const float factor = any_number(random);
    Seen sums, products, scaled, fused, rounded;
    for (Position p = a.low; p <= a.high; ++p) {
      std::vector<float> one{number_at(p)};
      round_to_format(one, dtype);
      rounded.add(one[0]);
      scaled.add(number_at(p) * factor);
      for (Position q = b.low; q <= b.high; ++q) {
        sums.add(number_at(p) + number_at(q));
        products.add(number_at(p) * number_at(q));
      }
      for (Position q = c.low; q <= c.high; ++q) fused.add(std::fma(number_at(p), factor, number_at(q)));
    }
    const std::string what = fmt::format("seed {} trial {}: [{}, {}] [{}, {}] [{}, {}] {}", seed, i,
                                         number_at(a.low), number_at(a.high), number_at(b.low),
                                         number_at(b.high), number_at(c.low), number_at(c.high), factor);
    const auto compare = [&](const auto& ranges) {
      const auto x = ranges.range(a.low, a.high), y = ranges.range(b.low, b.high),
                 z = ranges.range(c.low, c.high);
      const auto w = ranges.constant(factor);
      expect_is(ranges.add(x, y), sums, "add " + what);
      expect_is(ranges.subtract(x, ranges.negate(y)), sums, "subtract " + what);
      expect_is(ranges.multiply(x, y), products, "multiply " + what);
      expect_is(ranges.multiply(x, w), scaled, "scale " + what);
      expect_is(ranges.fused(x, w, z), fused, "fused " + what);
      expect_is(ranges.round(x), rounded, "round " + what);
    };
    compare(hardware);
    if (::testing::Test::HasFatalFailure()) return;
    if (i % 10 == 0) compare(exact);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

// Wide ranges hold what the points within them give.
TEST(Ranges, HoldWhatTheirPointsGive) {
  const std::uint64_t seed = 15;
  Random random(seed);
  const StandardFloatEnvironment environment;
  const HardwareRanges ranges(DType::bf16);
  const auto wide = [&] {
    const Position a = order_of(any_number(random)), b = order_of(any_number(random));
    return Side{std::min(a, b), std::max(a, b)};
  };
  const auto inside = [&](const Side& side) {
    switch (random.below(4)) {
      case 0:
        return side.low;
      case 1:
        return side.high;
      case 2:
        return std::clamp(order_of(any_number(random)), side.low, side.high);
      default:
        return static_cast<Position>(random.between(side.low, side.high));
    }
  };
  for (std::int64_t i = 0; i < 100000; ++i) {
    const Side a = wide(), b = random.chance(1, 4) ? Side{inside(a), 0} : wide(), c = wide();
    const Side second = b.high < b.low ? Side{b.low, b.low} : b;
    const float factor = any_number(random);
    const auto x = ranges.range(a.low, a.high), y = ranges.range(second.low, second.high),
               z = ranges.range(c.low, c.high);
    const auto w = ranges.constant(factor);
    for (int point = 0; point < 4; ++point) {
      const float p = number_at(inside(a)), q = number_at(inside(second)), t = number_at(inside(c));
      const auto expect_holds = [&](const auto& range, float value, const char* what) {
        const bool holds = std::isnan(value) ? range.nan
                                             : range.numbers && order_of(range.low) <= order_of(value) &&
                                                   order_of(value) <= order_of(range.high);
        ASSERT_TRUE(holds) << what << " seed " << seed << " trial " << i << ": " << p << " " << q << " " << t
                           << " " << factor << " gives " << value;
      };
      expect_holds(ranges.add(x, y), p + q, "add");
      expect_holds(ranges.multiply(x, y), p * q, "multiply");
      expect_holds(ranges.multiply(x, w), p * factor, "scale");
      expect_holds(ranges.fused(x, w, z), std::fma(p, factor, t), "fused");
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

// Where a block says that all is satisfied, so do the ranges of single elements.
TEST(Ranges, BlocksNeverSatisfyWhatElementsDoNot) {
  const std::uint64_t seed = 12;
  Random random(seed);
  const StandardFloatEnvironment environment;
  std::int64_t satisfied = 0;
  for (const LaneKernels* kernels : {&lane_kernels(), &baseline_lane_kernels()}) {
    for (std::int64_t i = 0; i < 300; ++i) {
      const auto dtype = static_cast<DType>(random.below(3));
      const HardwareRanges single(dtype);
      const LaneArithmetic lanes(dtype, *kernels);
      const Side first = any_side(random), second = any_side(random);
      std::vector<float> a(kBlock), b(kBlock), got(kBlock);
      const bool ordinary = random.chance(1, 2);
      for (int j = 0; j < kBlock; ++j) {
        a[static_cast<std::size_t>(j)] = ordinary ? bell(random) : any_number(random);
        b[static_cast<std::size_t>(j)] = ordinary ? bell(random) : any_number(random);
      }
      const auto formula = [&](const auto& r, std::int64_t j) {
        const auto x = r.constant(a.data(), j), y = r.constant(b.data(), j);
        const auto u = r.range(first.low, first.high), v = r.range(second.low, second.high);
        const auto product = r.multiply(r.subtract(r.range(x), u), v);
        return r.round(r.add(r.multiply(product, y), r.negate(r.fused(v, x, r.range(y)))));
      };
      for (std::int64_t j = 0; j < kBlock; ++j) {
        const auto range = formula(single, j);
        got[static_cast<std::size_t>(j)] = range.numbers ? range.low : NAN;
      }
      const std::uint64_t open = lanes.unsatisfied(formula(lanes, 0), got.data());
      for (std::int64_t j = 0; j < kBlock; ++j) {
        if ((open >> j & 1) != 0) continue;
        const auto range = formula(single, j);
        ++satisfied;
        ASSERT_TRUE(range.numbers && !range.nan && order_of(range.low) == order_of(range.high))
            << "seed " << seed << " trial " << i << " lane " << j;
      }
    }
  }
  EXPECT_GT(satisfied, 1000);
}

// Elements that explain an arbitrary set of points of a small grid each: nothing is monotone, so that only
// splitting decides. A box is satisfied, dead or active as its points are.
struct GridProblem {
  static constexpr Position kSize = 12;
  std::vector<std::set<std::pair<Position, Position>>> elements;

  Status status(std::int32_t element, const Box& box) const {
    bool some = false, all = true;
    for (Position p = box.first.low; p <= box.first.high; ++p) {
      for (Position q = box.second.low; q <= box.second.high; ++q) {
        const bool in = elements[static_cast<std::size_t>(element)].contains({p, q});
        some = some || in;
        all = all && in;
      }
    }
    return all ? Status::satisfied : some ? Status::active : Status::dead;
  }
  double spread(const Box& box, bool second) const {
    const Side& side = second ? box.second : box.first;
    return side.high - side.low;
  }
};

TEST(Search, DecidesWhateverTheElementsAre) {
  const std::uint64_t seed = 13;
  Random random(seed);
  std::int64_t refuted = 0, larger = 0;
  for (std::int64_t i = 0; i < 1500; ++i) {
    GridProblem problem;
    const auto count = static_cast<std::size_t>(random.between(1, 8));
    const std::uint64_t share = random.log_between(2, 30);
    problem.elements.resize(count);
    std::vector<std::int32_t> all;
    bool has_witness = false;
    for (std::size_t e = 0; e < count; ++e) all.push_back(static_cast<std::int32_t>(e));
    for (Position p = 0; p < GridProblem::kSize; ++p) {
      for (Position q = 0; q < GridProblem::kSize; ++q) {
        bool common = true;
        for (auto& element : problem.elements) {
          if (random.chance(share, 32)) {
            element.insert({p, q});
          } else {
            common = false;
          }
        }
        has_witness = has_witness || common;
      }
    }
    const std::vector<Box> start = {{{0, GridProblem::kSize - 1}, {0, GridProblem::kSize - 1}}};
    Search<GridProblem> search(problem);
    const SearchResult result = search.run(start, all);
    ASSERT_EQ(result.witness.has_value(), has_witness) << "seed " << seed << " trial " << i;
    if (result.witness) {
      for (const std::int32_t e : all) {
        ASSERT_TRUE(problem.elements[static_cast<std::size_t>(e)].contains(
            {result.witness->first, result.witness->second}));
      }
      continue;
    }
    ++refuted;
    const std::vector<std::int32_t> certificate = irreducible(problem, start, result.used);
    ASSERT_FALSE(search.run(start, certificate).witness);
    larger += certificate.size() > 2 ? 1 : 0;
    for (std::size_t left_out = 0; left_out < certificate.size(); ++left_out) {
      std::vector<std::int32_t> rest = certificate;
      rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(left_out));
      ASSERT_TRUE(search.run(start, rest).witness) << "seed " << seed << " trial " << i;
    }
  }
  EXPECT_GT(refuted, 100);
  EXPECT_GT(larger, 50);
}

TEST(CanonicalOrder, IsThatOfTheContract) {
  const std::uint64_t seed = 14;
  Random random(seed);
  const StandardFloatEnvironment environment;
  for (int i = 0; i < 200; ++i) {
    const auto dtype = static_cast<DType>(random.below(3));
    const std::int64_t count = random.log_between(1, 20000);
    const std::vector<float> x = random_row(random, dtype, count, RowClass::heavy_tails);
    const float sum = canonical_sum<float>(
        count, dtype,
        [&](float total, std::int64_t j) {
          const float value = x[static_cast<std::size_t>(j)];
          return std::fma(value, value, total);
        },
        [](float a, float b) { return a + b; });
    ASSERT_EQ(sum, row_kernels().sum_fp32(x.data(), count, elements_per_chunk(dtype))) << count;
  }
}

}  // namespace
}  // namespace normproof::oracle::box_search
