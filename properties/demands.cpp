#include "properties/demands.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "corpus/call_limits.h"
#include "corpus/generate.h"
#include "corpus/random.h"
#include "oracle/formats.h"
#include "properties/comparison.h"
#include "properties/derived.h"

namespace normproof {
namespace {

using State = Observation::State;

constexpr std::array<std::string_view, kPromises.size()> kNames = {"deterministic", "batch-invariant",
                                                                   "layout-invariant", "graph-replay"};
constexpr std::array<std::string_view, kPromises.size()> kBreaches = {
    "bits differ between two calls of the same", "bits differ between batch sizes",
    "bits differ between layouts", "bits differ in a replayed CUDA graph"};
constexpr std::array<std::string_view, 3> kStateNames = {"not seen", "seen", "not compared"};

struct Size {
  std::int64_t rows;
  std::int64_t hidden_size;
};
// The first is compared of every combination. Kernels choose by the number of rows and by the hidden size.
constexpr std::array kSizes = {Size{130, 512}, Size{1030, 256}, Size{260, 2048},
                               Size{70, 4096}, Size{33, 16384}, Size{300, 1000}};
// The same for our kernels, whose threads are played one by one.
constexpr Size kSmallSize = {70, 96};
// Beside, below and above the numbers at which kernels are known to choose another way.
constexpr std::array<std::int64_t, 12> kBatches = {2, 3, 8, 16, 17, 32, 63, 64, 65, 128, 256, 1024};
constexpr std::int64_t kRowsAlone = 8;
constexpr int kRepetitions = 6;
// One magnitude below the outputs that rows with a large element have, so that fp8 shows their bits.
constexpr float kScale = 1.0f / 256;
// Integers are as far apart everywhere, so that the small outputs must be many of them. An upper bound of the
// rows' own scales makes either the scale.
constexpr float kScaleOfIntegers = 1.0f / 8192;

// In every row one number of 64 to 90, first, last or anywhere, among numbers whose squares are just below
// half an ulp of its square: the sum loses each that comes after it, and none that comes before. It is
// another one in every row, so that r differs and products come near other midpoints.
std::vector<std::byte> spiked_rows(DType dtype, std::int64_t rows, std::int64_t columns, Random random) {
  const oracle::Format& format = oracle::format_of(dtype);
  const int mantissa = format.mantissa_bits();
  const auto exponent = [&](int value) {
    return static_cast<std::uint32_t>(value + format.bias) << mantissa;
  };
  const std::uint32_t one = std::uint32_t{1} << mantissa, sign = std::uint32_t{1} << (8 * size_of(dtype) - 1);
  std::vector<std::byte> data(static_cast<std::size_t>(rows * columns) * size_of(dtype));
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t anywhere = random.between(0, columns - 1);
    const std::int64_t place = row % 3 == 0 ? 0 : row % 3 == 1 ? columns - 1 : anywhere;
    const std::uint32_t large = exponent(6) | static_cast<std::uint32_t>(random.between(0, one / 8 * 3));
    for (std::int64_t column = 0; column < columns; ++column) {
      // 2^-7 times 1.25 to 1.875.
      const auto fraction = static_cast<std::uint32_t>(random.between(one / 4, one - one / 8));
      const std::uint32_t small = exponent(-7) | fraction | (random.chance(1, 2) ? sign : 0);
      store_bits(data, dtype, row * columns + column, column == place ? large : small);
    }
  }
  return data;
}

std::vector<std::int64_t> first_rows(std::int64_t count) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

// These rows of a call of rank 2, in its layout.
Call picked_rows(const Call& call, const std::vector<std::int64_t>& rows) {
  Call picked = with_rows(call, rows);
  picked.how = call.how;
  picked.how.shape.front() = static_cast<std::int64_t>(rows.size());
  return picked;
}

Call first_columns(const Call& call, std::int64_t columns) {
  Call shorter = call;
  const std::int64_t hidden = call.how.hidden_size();
  const auto cut = [&](std::vector<std::byte>& data, DType dtype) {
    const auto wide = static_cast<std::ptrdiff_t>(hidden * static_cast<std::int64_t>(size_of(dtype)));
    const auto narrow = static_cast<std::ptrdiff_t>(columns * static_cast<std::int64_t>(size_of(dtype)));
    std::vector<std::byte> kept;
    for (std::ptrdiff_t row = 0; row < static_cast<std::ptrdiff_t>(data.size()) / wide; ++row)
      kept.insert(kept.end(), data.begin() + row * wide, data.begin() + row * wide + narrow);
    data = std::move(kept);
  };
  cut(shorter.tensors[Role::input], call.how.dtype);
  cut(shorter.tensors[Role::residual], call.how.dtype);
  if (call.how.weight_dtype) cut(shorter.tensors[Role::weight], *call.how.weight_dtype);
  shorter.how.shape.back() = columns;
  // Rows stay as far apart from each other's ends as they were.
  for (TensorLayout* layout : {&shorter.how[Role::input].layout, &shorter.how[Role::residual].layout,
                               &shorter.how[Role::out].layout})
    for (std::int64_t& stride : layout->strides) stride -= hidden - columns;
  return shorter;
}

struct Found {  // ends the comparison
  WrongCall wrong;
};

class Comparer {
 public:
  explicit Comparer(PromiseContext& context) : context_(context) {}

