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

#include "corpus/aimed_values.h"
#include "corpus/bit_classes.h"
#include "corpus/float_format.h"

namespace normproof::fuzz {
namespace {

// A tensor of a case with its dtype and size, its elements listed.
struct TensorView {
  TensorData* data;
  DType dtype;
  std::int64_t rows;

  std::uint32_t get(std::int64_t index) const { return load_bits(data->bytes, dtype, index); }
  void set(std::int64_t index, std::uint32_t bits) const { store_bits(data->bytes, dtype, index, bits); }
  std::int64_t elements() const { return static_cast<std::int64_t>(data->bytes.size() / size_of(dtype)); }
};

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

std::array<TensorView, 3> tensors_of(Case& test_case) {
  const std::int64_t rows = test_case.rows();
  return {{{&test_case[Role::input].data, test_case.dtype, rows},
           {&test_case[Role::residual].data, test_case.dtype, rows},
           {&test_case[Role::weight].data, test_case.weight_dtype.value_or(test_case.dtype), 1}}};
}

// Calls change(tensor, element) for a random element; false where the case has no elements.
template <class Change>
bool change_element(Case& test_case, Random& random, Change change) {
  list_values(test_case);
  std::array<TensorView, 3> tensors = tensors_of(test_case);
  const auto end =
      std::remove_if(tensors.begin(), tensors.end(), [](const TensorView& t) { return t.elements() == 0; });
  if (end == tensors.begin()) return false;
  const TensorView& tensor = tensors[random.below(static_cast<std::uint64_t>(end - tensors.begin()))];
  change(tensor, static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(tensor.elements()))));
  return true;
}

void draw_values_near_one(TensorData& data, DType dtype, std::int64_t elements, Random& random) {
  data = {std::vector<std::byte>(static_cast<std::size_t>(elements) * size_of(dtype)), {}};
  for (std::int64_t index = 0; index < elements; ++index)
    store_bits(data.bytes, dtype, index, draw_near(random, format_of(dtype), -3, 3));
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
  const std::int64_t old_columns = test_case.hidden_size();
  for (TensorView& tensor : tensors_of(test_case)) {
    if (tensor.elements() == 0 &&
        !(tensor.data == &test_case[Role::weight].data     ? test_case.weight_dtype.has_value()
          : tensor.data == &test_case[Role::residual].data ? adds_residual(test_case.operation)
                                                           : true)) {
      continue;
    }
    const std::int64_t new_rows = tensor.data == &test_case[Role::weight].data ? 1 : rows;
    TensorData resized{
        std::vector<std::byte>(static_cast<std::size_t>(new_rows * columns) * size_of(tensor.dtype)), {}};
    for (std::int64_t row = 0; row < new_rows; ++row) {
      for (std::int64_t column = 0; column < columns; ++column) {
        const bool kept = row < tensor.rows && column < old_columns;
        store_bits(resized.bytes, tensor.dtype, row * columns + column,
                   kept ? tensor.get(row * old_columns + column)
                        : draw_near(random, format_of(tensor.dtype), -3, 3));
      }
    }
    *tensor.data = std::move(resized);
  }
  test_case.shape.back() = columns;
  set_leading_sizes(test_case, {rows});
}

bool mutate_epsilon(Case& test_case, Random& random, const CaseLimits&) {
  static constexpr std::array<std::uint32_t, 10> kClasses = {
      0x358637bd, 0x3727c5ac, 0, 0x80000000, 1, 0x7f800000, 0x7fc00000, 0xb58637bd, 0x3f800000, 0x7f7fffff};
  test_case.bits_of(Parameter::epsilon) =
      random.chance(3, 4) ? random.pick(kClasses) : draw_bits(random, kFp32);
  return true;
}

bool mutate_scale(Case& test_case, Random& random, const CaseLimits&) {
  if (!has(test_case.operation, Parameter::scale)) return false;
  static constexpr std::array<std::uint32_t, 10> kClasses = {
      0x3f800000, 0x3cf5c28f, 0, 0x80000000, 1, 0x7f800000, 0x7fc00000, 0xbf800000, 0x3b124925, 0x00800000};
  test_case.bits_of(Parameter::scale) =
      random.chance(1, 2) ? random.pick(kClasses) : draw_near(random, kFp32, -8, 8);
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
  const std::int64_t gap = static_cast<std::int64_t>(random.pick(std::array{0, 1, 3, 4, 8, 16, 64}));
  std::int64_t stride = test_case.hidden_size() + gap;
  layout.strides.assign(test_case.shape.size() - 1, 0);
  for (std::size_t dim = layout.strides.size(); dim-- > 0;) {
    layout.strides[dim] = stride;
    stride *= std::max<std::int64_t>(test_case.shape[dim], 1);
  }
  return true;
}

