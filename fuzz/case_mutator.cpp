#include "fuzz/case_mutator.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <ranges>
#include <utility>
#include <vector>

#include "corpus/tensor_values.h"
#include "fuzz/value_mutations.h"

namespace normproof::fuzz {
namespace {

// Replaces recipes by the values that they stand for.
void list_values(Case& test_case) {
  if (!test_case[Role::input].data.recipe && !test_case[Role::residual].data.recipe &&
      !test_case[Role::weight].data.recipe)
    return;
  CaseTensors tensors = materialize(test_case);
  test_case[Role::input].data = {std::move(tensors[Role::input]), {}};
  test_case[Role::residual].data = {std::move(tensors[Role::residual]), {}};
  test_case[Role::weight].data = {std::move(tensors[Role::weight]), {}};
}

// Those of x, residual and weight, whose elements are listed.
std::array<Values, 3> values_of(Case& test_case) {
  const std::int64_t columns = test_case.hidden_size();
  return {{{&test_case[Role::input].data.bytes, test_case.dtype, columns},
           {&test_case[Role::residual].data.bytes, test_case.dtype, columns},
           {&test_case[Role::weight].data.bytes, test_case.weight_dtype.value_or(test_case.dtype), columns}}};
}

// Calls change(element) for a random element; false where the case has no elements.
template <class Change>
bool change_element(Case& test_case, Random& random, Change change) {
  list_values(test_case);
  const std::array<Values, 3> values = values_of(test_case);
  const PickedElement element = pick_element(values, random);
  if (element) change(element);
  return static_cast<bool>(element);
}

// The leading sizes of the same rows, which then lie one after the other.
void set_leading_sizes(Case& test_case, std::vector<std::int64_t> sizes) {
  const std::int64_t columns = test_case.hidden_size();
  test_case.shape = std::move(sizes);
  test_case.shape.push_back(columns);
  for (CaseTensor& tensor : test_case.tensors) tensor.layout.strides.clear();
}

// Gives every tensor `columns` columns and `rows` rows: what is there stays in
// its place, what is new is drawn.
void resize(Case& test_case, std::int64_t rows, std::int64_t columns, Random& random) {
  list_values(test_case);
  constexpr std::size_t kWeight = 2;
  const std::array<Values, 3> all = values_of(test_case);
  constexpr std::array kTensors = {Role::input, Role::residual, Role::weight};
  for (std::size_t i = 0; i < all.size(); ++i)
    if (test_case.has(kTensors[i]) || all[i].elements() > 0)
      *all[i].bytes = resized(all[i], i == kWeight ? 1 : rows, columns, random);
  test_case.shape.back() = columns;
  set_leading_sizes(test_case, {rows});
}

bool mutate_epsilon(Case& test_case, Random& random, const CaseLimits&) {
  test_case.bits_of(Parameter::epsilon) = draw_epsilon(random);
  return true;
}

bool mutate_scale(Case& test_case, Random& random, const CaseLimits&) {
  if (!has(test_case.operation, Parameter::scale)) return false;
  test_case.bits_of(Parameter::scale) = draw_scale(random);
  return true;
}

bool mutate_scale_ub(Case& test_case, Random& random, const CaseLimits& limits) {
  if (!limits.scale_ub || !has(test_case.operation, Parameter::scale_ub)) return false;
  const bool none = test_case.has_scale_ub() && random.chance(1, 4);
  test_case.bits_of(Parameter::scale_ub) =
      none ? spec_of(Parameter::scale_ub).usual_bits : draw_upper_bound(random);
  return true;
}

bool mutate_schedule(Case& test_case, Random& random, const CaseLimits&) {
  test_case.schedule.order = static_cast<ThreadOrder>(random.below(3));
  test_case.schedule.seed = test_case.schedule.order == ThreadOrder::random ? random.below(1u << 16) : 0;
  return true;
}

bool mutate_launch(Case& test_case, Random& random, const CaseLimits& limits) {
  const std::uint64_t most = static_cast<std::uint64_t>(limits.max_threads_per_block) / 32;
  test_case.launch.threads_per_block = static_cast<int>(32 * random.below(most + 1));
  test_case.launch.path = static_cast<KernelPath>(random.below(3));
  return true;
}

// A layout of a tensor that the case has.
TensorLayout& random_layout(Case& test_case, Random& random) {
  std::array<TensorLayout*, kRoles.size()> layouts{};
  std::size_t count = 0;
  for (const Role role : kRoles)
    if (test_case.has_layout(role) && test_case.has_strides(role)) layouts[count++] = &test_case[role].layout;
  return *layouts[random.below(count)];
}

bool mutate_alignment(Case& test_case, Random& random, const CaseLimits&) {
  const auto offset = static_cast<std::int64_t>(random.below(17));
  if (test_case.weight_dtype && random.chance(1, 4)) {
    test_case[Role::weight].layout.offset = offset;
  } else {
    random_layout(test_case, random).offset = offset;
  }
  return true;
}

bool mutate_strides(Case& test_case, Random& random, const CaseLimits&) {
  TensorLayout& layout = random_layout(test_case, random);
  if (random.chance(1, 4)) {
    layout.strides.clear();
    return true;
  }
  // Rows at a distance; the leading dimensions in their order.
  std::int64_t stride = test_case.hidden_size() + draw_gap(random);
  layout.strides.assign(test_case.shape.size() - 1, 0);
  for (std::size_t dim = layout.strides.size(); dim-- > 0;) {
    layout.strides[dim] = stride;
    stride *= std::max<std::int64_t>(test_case.shape[dim], 1);
  }
  return true;
}

bool mutate_hidden_size(Case& test_case, Random& random, const CaseLimits& limits) {
  resize(test_case, test_case.rows(), draw_size(limits.max_hidden, random), random);
  return true;
}

bool mutate_rows(Case& test_case, Random& random, const CaseLimits& limits) {
  resize(test_case, static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(limits.max_rows) + 1)),
         test_case.hidden_size(), random);
  return true;
}