  PromiseRun compare();

 private:
  Observation& of(Promise promise) { return result_.observations[static_cast<std::size_t>(promise)]; }
  bool seen(Promise promise) { return of(promise).state == State::seen; }
  Case case_of_size(const Combination& combination, const Size& size, std::uint64_t round,
                    bool bounded) const;
  std::optional<RunResult> run(const Call& call);
  void compare_pair(Promise promise, const Call& first, const RunResult& wanted, const Call& second);
  void compare_repetitions(const Call& call, const RunResult& wanted);
  void compare_batches(const Call& call);
  void compare_layouts(const Call& call);
  void compare_graphs(const Call& call, const RunResult& wanted);
  void reduce(Promise promise, Call first, Call second);
  void compare_all_of(const Combination& combination, std::uint64_t round);

  PromiseContext& context_;
  PromiseRun result_;
  std::string not_taken_;      // why a call was not taken
  std::uint64_t bounded_ = 0;  // combinations of a round that may have an upper bound
};

Case Comparer::case_of_size(const Combination& combination, const Size& size, std::uint64_t round,
                            bool bounded) const {
  Case test_case;
  test_case.kind() = combination;
  test_case.shape = {size.rows, size.hidden_size};
  if (has(combination.operation, Parameter::scale))
    test_case.bits_of(Parameter::scale) = std::bit_cast<std::uint32_t>(kScale);
  if (bounded) {
    const oracle::Format& codes = oracle::format_of(test_case.output_dtype());
    const auto range = static_cast<float>(oracle::to_double(oracle::decode(codes, codes.max_finite_bits())));
    const float scale = test_case.output_dtype() == DType::int8 ? kScaleOfIntegers : kScale;
    test_case.bits_of(Parameter::scale_ub) = std::bit_cast<std::uint32_t>(scale * range);
  }
  fit_to(context_.target.limits_of(combination.operation), test_case);
  const std::uint64_t seed = context_.seed + 4 * round;
  test_case[Role::input].data.bytes =
      spiked_rows(combination.dtype, test_case.rows(), test_case.hidden_size(), Random(seed));
  if (test_case.has(Role::residual)) test_case[Role::residual].data.recipe = {"zeros", seed + 1};
  if (combination.weight_dtype) test_case[Role::weight].data.recipe = {"model_weights", seed + 2};
  return test_case;
}

std::optional<RunResult> Comparer::run(const Call& call) {
  const std::string outside = what_is_outside(context_.target.limits_of(call.how.operation), call.how);
  if (!outside.empty()) {
    not_taken_ = outside;
    return std::nullopt;
  }
  Evaluation evaluation = evaluate(call.how, call.tensors, context_.target);
  // Nobody has said that it can be recorded.
  if (call.how.launch.in_graph && evaluation.outcome == Evaluation::Outcome::failed)
    return std::move(evaluation.run);
  context_.tally.add(call.how, evaluation);
  if (evaluation.outcome == Evaluation::Outcome::not_taken) {
    not_taken_ = evaluation.run.message;
    return std::nullopt;
  }
  if (evaluation.violates()) throw Found{{case_of(call), std::move(evaluation)}};
  return std::move(evaluation.run);
}

void Comparer::compare_pair(Promise promise, const Call& first, const RunResult& wanted, const Call& second) {
  Observation& observation = of(promise);
  const auto got = run(second);
  if (!got) return;
  ++observation.comparisons;
  if (observation.state == State::not_compared) observation.state = State::not_seen;
  observation.message = difference_between(first.how, wanted, second.how, *got);
  if (observation.message.empty()) return;
  observation.state = State::seen;
  observation.calls = {case_of(first), case_of(second)};
  reduce(promise, first, second);
}

// Fewer columns, fewer rows, as long as the two calls still differ.
void Comparer::reduce(Promise promise, Call first, Call second) {
  const auto keep = [&](Call one, Call other) {
    const auto wanted = run(one), got = run(other);
    if (!wanted || !got) return false;
    const std::string difference = difference_between(one.how, *wanted, other.how, *got);
    if (difference.empty()) return false;
    of(promise).message = difference;
    of(promise).calls = {case_of(one), case_of(other)};
    first = std::move(one), second = std::move(other);
    return true;
  };
  if (promise == Promise::batch_invariant) {
    // A row alone against copies of itself, where that is enough.
    const std::int64_t rows = second.how.rows();
    for (std::int64_t row = 0; row < first.how.rows() && first.how.rows() > 1; ++row) {
      std::vector<std::int64_t> copies(static_cast<std::size_t>(rows), row);
      if (keep(with_rows(second, {row}), with_rows(second, copies))) break;
    }
    std::int64_t same = first.how.rows(), other = second.how.rows();
    while (other - same > 1) {
      const std::int64_t middle = same + (other - same) / 2;
      if (keep(first, with_rows(second, first_rows(middle)))) {
        other = middle;
      } else {
        same = middle;
      }
    }
  } else {
    // One row; where that does not show it, as few as show it.
    for (std::int64_t row = 0; row < first.how.rows() && first.how.rows() > 1; ++row)
      if (keep(picked_rows(first, {row}), picked_rows(second, {row}))) break;
    for (std::int64_t rows = first.how.rows() / 2; rows > 1; rows = first.how.rows() / 2)
      if (!keep(picked_rows(first, first_rows(rows)), picked_rows(second, first_rows(rows)))) break;
  }
  while (first.how.hidden_size() > 1) {
    const std::int64_t half = first.how.hidden_size() / 2;
    if (!keep(first_columns(first, half), first_columns(second, half))) break;
  }
}

void Comparer::compare_repetitions(const Call& call, const RunResult& wanted) {
  for (int repetition = 0; repetition < kRepetitions && !seen(Promise::deterministic); ++repetition)
    compare_pair(Promise::deterministic, call, wanted, call);
}

void Comparer::compare_batches(const Call& call) {
  constexpr Promise kPromise = Promise::batch_invariant;
  const auto compare_with_all = [&](const std::vector<std::int64_t>& rows) {
    std::vector<std::int64_t> all = rows;  // they come first, where the two calls are compared
    for (const std::int64_t row : first_rows(call.how.rows()))
      if (std::ranges::find(rows, row) == rows.end()) all.push_back(row);
    const Call few = with_rows(call, rows);
    if (const auto wanted = run(few)) compare_pair(kPromise, few, *wanted, with_rows(call, all));
  };
  for (std::int64_t row = 0; row < kRowsAlone && !seen(kPromise); ++row) compare_with_all({row});
  for (const std::int64_t batch : kBatches)
    if (batch < call.how.rows() && !seen(kPromise)) compare_with_all(first_rows(batch));
}

void Comparer::compare_layouts(const Call& call) {
  constexpr Promise kPromise = Promise::layout_invariant;
  const Call few = with_rows(call, first_rows(std::min<std::int64_t>(call.how.rows(), 32)));
  const std::int64_t hidden = call.how.hidden_size(), chunk = chunk_elements(call.how.dtype);
  const auto laid_out = [&](std::int64_t stride, std::int64_t offset, std::int64_t of_weight) {
    Call variant = few;
    const TensorLayout layout = {{stride}, offset};
    for (const Role role : call.how.inputs_with_rows()) variant.how[role].layout = layout;
    if (variant.how.has_layout(Role::out)) variant.how[Role::out].layout = layout;
    if (call.how.weight_dtype) variant.how[Role::weight].layout.offset = of_weight;
    return variant;
  };
  std::vector<Call> variants = {laid_out(hidden, 1, 0), laid_out(hidden, 0, 1),
                                laid_out(hidden + chunk, 0, 0), laid_out(hidden + 1, 0, 0)};
  if (may_be_in_place(call.how.operation)) {
    variants.push_back(few);
    variants.back().how.in_place = true;
  }
  for (const Call& variant : variants) {
    if (seen(kPromise)) return;
    const auto plain = run(few);
    if (plain) compare_pair(kPromise, few, *plain, variant);
  }
}

// The first rows and all of them: a graph holds one launch or another.
void Comparer::compare_graphs(const Call& call, const RunResult& wanted) {
  constexpr Promise kPromise = Promise::graph_replay;
  if (!context_.target.replays_graphs()) return;
  const auto replayed = [](Call variant) {
    variant.how.launch.in_graph = true;
    return variant;
  };
  if (!seen(kPromise)) compare_pair(kPromise, call, wanted, replayed(call));
  const Call row = with_rows(call, {0});
  if (seen(kPromise)) return;
  if (const auto alone = run(row)) compare_pair(kPromise, row, *alone, replayed(row));
}

// Where the target takes upper bounds of scales, every other combination has one, in the next round the
// others.
void Comparer::compare_all_of(const Combination& combination, std::uint64_t round) {
  if (combination.path == KernelPath::scalar) return;  // as the same combination of the other path
  const Size& size = round == 0 && !context_.target.is_foreign() ? kSmallSize : kSizes[round % kSizes.size()];
  const bool bounded = combination.scale_ub && (bounded_++ + round) % 2 == 1;
  const Case test_case = case_of_size(combination, size, round, bounded);
  if (!context_.target.takes(test_case)) return;
  const Call call = call_of(test_case);
  const auto wanted = run(call);
  if (!wanted) return;
  compare_repetitions(call, *wanted);
  compare_batches(call);
  compare_layouts(call);
  compare_graphs(call, *wanted);
}

PromiseRun Comparer::compare() {
  try {
    for (std::uint64_t round = 0; round == 0 || !context_.out_of_time(); ++round) {
      bounded_ = 0;
      for (const Combination& combination : context_.combinations) {
        compare_all_of(combination, round);
        if (round > 0 && context_.out_of_time()) break;
      }
      const auto open = [&](Promise promise) {
        return !seen(promise) && (promise != Promise::graph_replay || context_.target.replays_graphs());
      };
      if (std::ranges::none_of(kPromises, open)) break;
    }
  } catch (Found& found) {
    result_.wrong = std::move(found.wrong);
  }
  for (const Promise promise : kPromises) {
    Observation& observation = of(promise);
    if (observation.state != State::not_compared) continue;
    observation.message = result_.wrong ? "a call violates by itself"
                          : not_taken_.empty()
                              ? "no call was made"
                              : fmt::format("the target took none of the calls: {}", not_taken_);
  }
  if (seen(Promise::deterministic)) {
    for (const Promise promise : {Promise::batch_invariant, Promise::layout_invariant})
      if (seen(promise)) of(promise).message += "  (two calls of the same differ as well)\n";
  }
  return std::move(result_);
}

}  // namespace