bool mutate_hidden_size(Case& test_case, Random& random, const CaseLimits& limits) {
  static constexpr std::array<std::int64_t, 8> kUnits = {1, 4, 8, 16, 32, 64, 128, 256};
  const std::int64_t unit = random.pick(kUnits);
  // One draw a statement: in one expression their order would be the compiler's choice.
  const auto units = static_cast<std::int64_t>(1 + random.below(4));
  const std::int64_t near = unit * units + static_cast<std::int64_t>(random.below(3)) - 1;
  resize(test_case, test_case.rows(), std::clamp<std::int64_t>(near, 1, limits.max_hidden), random);
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
  if (quantizes(operation) && !test_case.quantized_dtype) {
    test_case.quantized_dtype = random.pick(kQuantizedDTypes);
  }
  if (adds_residual(operation) && test_case[Role::residual].data.bytes.empty()) {
    draw_values_near_one(test_case[Role::residual].data, test_case.dtype, test_case.elements(), random);
  }
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

// Values of one dtype in the other, rounded.
void convert(TensorData& data, DType from, DType to) {
  if (from == to) return;
  const auto elements = static_cast<std::int64_t>(data.bytes.size() / size_of(from));
  TensorData converted{std::vector<std::byte>(static_cast<std::size_t>(elements) * size_of(to)), {}};
  for (std::int64_t index = 0; index < elements; ++index) {
    const double value = value_of(format_of(from), load_bits(data.bytes, from, index));
    store_bits(converted.bytes, to, index, rounded(format_of(to), value));
  }
  data = std::move(converted);
}

// Another activation dtype, or another weight, for the same values.
bool mutate_types(Case& test_case, Random& random, const CaseLimits&) {
  const DType dtype = random.chance(1, 2) ? random.pick(kActivationDTypes) : test_case.dtype;
  const WeightKind weight = random.chance(1, 2) ? random.pick(kWeightKinds) : weight_kind(test_case);
  if (dtype == test_case.dtype && weight == weight_kind(test_case)) return false;
  list_values(test_case);
  convert(test_case[Role::input].data, test_case.dtype, dtype);
  convert(test_case[Role::residual].data, test_case.dtype, dtype);
  test_case.dtype = dtype;
  if (weight == WeightKind::none) {
    test_case.weight_dtype.reset();
    test_case[Role::weight].data = {};
    test_case[Role::weight].layout.offset = 0;
    return true;
  }
  const DType weight_dtype = weight == WeightKind::fp32 ? DType::fp32 : dtype;
  if (test_case.weight_dtype) {
    convert(test_case[Role::weight].data, *test_case.weight_dtype, weight_dtype);
  } else {
    draw_values_near_one(test_case[Role::weight].data, weight_dtype, test_case.hidden_size(), random);
  }
  test_case.weight_dtype = weight_dtype;
  return true;
}

bool mutate_quantized_dtype(Case& test_case, Random& random, const CaseLimits&) {
  if (!test_case.quantized_dtype) return false;
  test_case.quantized_dtype = random.pick(kQuantizedDTypes);
  return true;
}

bool step_one_ulp(Case& test_case, Random& random, const CaseLimits&) {
  return change_element(test_case, random, [&](const TensorView& tensor, std::int64_t index) {
    tensor.set(index, tensor.get(index) + (random.chance(1, 2) ? 1u : ~0u));
  });
}

bool set_special(Case& test_case, Random& random, const CaseLimits&) {
  return change_element(test_case, random, [&](const TensorView& tensor, std::int64_t index) {
    tensor.set(index, draw_special(random, format_of(tensor.dtype)));
  });
}

bool set_near_power_of_two(Case& test_case, Random& random, const CaseLimits&) {
  return change_element(test_case, random, [&](const TensorView& tensor, std::int64_t index) {
    const int exponent = static_cast<int>(random.below(7)) - 3;
    const std::uint32_t power = format_of(tensor.dtype).power_of_two(exponent, random.chance(1, 2));
    tensor.set(index, power + static_cast<std::uint32_t>(random.below(5)) - 2);
  });
}

// x and residual whose exact sum is no representable number: on a midpoint, or beside one.
bool aim_sum_at_tie(Case& test_case, Random& random, const CaseLimits&) {
  if (!adds_residual(test_case.operation) || test_case.elements() == 0) return false;
  list_values(test_case);
  const auto tensors = tensors_of(test_case);
  const FloatFormat format = format_of(test_case.dtype);
  const auto index =
      static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(test_case.elements())));
  if (const std::uint32_t bits = tensors[0].get(index); format.magnitude(bits) < format.infinity()) {
    tensors[1].set(index, tie_addend(random, format, bits));
  }
  return true;
}

