// A row's bits are a function of the row: not of its neighbours, not of where
// it lies, not of who computes it.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "corpus/generate.h"
#include "properties/bits.h"
#include "properties/comparison.h"
#include "properties/derived.h"
#include "properties/relations.h"

namespace normproof {
namespace {

// Rows of a run and where they stand in the original case's output.
struct RowPair {
  std::int64_t row;
  std::int64_t original;
};

// Compares rows of a varied run with the rows of the original run.
CaseFinding compare_rows(const Case& original_case, const RunResult& original, const Call& varied,
                         const std::vector<RowPair>& pairs, std::string authority, PropertyContext& context) {
  // The bits may differ then, but each run must be right. A variant that the
  // target does not take says nothing.
  if (!bits_are_determined(context.target)) {
    try {
      CaseFinding finding = judge_alone(case_of(varied), context);
      if (finding.kind == CaseFinding::Kind::fails) {
        finding.related = case_of(varied);
        finding.seen.reset();  // it is of the related case
      }
      return finding;
    } catch (const NotTaken&) {
      return CaseFinding::holds();
    }
  }
  const RunResult result = run(varied, context.target);
  Comparison comparison(std::move(authority));
  for (const auto& [row, original_row] : pairs) {
    comparison.add_outputs(varied.how, result.outputs, row, original.outputs, original_row);
  }
  comparison.add_to(context.tally, varied.how, result);
  if (comparison.agrees()) return CaseFinding::holds();
  return CaseFinding::fails(
      fmt::format("the same data give other bits\n  in   {}\n  than {}\n{}", summary(varied.how),
                  summary(original_case), comparison.describe(varied.how, result)),
      case_of(varied));
}

std::vector<RowPair> all_rows(const Case& test_case) {
  std::vector<RowPair> pairs;
  for (std::int64_t row = 0; row < test_case.rows(); ++row) pairs.push_back({row, row});
  return pairs;
}

CaseFinding compare_variants(const Case& test_case, const RunResult& original,
                             const std::vector<Call>& variants, const char* authority,
                             PropertyContext& context) {
  for (const Call& variant : variants) {
    CaseFinding finding = compare_rows(test_case, original, variant, all_rows(test_case), authority, context);
    if (finding.kind != CaseFinding::Kind::holds) return finding;
  }
  return CaseFinding::holds();
}

// Runs the rows `order` of the case as a case of their own.
CaseFinding compare_order(const Call& call, const RunResult& original, const std::vector<std::int64_t>& order,
                          PropertyContext& context) {
  std::vector<RowPair> pairs;
  for (std::size_t row = 0; row < order.size(); ++row)
    pairs.push_back({static_cast<std::int64_t>(row), order[row]});
  return compare_rows(call.how, original, with_rows(call, order), pairs, "the row among its first neighbours",
                      context);
}

constexpr std::int64_t kAloneRows = 3;
constexpr std::int64_t kManyRows = 257;
constexpr std::int64_t kManyElements = kManyRows * 140;  // fp32 rows of more than a warp's lanes among them

constexpr std::uint64_t kRandomOrders = 8;

// Strides of `shape` with every leading step widened to a multiple of `alignment` plus `gap` elements.
std::vector<std::int64_t> spread(const std::vector<std::int64_t>& shape, std::int64_t alignment,
                                 std::int64_t gap) {
  std::vector<std::int64_t> strides(shape.size() - 1);
  std::int64_t extent = shape.back();
  for (std::size_t dim = strides.size(); dim-- > 0;) {
    strides[dim] = (extent + alignment - 1) / alignment * alignment + gap;
    extent = (std::max<std::int64_t>(shape[dim], 1) - 1) * strides[dim] + extent;
  }
  return strides;
}

}  // namespace

CaseFinding rows_are_independent(const Case& test_case, PropertyContext& context) {
  const std::int64_t rows = test_case.rows();
  if (rows == 0) return CaseFinding::not_applicable();
  const Call call = call_of(test_case);
  const RunResult original = run(call, context.target);

  // Each row alone, all of them backwards, and many of them.
  std::vector<std::vector<std::int64_t>> orders;
  for (std::int64_t row = 0; row < std::min(rows, kAloneRows); ++row) orders.push_back({row});
  std::vector<std::int64_t> backwards(static_cast<std::size_t>(rows));
  std::iota(backwards.rbegin(), backwards.rend(), 0);
  orders.push_back(std::move(backwards));
  const std::int64_t many = std::min(kManyRows, kManyElements / test_case.hidden_size());
  if (many > rows) {
    std::vector<std::int64_t> repeated;
    for (std::int64_t row = 0; row < many; ++row) repeated.push_back(row % rows);
    orders.push_back(std::move(repeated));
  }
  for (const auto& order : orders) {
    CaseFinding finding = compare_order(call, original, order, context);
    if (finding.kind != CaseFinding::Kind::holds) return finding;
  }

  // Every second row made NaN, first the odd ones, then the even ones.
  if (rows < 2) return CaseFinding::holds();
  for (const std::int64_t kept : {0, 1}) {
    Call poisoned = call;
    std::vector<RowPair> pairs;
    for (std::int64_t row = 0; row < rows; ++row) {
      if (row % 2 == kept) {
        pairs.push_back({row, row});
        continue;
      }
      for (std::int64_t column = 0; column < test_case.hidden_size(); ++column)
        store_bits(poisoned.tensors[Role::input], test_case.dtype, row * test_case.hidden_size() + column,
                   bits::nan(test_case.dtype));
    }
    CaseFinding finding =
        compare_rows(test_case, original, poisoned, pairs, "the row among its first neighbours", context);
    if (finding.kind != CaseFinding::Kind::holds) return finding;
  }
  return CaseFinding::holds();
}

CaseFinding layout_changes_nothing(const Case& test_case, PropertyContext& context) {
  if (test_case.rows() == 0) return CaseFinding::not_applicable();
  const Call call = call_of(test_case);
  const RunResult original = run(call, context.target);
  const auto laid_out = [&](const TensorLayout& input, const TensorLayout& residual,
                            const TensorLayout& output, std::int64_t of_weight) {
    Call variant = call;
    variant.how.launch.path = KernelPath::automatic;  // not every layout allows every path
    variant.how.in_place = false;
    variant.how[Role::input].layout = input;
    variant.how[Role::residual].layout = residual;
    variant.how[Role::out].layout = output;
    variant.how[Role::weight].layout.offset = of_weight;
    keep_what_it_has(variant.how);
    return variant;
  };
  const auto& shape = test_case.shape;
  const std::int64_t chunk = chunk_elements(test_case.dtype);
  std::vector<Call> variants = {
      flattened(call),
      laid_out({spread(shape, chunk, 0), 0}, {spread(shape, chunk, chunk), chunk},
               {spread(shape, chunk, 2 * chunk), 2 * chunk}, 4 * chunk),    // aligned, apart
      laid_out({spread(shape, 1, 3), 1}, {}, {{}, 5}, 0),                   // input off the alignment
      laid_out({}, {spread(shape, 1, 1), 1}, {spread(shape, 1, 1), 1}, 1),  // the others off it
  };
  if (may_be_in_place(test_case.operation)) {
    variants.push_back(laid_out({spread(shape, chunk, chunk), 0}, {}, {}, 0));
    variants.back().how.in_place = true;
  }
  return compare_variants(test_case, original, variants, "the first layout", context);
}

CaseFinding launch_changes_nothing(const Case& test_case, PropertyContext& context) {
  if (test_case.rows() == 0) return CaseFinding::not_applicable();
  const Call call = call_of(test_case);
  const RunResult original = run(call, context.target);
  struct Launch {
    KernelPath path;
    int threads;
    Schedule schedule;
  };
  const std::uint64_t seed = test_case.schedule.seed;
  const std::array launches = {
      Launch{KernelPath::scalar, 32, {}},
      Launch{KernelPath::scalar, 96, {ThreadOrder::random, seed + 1}},
      Launch{KernelPath::vectorized, 32, {ThreadOrder::reverse, 0}},
      Launch{KernelPath::vectorized, 128, {ThreadOrder::random, seed + 2}},
      Launch{KernelPath::automatic, 0, {ThreadOrder::random, seed + 3}},
      Launch{KernelPath::automatic, 1024, {ThreadOrder::random, seed + 4}},
  };
  std::vector<Call> variants;
  for (const auto& [path, threads, schedule] : launches) {
    if (path == KernelPath::vectorized && !vectorizable(test_case)) continue;
    Call variant = call;
    variant.how.launch = {path, threads};
    variant.how.schedule = schedule;
    variants.push_back(std::move(variant));
  }
  return compare_variants(test_case, original, variants, "the first launch", context);
}

CaseFinding thread_order_changes_nothing(const Case& test_case, PropertyContext& context) {
  if (test_case.rows() == 0) return CaseFinding::not_applicable();
  const Call call = call_of(test_case);
  const RunResult original = run(call, context.target);
  std::vector<Call> variants;
  const auto with_schedule = [&](Schedule schedule) {
    variants.push_back(call);
    variants.back().how.schedule = schedule;
  };
  with_schedule({ThreadOrder::forward, 0});
  with_schedule({ThreadOrder::reverse, 0});
  for (std::uint64_t order = 1; order <= kRandomOrders; ++order)
    with_schedule({ThreadOrder::random, test_case.schedule.seed + order});
  return compare_variants(test_case, original, variants, "the first order of the threads", context);
}

}  // namespace normproof
