#include "fuzz/call_mutator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "fuzz/call_bytes.h"
#include "fuzz/value_mutations.h"
#include "oracle/box_search/random_rows.h"
#include "oracle/row_kernels.h"
#include "properties/judged/verification_call.h"

namespace normproof::fuzz {
namespace {

using oracle::judged::Extent;
using oracle::judged::Need;
using oracle::judged::Place;
using oracle::judged::Tensor;

// --- The form of the call. ---

// The call in another form, with its values as far as they fit.
template <class Change>
bool change_form(Call& call, Random& random, const CallSpace& space, Change change) {
  CallForm form = form_of(call);
  change(form);
  call = refitted(fitted(std::move(form), space), call, random);
  return true;
}

std::int64_t rows_of(const CallForm& form) {
  std::int64_t rows = 1;
  for (std::size_t dim = 0; dim + 1 < form.shape.size(); ++dim) rows *= form.shape[dim];
  return rows;
}

// Another operation on the same values.
bool mutate_operation(Call& call, Random& random, const CallSpace& space) {
  const JudgedOperation* operation = random.pick(space.operations);
  if (operation == call.operation) return false;
  return change_form(call, random, space, [&](CallForm& form) {
    const auto had = form.operation->tensors;
    const auto choices = form.choices;
    form.operation = operation;
    form.choices = {};
    for (std::size_t i = 0; i < operation->tensors.size(); ++i) {
      const auto same = std::ranges::find(had, operation->tensors[i].name, &Spec::name);
      if (same != had.end()) form.choices[i] = choices[static_cast<std::size_t>(same - had.begin())];
    }
  });
}

bool mutate_types(Call& call, Random& random, const CallSpace& space) {
  return change_form(call, random, space, [&](CallForm& form) {
    if (random.chance(1, 2)) form.dtype = random.pick(kActivationDTypes);
    for (std::optional<std::uint8_t>& choice : form.choices)
      if (choice && random.chance(1, 3)) choice = static_cast<std::uint8_t>(random.below(6));
  });
}

// A tensor that may be missing comes or goes.
bool mutate_presence(Call& call, Random& random, const CallSpace& space) {
  std::vector<std::size_t> optional;
  for (std::size_t i = 0; i < call.operation->tensors.size(); ++i)
    if (call.operation->tensors[i].need != Need::always) optional.push_back(i);
  if (optional.empty()) return false;
  return change_form(call, random, space, [&](CallForm& form) {
    std::optional<std::uint8_t>& choice = form.choices[random.pick(optional)];
    if (choice) {
      choice.reset();
    } else {
      choice = static_cast<std::uint8_t>(random.below(2));
    }
  });
}

bool mutate_hidden_size(Call& call, Random& random, const CallSpace& space) {
  return change_form(call, random, space, [&](CallForm& form) {
    form.shape.back() = draw_size(space.max_hidden, random);
    if (random.chance(3, 4)) form.pairs = form.shape.back() / 2;
  });
}

bool mutate_rows(Call& call, Random& random, const CallSpace& space) {
  return change_form(call, random, space, [&](CallForm& form) {
    if (form.shape.size() < 2) form.shape.insert(form.shape.begin(), 1);
    const std::size_t dim = random.below(form.shape.size() - 1);
    form.shape[dim] = random.chance(3, 4) ? random.between(0, 5) : random.between(0, 40);
  });
}

// The same rows under other leading sizes.
bool mutate_leading_sizes(Call& call, Random& random, const CallSpace& space) {
  return change_form(call, random, space, [&](CallForm& form) {
    std::int64_t rest = rows_of(form);
    std::vector<std::int64_t> shape;
    for (std::uint64_t more = random.below(3); more > 0 && rest > 0; --more) {
      std::int64_t size = random.between(1, rest);
      while (rest % size != 0) --size;
      shape.push_back(size);
      rest /= size;
    }
    if (rest != 1 || random.chance(1, 2)) shape.push_back(rest);
    shape.push_back(form.shape.back());
    form.shape = std::move(shape);
    form.flat_rows = random.chance(1, 2);
  });
}

bool mutate_rotation(Call& call, Random& random, const CallSpace& space) {
  if (!call.has("cos")) return false;
  return change_form(call, random, space, [&](CallForm& form) {
    const std::int64_t most = form.shape.back() / 2;
    form.pairs = random.chance(1, 2) ? most : random.between(0, most);
  });
}

bool mutate_blocks(Call& call, Random& random, const CallSpace& space) {
  const bool has_blocks = std::ranges::any_of(call.operation->tensors,
                                              [](const Spec& spec) { return spec.extent == Extent::blocks; });
  if (!has_blocks) return false;
  return change_form(call, random, space, [&](CallForm& form) {
    const std::int64_t block = random.pick(std::array<std::int64_t, 7>{1, 4, 8, 16, 32, 64, 128});
    if (random.chance(1, 2)) form.blocks = (form.shape.back() + block - 1) / block;
    form.layout = static_cast<std::uint8_t>(random.below(12));
  });
}

// --- Where it lies, and in which order the threads run. ---

bool mutate_thread_order(Call& call, Random& random, const CallSpace&) {
  const std::uint64_t kind = random.below(3);
  call.thread_order = kind < 2 ? kind : 2 + random.below(1u << 16);
  return true;
}

bool mutate_place(Call& call, Random& random, const CallSpace&) {
  const Spec& spec = random.pick(call.operation->tensors);
  const Tensor* tensor = call.find(spec.name);
  if (tensor == nullptr) return false;
  Place place = call.place_of(spec.name);
  if (!spec.in_place_of.empty() && call.has(spec.in_place_of) && random.chance(1, 3)) {
    place = {0, 0, !place.in_place};
  } else {
    place.in_place = false;
    place.by_columns = may_lie_by_columns(call, spec) && random.chance(1, 2);
    if (random.chance(1, 2)) place.offset = random.between(0, 16);
    if (random.chance(1, 2)) place.gap = tensor->shape.size() > 1 ? draw_gap(random) : 0;
  }
  call.places.erase(std::string(spec.name));
  if (place != Place{}) call.places[std::string(spec.name)] = place;
  return true;
}

// --- Numbers. ---

bool mutate_epsilon(Call& call, Random& random, const CallSpace&) {
  if (!takes_epsilon(call)) return false;
  call.epsilon = draw_epsilon(random);
  return true;
}

bool mutate_scale(Call& call, Random& random, const CallSpace&) {
  for (const Spec& spec : call.operation->tensors) {
    if (spec.direction != Direction::in || spec.extent != Extent::one || !call.has(spec.name)) continue;
    store_bits(call.tensors.find(spec.name)->second.bytes, DType::fp32, 0, draw_scale(random) & 0x7fffffffu);
    return true;
  }
  return false;
}

// The inputs that have more than one number, and the specs that they belong to.
struct Inputs {
  std::vector<Values> values;
  std::vector<const Spec*> specs;
};
Inputs inputs_of(Call& call) {
  Inputs inputs;
  for (const Spec& spec : call.operation->tensors) {
    const auto found = call.tensors.find(spec.name);
    if (spec.direction == Direction::out || found == call.tensors.end() || spec.extent == Extent::one)
      continue;
    Tensor& tensor = found->second;
    const std::int64_t columns = spec.extent == Extent::row ? 1 : tensor.shape.back();
    inputs.values.push_back({&tensor.bytes, tensor.dtype, std::max<std::int64_t>(columns, 1)});
    inputs.specs.push_back(&spec);
  }
  return inputs;
}

template <class Change>
bool change_element(Call& call, Random& random, Change change) {
  const Inputs inputs = inputs_of(call);
  const PickedElement element = pick_element(inputs.values, random);
  if (element) change(element);
  return static_cast<bool>(element);
}

template <void (*change)(const PickedElement&, Random&)>
bool change_one(Call& call, Random& random, const CallSpace&) {
  return change_element(call, random, [&](const PickedElement& element) { change(element, random); });
}

bool shift_row(Call& call, Random& random, const CallSpace&) {
  const int shift = draw_shift(random);
  return change_element(call, random, [&](const PickedElement& element) { shift_exponents(element, shift); });
}

bool aim_sum(Call& call, Random& random, const CallSpace&) {
  if (!call.has("residual")) return false;
  const Tensor& x = call.at("x");
  const std::array<Values, 1> values = {{{&call.tensors.at("x").bytes, x.dtype, x.shape.back()}}};
  const PickedElement element = pick_element(values, random);
  if (element) aim_sum_at_tie(element, {&call.tensors.at("residual").bytes, x.dtype, x.shape.back()}, random);
  return static_cast<bool>(element);
}

// A whole row of one kind: zeros, a constant, tiny, huge, far from zero, not finite.
bool draw_row(Call& call, Random& random, const CallSpace&) {
  return change_element(call, random, [&](const PickedElement& element) {
    const Values& values = *element.values;
    const auto kind =
        static_cast<oracle::box_search::RowClass>(random.below(oracle::box_search::kRowClasses));
    const oracle::StandardFloatEnvironment environment;
    const auto row = oracle::box_search::packed(
        oracle::box_search::random_row(random, values.dtype, values.columns, kind), values.dtype);
    const std::int64_t first = element.index / values.columns * values.columns;
    std::ranges::copy(row, values.bytes->begin() + first * static_cast<std::int64_t>(size_of(values.dtype)));
  });
}

// Those of x: most other changes leave them as they were.
bool complete_statistics(Call& call, Random& random, const CallSpace& space) {
  Call without = call;
  for (const Spec& spec : call.operation->tensors)
    if (spec.direction == Direction::in && spec.extent == Extent::row)
      without.tensors.erase(std::string(spec.name));
  if (without.tensors.size() == call.tensors.size()) return false;
  call = refitted(fitted(form_of(call), space), without, random);
  return true;
}

constexpr std::array kCallMutations = {
    CallMutation{"operation", mutate_operation},
    CallMutation{"types", mutate_types},
    CallMutation{"presence", mutate_presence},
    CallMutation{"hidden-size", mutate_hidden_size},
    CallMutation{"rows", mutate_rows},
    CallMutation{"leading-sizes", mutate_leading_sizes},
    CallMutation{"rotation", mutate_rotation},
    CallMutation{"blocks", mutate_blocks},
    CallMutation{"thread-order", mutate_thread_order},
    CallMutation{"place", mutate_place},
    CallMutation{"epsilon", mutate_epsilon},
    CallMutation{"scale", mutate_scale},
    CallMutation{"one-ulp", change_one<step_one_ulp>},
    CallMutation{"special", change_one<set_special>},
    CallMutation{"near-power-of-two", change_one<set_near_power_of_two>},
    CallMutation{"shift-exponents", shift_row},
    CallMutation{"sum-at-tie", aim_sum},
    CallMutation{"row", draw_row},
    CallMutation{"repeat", change_one<repeat_magnitude>},
    CallMutation{"statistics", complete_statistics},
};

}  // namespace

std::span<const CallMutation> call_mutations() { return kCallMutations; }

Call mutate(const Call& call, Random& random, const CallSpace& space) {
  return changed(
      call, kCallMutations, random,
      [&](const CallMutation& mutation, Call& child) { return mutation.apply(child, random, space); },
      [&](const Call& child) { return is_valid(child) && call_to_bytes(child, space).has_value(); });
}

std::optional<Call> fresh_call(Random& random, const CallSpace& space) {
  judging::Combination combination;
  combination.operation = random.pick(space.operations);
  combination.dtype = random.pick(kActivationDTypes);
  combination.policy = parse_policy(*combination.operation, "native");
  combination.scale_ub = combination.scale_layouts = combination.scale_views = combination.weight_rows = true;
  combination.statistics = judging::GivenStatistics::mostly;
  for (const Spec& spec : combination.operation->tensors) {
    if (spec.name == "weight" && (spec.need == Need::always || random.chance(3, 4)))
      combination.weight = random.chance(1, 2) ? combination.dtype : DType::fp32;
    if (spec.extent == Extent::codes) combination.codes = random.pick(spec.dtypes);
  }
  const bool is_wide = random.chance(1, 4);
  const std::int64_t rows = random.chance(1, 8) ? 40 : 4;
  std::optional<Call> call = judging::call_within(combination, rows, is_wide ? space.max_hidden : 64, random);
  if (!call) return std::nullopt;
  call->name.clear();
  return judging::without_contents(*std::move(call));
}

}  // namespace normproof::fuzz