// Multiplies a row (or the weight) by a power of two, as far as its exponents allow.
bool shift_exponents(Case& test_case, Random& random, const CaseLimits&) {
  int shift = static_cast<int>(random.below(25)) - 12;
  if (shift == 0) shift = 1;
  return change_element(test_case, random, [&](const TensorView& tensor, std::int64_t index) {
    const FloatFormat format = format_of(tensor.dtype);
    const std::int64_t columns = tensor.elements() / std::max<std::int64_t>(tensor.rows, 1);
    const std::int64_t first = index / columns * columns;
    for (std::int64_t element = first; element < first + columns; ++element) {
      const std::uint32_t bits = tensor.get(element);
      const auto exponent = static_cast<int>(format.magnitude(bits) >> format.mantissa_bits) + shift;
      if (format.magnitude(bits) >= format.infinity() || exponent <= 0 || exponent > 2 * format.bias())
        continue;
      tensor.set(element, (bits & (format.sign_bit() | format.mantissa_mask())) |
                              static_cast<std::uint32_t>(exponent) << format.mantissa_bits);
    }
  });
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
    Mutation{"schedule", mutate_schedule},
    Mutation{"launch", mutate_launch},
    Mutation{"alignment", mutate_alignment},
    Mutation{"strides", mutate_strides},
    Mutation{"hidden-size", mutate_hidden_size},
    Mutation{"rows", mutate_rows},
    Mutation{"operation", mutate_operation},
    Mutation{"leading-sizes", mutate_leading_sizes},
    Mutation{"types", mutate_types},
    Mutation{"quantized-dtype", mutate_quantized_dtype},
    Mutation{"one-ulp", step_one_ulp},
    Mutation{"special", set_special},
    Mutation{"near-power-of-two", set_near_power_of_two},
    Mutation{"sum-at-tie", aim_sum_at_tie},
    Mutation{"shift-exponents", shift_exponents},
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
  constexpr int kAttempts = 4;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Case mutated = test_case;
    const std::uint64_t wanted = 1 + random.below(4);
    // Some mutations do not fit some cases. Several always do, so few draws are in vain, unless those are
    // left out.
    constexpr int kDraws = 100;
    std::uint64_t applied = 0;
    for (int draw = 0; draw < kDraws && applied < wanted; ++draw)
      applied += random.pick(used_mutations()).apply(mutated, random, limits) ? 1 : 0;
    if (validate(mutated).empty() && within(mutated, limits)) return mutated;
  }
  return test_case;
}

Case cross_over(const Case& first, const Case& second, Random& random, const CaseLimits& limits) {
  Case child = first;
  Case other = second;
  list_values(child);
  list_values(other);
  if (random.chance(1, 2)) child.bits_of(Parameter::epsilon) = other.bits_of(Parameter::epsilon);
  if (has(child.operation, Parameter::scale) && has(other.operation, Parameter::scale) && random.chance(1, 2))
    child.bits_of(Parameter::scale) = other.bits_of(Parameter::scale);
  if (random.chance(1, 2)) child.schedule = other.schedule;
  if (random.chance(1, 2)) child.launch = other.launch;
  // Values travel where the dtypes agree: the common prefix of the listed elements.
  const auto into = tensors_of(child);
  const auto from = tensors_of(other);
  for (std::size_t index = 0; index < into.size(); ++index) {
    if (into[index].dtype != from[index].dtype || random.chance(1, 2)) continue;
    const std::size_t bytes = std::min(into[index].data->bytes.size(), from[index].data->bytes.size());
    if (bytes > 0) std::memcpy(into[index].data->bytes.data(), from[index].data->bytes.data(), bytes);
  }
  return validate(child).empty() && within(child, limits) ? child : first;
}

}  // namespace normproof::fuzz
