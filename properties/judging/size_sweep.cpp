#include "properties/judging/size_sweep.h"

#include <algorithm>
#include <cstddef>
#include <tuple>

#include "corpus/random.h"
#include "corpus/size_bands.h"
#include "corpus/tensor_values.h"

namespace normproof {
namespace {

// Cells with no more elements are run with every operation at once, larger ones with one in each round.
constexpr std::int64_t kCheap = std::int64_t{1} << 18;
// A band's number of rows is drawn, as far as a case stays this small; else it is the first.
constexpr std::int64_t kUsualElements = std::int64_t{1} << 17;
// The first number of the band in which a leading dimension alone meets the limit of a grid's.
constexpr std::int64_t kGridLimit = 65535;

struct SweepCase {
  std::size_t round;
  std::size_t place;  // keeps the order of equals
  Case test_case;
};

std::int64_t draw_hidden(Random& random, const SizeBand& rows, std::size_t index) {
  const SizeBand& band = kHiddenBands[index];
  const std::int64_t most = std::min({band.last, rows.most_hidden, kMostElementsOfCell / rows.first});
  std::int64_t hidden = random.log_between(band.first, std::max(band.first, most));
  Case probe;
  probe.shape = {rows.first, hidden};
  // A model's size lies within: that is another cell.
  while (size_cell(probe) && size_cell(probe)->second != index) probe.shape.back() = --hidden;
  return hidden;
}

// Ways to give a number of rows: all in one dimension, or that one between or before dimensions of one step.
void set_shape(Case& test_case, std::int64_t rows, std::int64_t hidden, std::size_t way) {
  if (spec_of(test_case.operation).greatest_rank < 3) way = 0;
  switch (way % 3) {
    case 0:
      test_case.shape = {rows, hidden};
      break;
    case 1:
      test_case.shape = {1, rows, hidden};
      break;
    default:
      test_case.shape = {rows, 1, hidden};
      break;
  }
}

// Sums of squares of small integers, and of one more than those, are exact in fp32 for all H of the models.
void set_values(Random& random, bool exact, Case& test_case) {
  const auto recipe = [&](const char* name) {
    TensorData data;
    data.recipe = Recipe{name, random.below(std::uint64_t{1} << 32)};
    return data;
  };
  const bool adds = has(test_case.operation, NormStep::add_residual);
  test_case[Role::input].data = recipe(!exact ? "model_rows" : adds ? "ones" : "small_integers");
  if (test_case.has(Role::residual))
    test_case[Role::residual].data = recipe(exact ? "small_integers" : "model_rows");
  if (test_case.weight_dtype) test_case[Role::weight].data = recipe("model_weights");
}

}  // namespace

std::vector<Case> size_sweep(std::uint64_t seed, const std::vector<Combination>& combinations) {
  std::vector<std::vector<Combination>> operations;  // the combinations of each
  for (const Operation operation : all_operations()) {
    std::vector<Combination> of_it;
    std::ranges::copy_if(combinations, std::back_inserter(of_it),
                         [&](const Combination& each) { return each.operation == operation; });
    if (!of_it.empty()) operations.push_back(std::move(of_it));
  }
  std::vector<SweepCase> sweep;
  std::size_t turn = static_cast<std::size_t>(Random(seed).below(1 << 16));
  for (std::size_t row_band = 0; row_band < kRowBands.size(); ++row_band) {
    for (std::size_t hidden_band = 0; hidden_band < kHiddenBands.size(); ++hidden_band) {
      if (!is_wanted({row_band, hidden_band})) continue;
      const SizeBand& band = kRowBands[row_band];
      Random random = Random(seed).split(row_band * kHiddenBands.size() + hidden_band);
      ++turn;
      // Where the rows alone meet the limits of a grid, each way to give them.
      const std::size_t ways = band.first == kGridLimit ? 3 : 1;
      for (std::size_t variant = 0; variant < operations.size() * ways; ++variant) {
        const auto& of_operation = operations[(turn + variant / ways) % operations.size()];
        const Combination& combination = of_operation[(turn + variant) % of_operation.size()];
        Case test_case;
        test_case.kind() = combination;
        if (combination.path == KernelPath::scalar) test_case.launch.path = KernelPath::scalar;
        const std::int64_t hidden = draw_hidden(random, band, hidden_band);
        const std::int64_t most = std::clamp(kUsualElements / hidden, band.first, band.last);
        // Beyond a grid's limit the last number of the band is the one that must be reached.
        const std::int64_t rows = ways > 1 ? band.last : random.between(band.first, most);
        // A foreign kernel may take rank 2 only.
        const std::size_t way = ways > 1 || variant == 0 ? variant : random.below(6);
        set_shape(test_case, rows, hidden, way);
        fit_to(combination.limits, test_case);
        const bool cheap = test_case.elements() <= kCheap;
        set_values(random, variant == 0 || random.chance(1, 2), test_case);
        Random of_bound = random.split(variant);
        if (combination.scale_ub && of_bound.chance(1, 2))
          test_case.bits_of(Parameter::scale_ub) = draw_upper_bound(of_bound);
        sweep.push_back({cheap ? 0 : variant, sweep.size(), std::move(test_case)});
      }
    }
  }
  std::ranges::sort(sweep, {}, [](const SweepCase& each) {
    return std::tuple(each.round, each.test_case.elements(), each.place);
  });
  std::vector<Case> cases;
  cases.reserve(sweep.size());
  for (SweepCase& each : sweep) cases.push_back(std::move(each.test_case));
  return cases;
}

}  // namespace normproof