// Another operation on the same values. What only it has is drawn, what only the old one had is left out.
bool mutate_operation(Case& test_case, Random& random, const CaseLimits&) {
  const Operation operation = random.pick(all_operations());
  if (operation == test_case.operation) return false;
  list_values(test_case);
  test_case.operation = operation;
  if (test_case.shape.size() > spec_of(operation).greatest_rank)
    set_leading_sizes(test_case, {test_case.rows()});
  keep_what_it_has(test_case);
  if (has(operation, DTypeRule::codes) && !test_case.has_codes())
    test_case.set_codes(random.pick(kQuantizedDTypes));
  for (const Role role : test_case.inputs_with_rows())
    if (test_case[role].data.bytes.empty())
      test_case[role].data = {draw_values_near_one(test_case.dtype_of(role), test_case.elements(), random),
                              {}};
  return true;
}

// The same rows under one to three leading sizes, with the dimensions in their order.
bool mutate_leading_sizes(Case& test_case, Random& random, const CaseLimits&) {
  if (spec_of(test_case.operation).greatest_rank < 3) return false;
  std::vector<std::int64_t> sizes;
  std::int64_t rest = test_case.rows();
  for (std::uint64_t more = random.below(3); more > 0 && rest > 0; --more) {
    std::int64_t size = random.between(1, rest);
    while (rest % size != 0) --size;
    sizes.push_back(size);
    rest /= size;
  }
  sizes.push_back(rest);
  set_leading_sizes(test_case, std::move(sizes));
  return true;
}

// Another activation dtype, or another weight, for the same values.
bool mutate_types(Case& test_case, Random& random, const CaseLimits&) {
  const DType dtype = random.chance(1, 2) ? random.pick(kActivationDTypes) : test_case.dtype;
  const WeightKind weight = random.chance(1, 2) ? random.pick(kWeightKinds) : weight_kind(test_case);
  if (dtype == test_case.dtype && weight == weight_kind(test_case)) return false;
  list_values(test_case);
  convert(test_case[Role::input].data.bytes, test_case.dtype, dtype);
  convert(test_case[Role::residual].data.bytes, test_case.dtype, dtype);
  test_case.dtype = dtype;
  if (weight == WeightKind::none) {
    test_case.weight_dtype.reset();
    test_case[Role::weight].data = {};
    test_case[Role::weight].layout.offset = 0;
    return true;
  }
  const DType weight_dtype = weight == WeightKind::fp32 ? DType::fp32 : dtype;
  if (test_case.weight_dtype) {
    convert(test_case[Role::weight].data.bytes, *test_case.weight_dtype, weight_dtype);
  } else {
    test_case[Role::weight].data = {draw_values_near_one(weight_dtype, test_case.hidden_size(), random), {}};
  }
  test_case.weight_dtype = weight_dtype;
  return true;
}

bool mutate_codes(Case& test_case, Random& random, const CaseLimits& limits) {
  if (!test_case.has_codes()) return false;
  test_case.set_codes(random.pick(limits.codes_of(test_case.operation)));
  return true;
}

// Change of one element, by the function of the same name in value_mutations.h.
template <void (*change)(const PickedElement&, Random&)>
bool change_one(Case& test_case, Random& random, const CaseLimits&) {
  return change_element(test_case, random, [&](const PickedElement& element) { change(element, random); });
}

bool aim_sum(Case& test_case, Random& random, const CaseLimits&) {
  if (!test_case.has(Role::residual) || test_case.elements() == 0) return false;
  list_values(test_case);
  const std::array<Values, 3> values = values_of(test_case);
  aim_sum_at_tie(pick_element(std::span(values).first(1), random), values[1], random);
  return true;
}