std::string_view name_of(Promise promise) { return kNames[static_cast<std::size_t>(promise)]; }
std::string_view breach_of(Promise promise) { return kBreaches[static_cast<std::size_t>(promise)]; }
std::string_view name_of(Observation::State state) { return kStateNames[static_cast<std::size_t>(state)]; }

std::optional<Observation::State> state_from_name(std::string_view name) {
  for (const State state : {State::not_seen, State::seen, State::not_compared})
    if (name_of(state) == name) return state;
  return std::nullopt;
}

std::optional<Promise> promise_from_name(std::string_view name) {
  for (const Promise promise : kPromises)
    if (name_of(promise) == name) return promise;
  return std::nullopt;
}

std::string difference_between(const Case& first, const RunResult& wanted, const Case& second,
                               const RunResult& got) {
  for (const auto& [how, run] : {std::pair(&first, &wanted), std::pair(&second, &got)}) {
    if (run->status == RunResult::Status::completed) continue;
    return fmt::format("one call:  {}\n{}\n", summary(*how), run->message);
  }
  Comparison comparison("the first call");
  for (std::int64_t row = 0; row < std::min(first.rows(), second.rows()); ++row) {
    comparison.add_outputs(second, got.outputs, row, wanted.outputs, row);
  }
  if (comparison.agrees()) return {};
  return fmt::format("the first call:  {}\nthe second call: {}\n{}", summary(first), summary(second),
                     comparison.describe(second, got));
}

PromiseRun compare_calls(PromiseContext& context) { return Comparer(context).compare(); }

}  // namespace normproof
