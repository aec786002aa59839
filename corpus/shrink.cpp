// Walking through shrink candidates, and the measure that makes the walk end.
#include "corpus/shrink.h"

#include <algorithm>
#include <utility>

#include "corpus/generate.h"
#include "corpus/shrink_stages.h"

namespace normproof {
namespace {

std::uint64_t layout_features(const TensorLayout& layout) {
  return (layout.strides.empty() ? 0u : 1u) + (layout.offset == 0 ? 0u : 1u);
}

std::uint64_t features(const Case& test_case) {
  std::uint64_t count = test_case.shape.size() - 2;
  for (const CaseTensor& tensor : test_case.tensors) count += layout_features(tensor.layout);
  count += test_case.in_place ? 1 : 0;
  count += static_cast<std::uint64_t>(test_case.schedule.order) + (test_case.schedule.seed == 0 ? 0 : 1);
  count += test_case.launch.path == KernelPath::automatic ? 0 : 1;
  count += test_case.launch.threads_per_block == 0 ? 0 : 1;
  count += test_case.launch.in_graph ? 1 : 0;
  count += static_cast<std::uint64_t>(weight_kind(test_case));
  for (const Parameter parameter : kParameters) {
    const std::uint32_t bits = test_case.bits_of(parameter);
    if (bits != spec_of(parameter).usual_bits) count += bits == plainest_bits(parameter) ? 1 : 2;
  }
  return count;
}

std::uint64_t layout_extent(const TensorLayout& layout) {
  std::uint64_t sum = static_cast<std::uint64_t>(layout.offset);
  for (const std::int64_t stride : layout.strides) {
    // A valid stride is below 2^63, but many of them may not add up.
    if (__builtin_add_overflow(sum, static_cast<std::uint64_t>(stride), &sum)) return ~std::uint64_t{0} / 8;
  }
  return std::min(sum, ~std::uint64_t{0} / 8);
}

std::uint64_t data_cost(const Case& test_case, Role role) {
  if (test_case[role].data.bytes.empty()) return 0;
  const ListedElements elements(test_case, role);
  std::uint64_t cost = 0;
  for (std::int64_t i = 0; i < elements.count; ++i) cost += elements.cost(elements.get(test_case, i));
  return cost;
}

}  // namespace

Complexity complexity(const Case& test_case) {
  Complexity sums = {static_cast<std::uint64_t>(test_case.elements() + test_case.hidden_size()), 0,
                     features(test_case), 0, 0};
  for (const Role role : kRoles) {
    sums[1] += test_case[role].data.recipe ? 1 : 0;
    sums[3] += layout_extent(test_case[role].layout);
    sums[4] += data_cost(test_case, role);
  }
  return sums;
}

ShrinkSequence::ShrinkSequence(Case origin, bool sizes)
    : origin_(std::make_unique<const Case>(std::move(origin))), complexity_(complexity(*origin_)) {
  if (sizes) append_shape_stages(*origin_, stages_);
  append_feature_stages(*origin_, stages_);
  append_value_stages(*origin_, stages_);
}

ShrinkSequence::~ShrinkSequence() = default;
ShrinkSequence::ShrinkSequence(ShrinkSequence&&) noexcept = default;
ShrinkSequence& ShrinkSequence::operator=(ShrinkSequence&&) noexcept = default;

std::optional<Case> ShrinkSequence::next() {
  for (; next_.stage < stages_.size(); ++next_.stage, next_.index = 0) {
    const ShrinkStage& stage = stages_[next_.stage];
    while (next_.index < stage.count) {
      last_ = next_;
      std::optional<Case> candidate = stage.make(next_.index++);
      if (!candidate) continue;
      candidate->outputs.reset();
      if (validate(*candidate).empty() && complexity(*candidate) < complexity_) return candidate;
    }
  }
  return std::nullopt;
}

ShrinkSequence::Position ShrinkSequence::resume() const {
  if (last_.stage < stages_.size() && stages_[last_.stage].restarts) return {last_.stage, 0};
  return last_;
}

void ShrinkSequence::seek(Position position) { next_ = position; }

std::vector<Case> shrink_candidates(const Case& test_case) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 26;
  std::vector<Case> candidates;
  ShrinkSequence sequence(test_case);
  std::size_t bytes = 0;
  while (bytes < kMostBytes) {
    std::optional<Case> candidate = sequence.next();
    if (!candidate) break;
    bytes += sizeof(Case);
    for (const CaseTensor& tensor : candidate->tensors) bytes += tensor.data.bytes.size();
    candidates.push_back(*std::move(candidate));
  }
  return candidates;
}

Case minimize(Case failing, const std::function<bool(const Case&)>& still_fails, std::int64_t budget) {
  const bool only_sizes_matter =
      shrink_sizes(failing, [&](const Case& candidate) { return budget-- > 0 && still_fails(candidate); });
  // Where no smaller size fails and the values do not matter, a long list of ones would say no more.
  const bool sizes = !only_sizes_matter || failing.elements() <= kMostElementsListedForReading;
  // A pass visits every candidate once and goes on from each success; passes are repeated while they help,
  // because what was needed at first may not be needed once something else is gone.
  bool progress = true;
  while (progress) {
    progress = false;
    ShrinkSequence sequence(failing, sizes);
    while (const std::optional<Case> candidate = sequence.next()) {
      if (budget-- <= 0) return failing;
      if (!still_fails(*candidate)) continue;
      failing = *candidate;
      progress = true;
      const ShrinkSequence::Position position = sequence.resume();
      sequence = ShrinkSequence(failing, sizes);
      sequence.seek(position);
    }
  }
  return failing;
}

}  // namespace normproof