bool shift_row(Case& test_case, Random& random, const CaseLimits&) {
  const int shift = draw_shift(random);
  return change_element(test_case, random,
                        [&](const PickedElement& element) { shift_exponents(element, shift); });
}

bool flip_in_place(Case& test_case, Random&, const CaseLimits&) {
  if (!may_be_in_place(test_case.operation)) return false;
  test_case.in_place = !test_case.in_place;
  test_case[Role::out].layout = {};
  return true;
}

constexpr std::array kMutations = {
    Mutation{"epsilon", mutate_epsilon},
    Mutation{"scale", mutate_scale},
    Mutation{"scale-ub", mutate_scale_ub},
    Mutation{"schedule", mutate_schedule},
    Mutation{"launch", mutate_launch},
    Mutation{"alignment", mutate_alignment},
    Mutation{"strides", mutate_strides},
    Mutation{"hidden-size", mutate_hidden_size},
    Mutation{"rows", mutate_rows},
    Mutation{"operation", mutate_operation},
    Mutation{"leading-sizes", mutate_leading_sizes},
    Mutation{"types", mutate_types},
    Mutation{"quantized-dtype", mutate_codes},
    Mutation{"one-ulp", change_one<step_one_ulp>},
    Mutation{"special", change_one<set_special>},
    Mutation{"near-power-of-two", change_one<set_near_power_of_two>},
    Mutation{"sum-at-tie", aim_sum},
    Mutation{"shift-exponents", shift_row},
    Mutation{"in-place", flip_in_place},
};

bool exists(std::string_view way) {
  return std::ranges::find(kOtherWays, way) != kOtherWays.end() ||
         std::ranges::find(kMutations, way, &Mutation::name) != kMutations.end();
}

// What the environment leaves out. Ends the process where it names what there is not.
const std::vector<std::string_view>& left_out() {
  static const std::vector<std::string_view> names = [] {
    const char* without = std::getenv("NORMPROOF_WITHOUT_MUTATION");
    std::vector<std::string_view> listed;
    for (const auto name : std::views::split(std::string_view(without == nullptr ? "" : without), ',')) {
      listed.emplace_back(name.begin(), name.end());
      if (exists(listed.back())) continue;
      fmt::print(stderr, "NORMPROOF_WITHOUT_MUTATION names '{}', which is no mutation and none of {}\n",
                 listed.back(), fmt::join(kOtherWays, ", "));
      std::exit(2);
    }
    return listed;
  }();
  return names;
}

std::span<const Mutation> used_mutations() {
  static const std::vector<Mutation> used = [] {
    std::vector<Mutation> mutations(kMutations.begin(), kMutations.end());
    std::erase_if(mutations, [](const Mutation& each) { return !in_use(each.name); });
    return mutations;
  }();
  return used;
}

}  // namespace

std::span<const Mutation> all_mutations() { return kMutations; }

bool in_use(std::string_view way) { return std::ranges::find(left_out(), way) == left_out().end(); }

Case mutate(const Case& test_case, Random& random, const CaseLimits& limits) {
  if (used_mutations().empty()) return test_case;
  return changed(
      test_case, used_mutations(), random,
      [&](const Mutation& mutation, Case& child) { return mutation.apply(child, random, limits); },
      [&](const Case& child) { return validate(child).empty() && within(child, limits); });
}

Case cross_over(const Case& first, const Case& second, Random& random, const CaseLimits& limits) {
  Case child = first;
  Case other = second;
  list_values(child);
  list_values(other);
  if (random.chance(1, 2)) child.bits_of(Parameter::epsilon) = other.bits_of(Parameter::epsilon);
  if (has(child.operation, Parameter::scale) && has(other.operation, Parameter::scale) && random.chance(1, 2))
    child.bits_of(Parameter::scale) = other.bits_of(Parameter::scale);
  if (child.has(Role::scales) && other.has(Role::scales) && random.chance(1, 2))
    child.bits_of(Parameter::scale_ub) = other.bits_of(Parameter::scale_ub);
  if (random.chance(1, 2)) child.schedule = other.schedule;
  if (random.chance(1, 2)) child.launch = other.launch;
  // Values travel where the dtypes agree: the common prefix of the listed elements.
  const auto into = values_of(child);
  const auto from = values_of(other);
  for (std::size_t index = 0; index < into.size(); ++index) {
    if (into[index].dtype != from[index].dtype || random.chance(1, 2)) continue;
    const std::size_t bytes = std::min(into[index].bytes->size(), from[index].bytes->size());
    if (bytes > 0) std::memcpy(into[index].bytes->data(), from[index].bytes->data(), bytes);
  }
  return validate(child).empty() && within(child, limits) ? child : first;
}

}  // namespace normproof::fuzz
