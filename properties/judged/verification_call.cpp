#include "properties/judged/verification_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <set>

#include "oracle/judged/block_quant.h"
#include "oracle/row_kernels.h"
#include "properties/judged/cases.h"

namespace normproof::judging {
namespace {

using oracle::judged::DTypeRule;
using oracle::judged::Extent;
using oracle::judged::JudgedOperation;
using oracle::judged::Need;
using oracle::judged::Place;
using oracle::judged::Tensor;
using Spec = oracle::judged::TensorSpec;

struct Size {
  std::int64_t rows, hidden;
};
// No rows; H around warps, vectors and blocks; then many rows, as grids and row loops divide them.
constexpr std::array kSizes = {
    Size{0, 8},    Size{1, 1},   Size{2, 2},    Size{3, 7},    Size{2, 8},    Size{3, 9},    Size{2, 15},
    Size{2, 16},   Size{2, 17},  Size{2, 31},   Size{2, 32},   Size{2, 33},   Size{2, 63},   Size{2, 64},
    Size{2, 65},   Size{2, 127}, Size{3, 128},  Size{2, 129},  Size{2, 255},  Size{3, 256},  Size{2, 257},
    Size{2, 511},  Size{2, 512}, Size{2, 513},  Size{2, 768},  Size{2, 1023}, Size{2, 1024}, Size{2, 1025},
    Size{33, 8},   Size{65, 16}, Size{129, 8},  Size{257, 8},  Size{2, 2048}, Size{1, 2049}, Size{2, 4096},
    Size{1, 5120}, Size{513, 4}, Size{1025, 2}, Size{1, 8192}, Size{4097, 2}};
// Beyond a grid's second dimension; of the first combination of an operation.
constexpr Size kGreatRows = {65537, 1};

std::int64_t up_to(std::int64_t limit, std::int64_t value) {
  return limit > 0 ? std::min(limit, value) : value;
}

CaseDemand demand_of(const Combination& combination, Random& random) {
  const CallLimits& limits = combination.limits;
  CaseDemand demand;
  demand.operation = combination.operation;
  demand.dtype = combination.dtype;
  demand.weight = combination.weight;
  if (combination.weight && random.chance(3, 4)) demand.bias = combination.weight;
  demand.rotation = random.chance(1, 2) ? combination.dtype : DType::fp32;
  demand.with_optional = random.chance(1, 2);
  demand.with_rows = combination.weight_rows;
  demand.hidden_multiple = hidden_multiple_of(limits, combination.dtype);
  if (limits.epsilon_is_set) demand.epsilon = std::bit_cast<std::uint32_t>(limits.epsilon);
  return demand;
}

void set_size(const Combination& combination, const Size& size, CaseDemand& demand) {
  const CallLimits& limits = combination.limits;
  const std::int64_t multiple = demand.hidden_multiple;
  const std::int64_t hidden = up_to(limits.greatest_hidden, size.hidden) / multiple * multiple;
  demand.hidden_multiple = demand.max_hidden = std::max(hidden, multiple);
  demand.least_rows = demand.max_rows =
      up_to(limits.greatest_rows, std::max({size.rows, limits.least_rows, std::int64_t{1}}));
}

void draw_size(const Combination& combination, Random& random, CaseDemand& demand) {
  const CallLimits& limits = combination.limits;
  const std::uint64_t ticket = random.below(16);
  demand.max_rows = up_to(limits.greatest_rows, ticket == 0 ? 300 : ticket < 3 ? 40 : 8);
  demand.max_hidden = up_to(limits.greatest_hidden, ticket == 0 ? 64 : ticket < 3 ? 512 : 8192);
  demand.least_rows = std::max<std::int64_t>(limits.least_rows, 1);
}

DType dtype_of_output(const Call& call, const Spec& spec) {
  if (spec.dtype == DTypeRule::activation) return call.dtype();
  if (spec.dtype == DTypeRule::fp32 || spec.extent == Extent::row) return DType::fp32;
  const Tensor* weight = call.find("weight");
  return weight == nullptr ? call.dtype() : weight->dtype;
}

// The output whose dtype the kernel chooses, and the dtypes that it may have; null where there is none.
const Spec* codes_of(const JudgedOperation& operation) {
  const auto found = std::ranges::find(operation.tensors, Extent::codes, &Spec::extent);
  return found == operation.tensors.end() ? nullptr : &*found;
}

// The tensor that lies in blocks; null where there is none.
const Spec* blocks_of(const Call& call) {
  const auto found = std::ranges::find(call.operation->tensors, Extent::blocks, &Spec::extent);
  return found == call.operation->tensors.end() || !call.has(found->name) ? nullptr : &*found;
}

// Has scales, by rows, of blocks of so many elements, where their shape can say it.
void ask_for_blocks(Call& call, const Policy& policy, std::int64_t block) {
  std::vector<std::int64_t> shape = call.at("x").shape;
  shape.back() = (shape.back() + block - 1) / block;
  const DType dtype = policy.is("scale_type", "fp32") ? DType::fp32 : DType::uint8;
  call.tensors["scales"] = {dtype, std::move(shape), {}};
  if (block_shape_of(call, &policy).block != block) call.tensors.erase("scales");
}

// Whether the call is to be without statistics.
bool has_none(const Combination& combination, Random random) {
  return combination.statistics == GivenStatistics::never ||
         (combination.statistics == GivenStatistics::mostly && random.chance(1, 3));
}

// 0: as usual.
std::int64_t draw_block(const Combination& combination, Random random) {
  if (!combination.scale_layouts || !shape_says_block(*combination.operation, combination.policy)) return 0;
  return random.chance(1, 4) ? random.pick(std::array<std::int64_t, 5>{8, 16, 32, 256, 512}) : 0;
}

// The outputs of these names, without contents. Block: as ask_for_blocks has it, 0 as usual.
Call asking_for(Call call, const std::vector<std::string>& names, std::optional<DType> codes,
                const Policy& policy, std::int64_t block = 0) {
  if (call.operation->fill == nullptr) {
    for (const std::string& name : names) {
      const Spec& spec = *find_tensor(*call.operation, name);
      call.tensors[name] = {dtype_of_output(call, spec), shape_of(call, spec), {}};
    }
    return call;
  }
  const oracle::StandardFloatEnvironment environment;
  if (const Spec* spec = codes_of(*call.operation); spec != nullptr && codes)
    call.tensors[std::string(spec->name)] = {*codes, {}, {}};
  if (block != 0) ask_for_blocks(call, policy, block);
  call.operation->fill(call, policy, names);
  for (const std::string& name : names) call.tensors.find(name)->second.bytes.clear();
  return call;
}

Call with_outputs_drawn(Call call, const Combination& combination, Random& random, std::int64_t block) {
  const bool all = random.chance(1, 2), optional = random.chance(1, 2);
  std::vector<std::string> some, asked;
  for (const Spec& spec : call.operation->tensors) {
    if (spec.direction != Direction::out) continue;
    if (spec.need == Need::some_output) some.emplace_back(spec.name);
    if (spec.need == Need::always || (spec.need == Need::optional && optional) ||
        (spec.need == Need::some_output && (all || random.chance(1, 2))))
      asked.emplace_back(spec.name);
  }
  if (asked.empty()) asked.push_back(some.at(random.below(some.size())));
  Call result = asking_for(std::move(call), asked, combination.codes, combination.policy, block);
  if (some.empty() || result.operation->objection(result).empty()) return result;
  // One that is not judged by itself comes with the others.
  return asking_for(std::move(result), some, combination.codes, combination.policy, block);
}

void draw_places(Call& call, Random& random) {
  if (random.chance(1, 2)) return;
  for (const Spec& spec : call.operation->tensors) {
    const Tensor* tensor = call.find(spec.name);
    if (tensor == nullptr) continue;
    Place place;
    if (!spec.in_place_of.empty() && call.has(spec.in_place_of) && random.chance(1, 4)) {
      place.in_place = true;
    } else {
      if (random.chance(1, 3)) place.offset = random.between(1, 15);
      const bool has_rows = spec.extent == Extent::elements || spec.extent == Extent::hidden;
      if (has_rows && tensor->shape.size() > 1 && random.chance(1, 3))
        place.gap = random.chance(1, 2) ? random.between(1, 9) : 8 * random.between(1, 4);
    }
    if (place != Place{}) call.places[std::string(spec.name)] = place;
  }
}

// Scales [rows, blocks] as a view of columns, each perhaps longer than there are rows.
void draw_view(Call& call, const Spec& scales, Random random) {
  const std::vector<std::int64_t>& shape = call.at(scales.name).shape;
  if (shape.size() != 2 || shape.front() == 0 || shape.front() != call.rows() || random.chance(2, 3)) return;
  Place& place = call.places[std::string(scales.name)];
  place.by_columns = true;
  const std::int64_t rows = shape.front(), multiple = random.pick(std::array<std::int64_t, 4>{1, 4, 16, 128});
  place.gap = (rows + multiple - 1) / multiple * multiple - rows;
}

// Scales in one of the layouts that there are; where they have rows or columns, perhaps with gaps.
void draw_layout(const Combination& combination, Call& call, Random random) {
  const Spec* spec = blocks_of(call);
  if (spec == nullptr) return;
  std::size_t chosen = 0;  // the usual one
  if (combination.scale_layouts) {
    const auto layouts = call.operation->block_layouts(call, combination.policy).all;
    chosen = random.below(layouts.size());
    call.tensors.find(spec->name)->second.shape = layouts[chosen].shape;
    if (layouts[chosen].may_have_gaps && layouts[chosen].shape.size() > 1 && random.chance(1, 4))
      call.places[std::string(spec->name)].gap = random.between(1, 9);
  }
  if (combination.scale_views && chosen == 0) draw_view(call, *spec, random.split(1));
}

std::optional<Call> finished(const Combination& combination, Call call, Random& random,
                             std::int64_t block = 0) {
  call.description.clear();
  call = with_outputs_drawn(std::move(call), combination, random, block);
  draw_places(call, random);
  if (random.chance(1, 2)) call.thread_order = 1 + random.below(1 << 16);
  fit_to(combination.limits, call);
  if (!what_is_outside(combination.limits, call).empty()) return std::nullopt;
  return call;
}

}  // namespace

std::string to_string(const Combination& combination) {
  std::string text = fmt::format("{} {}", combination.operation->name, name_of(combination.dtype));
  if (find_tensor(*combination.operation, "weight") != nullptr)
    text += fmt::format(", weight {}", combination.weight ? name_of(*combination.weight) : "none");
  if (combination.codes) text += fmt::format(", codes {}", name_of(*combination.codes));
  return text;
}

namespace {

std::vector<std::optional<DType>> weights_of(const JudgedOperation& operation, const JudgedTakes& takes,
                                             DType activation) {
  std::vector<std::optional<DType>> weights;
  const Spec* weight = find_tensor(operation, "weight");
  if (weight == nullptr || (takes.no_weight && weight->need == Need::optional)) weights.emplace_back();
  if (weight == nullptr) return weights;
  if (takes.same_weight) weights.emplace_back(activation);
  if (takes.fp32_weight && !(takes.same_weight && activation == DType::fp32))
    weights.emplace_back(DType::fp32);
  return weights;
}

// An operation with one dtype of codes has these, whatever is said of others.
std::vector<std::optional<DType>> codes_of(const JudgedOperation& operation, const JudgedTakes& takes) {
  const Spec* spec = codes_of(operation);
  if (spec == nullptr) return {std::nullopt};
  std::vector<std::optional<DType>> codes;
  for (const DType dtype : spec->dtypes)
    if (spec->dtypes.size() == 1 || std::ranges::count(takes.codes, dtype) > 0) codes.emplace_back(dtype);
  return codes;
}

// What the target says where it takes none of a few calls; nothing where it takes one.
std::optional<std::string> refusal_of(JudgedTarget& target, const Combination& combination) {
  constexpr std::uint64_t kSeed = 1;
  constexpr std::int64_t kAsked = 8;
  std::optional<std::string> reason;
  for (std::int64_t index = 0; index < kAsked; ++index) {
    const std::optional<Call> call = telling_call(combination, kSeed, index);
    if (!call) continue;
    const JudgedRun run = target.run_judged(*call, kCanary);
    if (run.status != RunResult::Status::not_taken) return std::nullopt;
    reason = run.message;
  }
  return reason;
}

}  // namespace

std::vector<Combination> combinations_of(JudgedTarget& target, const JudgedOperation* operation,
                                         std::optional<DType> dtype, std::vector<Declined>* declined) {
  std::vector<Combination> combinations;
  const JudgedTakes takes = target.judged_takes();
  for (const JudgedOperation* each : target.judged_operations()) {
    if (operation != nullptr && each != operation) continue;
    const CallLimits limits = target.judged_limits(*each);
    const Policy native = parse_policy(*each, "native");
    for (const DType x : takes.dtypes) {
      if (dtype && x != *dtype) continue;
      for (const std::optional<DType> weight : weights_of(*each, takes, x))
        for (const std::optional<DType> codes : codes_of(*each, takes))
          combinations.push_back({each, x, weight, limits, codes, native, takes.scale_ub, takes.scale_layouts,
                                  takes.scale_views, takes.weight_rows,
                                  takes.no_statistics && !each->epsilon_without.empty()
                                      ? GivenStatistics::mostly
                                      : GivenStatistics::always});
    }
  }
  if (target.says_what_it_takes()) return combinations;
  std::erase_if(combinations, [&](const Combination& combination) {
    std::optional<std::string> reason = refusal_of(target, combination);
    if (const auto other = without_statistics(combination); reason && other)
      reason = refusal_of(target, *other);
    if (reason && declined != nullptr) declined->push_back({combination.operation, *reason});
    return reason.has_value();
  });
  return combinations;
}

std::optional<Combination> without_statistics(Combination combination) {
  if (combination.statistics != GivenStatistics::mostly) return std::nullopt;
  combination.statistics = GivenStatistics::never;
  return combination;
}

void keep_codes(std::vector<Combination>& combinations, DType codes) {
  std::set<const JudgedOperation*> with_codes;
  for (const Combination& each : combinations)
    if (each.codes == codes) with_codes.insert(each.operation);
  std::erase_if(combinations, [&](const Combination& each) {
    return with_codes.contains(each.operation) && each.codes != codes;
  });
}

std::int64_t chosen_sizes() { return static_cast<std::int64_t>(kSizes.size()) + 1; }

std::optional<Call> verification_call(const Combination& combination, std::uint64_t seed,
                                      std::int64_t index) {
  Random random = Random(seed).split(static_cast<std::uint64_t>(index)).split(1);
  CaseDemand demand = demand_of(combination, random);
  const bool chosen = index < chosen_sizes();
  const auto place = static_cast<std::size_t>(index);
  const Size size = !chosen ? Size{} : place < kSizes.size() ? kSizes[place] : kGreatRows;
  if (chosen) {
    // A head is short, and a token has several.
    set_size(combination,
             has_heads(*combination.operation) ? Size{size.rows > 8 ? size.rows / 4 : size.rows, size.hidden}
                                               : size,
             demand);
  } else {
    draw_size(combination, random, demand);
  }
  const Random aside = random.split(1);  // what is drawn of it leaves all else as it is
  demand.with_bound = combination.scale_ub && aside.split(1).chance(1, 2);
  demand.with_statistics = !has_none(combination, aside.split(4));
  Call call = random_call(demand, seed, index);
  if (chosen && size.rows == 0 && combination.limits.least_rows == 0) call = slice_of_rows(call, {});
  call.name = fmt::format("call-{}", index);
  std::optional<Call> result =
      finished(combination, std::move(call), random, draw_block(combination, aside.split(3)));
  if (result) draw_layout(combination, *result, aside.split(2));
  if (result) fit_to(combination.limits, *result);
  return result;
}

std::optional<Call> telling_call(const Combination& combination, std::uint64_t seed, std::int64_t index) {
  constexpr std::array kTelling = {Size{16, 64}, Size{8, 8}, Size{8, 16}, Size{4, 64}, Size{4, 128}};
  Random random = Random(seed).split(2).split(static_cast<std::uint64_t>(index));
  CaseDemand demand = demand_of(combination, random);
  set_size(combination, kTelling[static_cast<std::size_t>(index) % kTelling.size()], demand);
  demand.finite = index % 3 == 0;
  demand.with_statistics = combination.statistics != GivenStatistics::never;
  Call call = random_call(demand, seed, index);
  call.name = fmt::format("telling-{}", index);
  return finished(combination, std::move(call), random);
}

std::optional<Call> call_of_size(const Combination& combination, std::int64_t rows, std::int64_t hidden,
                                 Random& random) {
  CaseDemand demand = demand_of(combination, random);
  set_size(combination, {rows, hidden}, demand);
  demand.finite = true;
  Call call = random_call(demand, random.next(), 0);
  call.name = "related";
  return finished(combination, std::move(call), random);
}

std::optional<Call> call_within(const Combination& combination, std::int64_t rows, std::int64_t hidden,
                                Random& random) {
  CaseDemand demand = demand_of(combination, random);
  demand.max_rows = rows;
  demand.max_hidden = hidden;
  demand.with_bound = combination.scale_ub && random.chance(1, 2);
  demand.with_statistics = !has_none(combination, random.split(4));
  std::optional<Call> call = finished(combination, random_call(demand, random.next(), 0), random,
                                      draw_block(combination, random.split(3)));
  if (call) draw_layout(combination, *call, random.split(2));
  if (call) fit_to(combination.limits, *call);
  return call;
}

Call asking_like(Call inputs, const Call& like, const Policy& policy) {
  std::vector<std::string> names;
  for (const Spec& spec : like.operation->tensors)
    if (spec.direction == Direction::out && like.has(spec.name)) names.emplace_back(spec.name);
  const Spec* codes = codes_of(*like.operation);
  const Tensor* of_codes = codes == nullptr ? nullptr : like.find(codes->name);
  const bool has_own = shape_says_block(*like.operation, policy) && like.has("scales");
  Call call = asking_for(std::move(inputs), names,
                         of_codes == nullptr ? std::nullopt : std::optional(of_codes->dtype), policy,
                         has_own ? block_shape_of(like, &policy).block : 0);
  if (const Spec* spec = blocks_of(like); spec != nullptr) {
    const auto theirs = like.operation->block_layouts(like, policy).all;
    const auto place =
        std::ranges::find(theirs, like.at(spec->name).shape, &oracle::judged::BlockLayout::shape);
    if (place != theirs.end())
      call.tensors.find(spec->name)->second.shape = call.operation->block_layouts(call, policy)
                                                        .all[static_cast<std::size_t>(place - theirs.begin())]
                                                        .shape;
  }
  return call;
}

Call asking_for_all(Call inputs, const Policy& policy) {
  std::vector<std::string> names;
  for (const Spec& spec : inputs.operation->tensors)
    if (spec.direction == Direction::out) names.emplace_back(spec.name);
  return asking_for(std::move(inputs), names, {}, policy);
}

Call without_contents(Call call) {
  for (const Spec& spec : call.operation->tensors) {
    const auto found = call.tensors.find(spec.name);
    if (spec.direction != Direction::out || found == call.tensors.end()) continue;
    Tensor& tensor = found->second;
    tensor.bytes.assign(static_cast<std::size_t>(tensor.elements()) * size_of(tensor.dtype), kCanary);
  }
  return call;
}

std::optional<Call> row_alone(const Call& call, std::int64_t row, const Policy& policy) {
  const std::array<std::int64_t, 1> rows = {row};
  Call like = call;
  for (const Spec& spec : call.operation->tensors)
    if (spec.direction == Direction::out && spec.extent == Extent::hidden)
      like.tensors.erase(std::string(spec.name));
  if (!like.has_outputs()) return std::nullopt;
  return asking_like(slice_of_rows(without_outputs(call), rows), like, policy);
}

Call lying_elsewhere(const Combination& combination, Call call, Random& random) {
  const bool as_usual = !call.places.empty();
  call.places.clear();
  for (int tries = 0; tries < 8 && !as_usual && call.places.empty(); ++tries) draw_places(call, random);
  fit_to(combination.limits, call);
  return call;
}

}  // namespace normproof::judging
