#include "python/src/call.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "corpus/shrink.h"
#include "oracle/formats.h"
#include "properties/detective/discriminate.h"
#include "properties/judging/judge_rows.h"
#include "properties/targets/kernel_target.h"

namespace normproof::python {
namespace {

// Copies dimension `dimension` and those below it to `to`; returns the end of what was written.
std::byte* copy_dimension(const StridedTensor& tensor, std::size_t dimension, const std::byte* from,
                          std::byte* to) {
  if (dimension == tensor.shape.size()) {
    std::memcpy(to, from, tensor.element_size);
    return to + tensor.element_size;
  }
  // Where everything from here on lies without gaps, it is one block.
  std::int64_t block = 1;
  bool contiguous = true;
  for (std::size_t inner = tensor.shape.size(); inner > dimension; --inner) {
    contiguous &= tensor.shape[inner - 1] == 1 || tensor.strides[inner - 1] == block;
    block *= tensor.shape[inner - 1];
  }
  const auto element_size = static_cast<std::int64_t>(tensor.element_size);
  if (contiguous) {
    const auto bytes = static_cast<std::size_t>(block * element_size);
    if (bytes > 0) std::memcpy(to, from, bytes);
    return to + bytes;
  }
  for (std::int64_t index = 0; index < tensor.shape[dimension]; ++index)
    to = copy_dimension(tensor, dimension + 1, from + index * tensor.strides[dimension] * element_size, to);
  return to;
}

// Small shapes find most bugs soonest; the longest rows reach what short ones cannot.
std::int64_t draw_size(Random& random, std::int64_t small, std::int64_t medium, std::int64_t largest) {
  const std::uint64_t ticket = random.below(10);
  return std::min(largest, ticket < 5 ? small : ticket < 8 ? medium : largest);
}

Case random_case_of(const CaseDemand& demand, Random random) {
  CaseLimits limits;
  limits.hold_to(demand);
  limits.max_rows = demand.max_rows;
  limits.max_hidden = draw_size(random, 128, 512, demand.max_hidden);
  if (demand.finite) limits.special_percent = 0;
  limits.calls = demand.takes.limits;
  limits.scale_ub = demand.takes.scale_ub;
  return random_case(random, limits);
}

bool is_finite(const std::vector<std::byte>& data, DType dtype) {
  const oracle::Format& format = oracle::format_of(dtype);
  for (std::int64_t index = 0; index < static_cast<std::int64_t>(data.size() / size_of(dtype)); ++index) {
    const std::uint32_t bits = load_bits(data, dtype, index);
    if (oracle::is_nan(format, bits) || oracle::is_infinite(format, bits)) return false;
  }
  return true;
}
bool is_finite(const Call& call) {
  const Case& test_case = call.test_case;
  return is_finite(call.tensors[Role::input], test_case.dtype) &&
         is_finite(call.tensors[Role::residual], test_case.dtype) &&
         is_finite(call.tensors[Role::weight], test_case.weight_dtype.value_or(test_case.dtype));
}

constexpr std::int64_t kLeastDiscriminatingRows = 4, kLeastDiscriminatingColumns = 64;

// The shape nearest to this one that is taken; nothing where such cases need a larger one.
std::optional<std::vector<std::int64_t>> discriminating_shape(const CaseDemand& demand, std::int64_t rows,
                                                              std::int64_t hidden) {
  Case place;
  place.operation = demand.operation;
  place.shape = {rows, hidden};
  fit_to(demand.takes.limits, place);
  const bool large =
      place.rows() >= kLeastDiscriminatingRows && place.hidden_size() >= kLeastDiscriminatingColumns;
  return large ? std::optional(place.shape) : std::nullopt;
}

Case discriminating_case_of(const CaseDemand& demand, Random random) {
  DiscriminatingShape shape;
  shape.kind() = demand;
  const auto rows = std::clamp<std::int64_t>(demand.max_rows, kLeastDiscriminatingRows, 8);
  const std::int64_t hidden =
      random.between(kLeastDiscriminatingColumns, draw_size(random, 128, 512, demand.max_hidden));
  const auto fitting = discriminating_shape(demand, rows, hidden);
  if (!fitting) return random_case_of(demand, random);
  shape.rows = fitting->front();
  shape.hidden_size = fitting->back();
  return discriminating_case(shape, random.next());
}

constexpr std::array kInputs = {Role::input, Role::residual, Role::weight};

// The bits of the zero of the same sign where the number is subnormal.
std::uint32_t without_subnormal(DType dtype, std::uint32_t bits) {
  const oracle::Format& format = oracle::format_of(dtype);
  return oracle::is_subnormal(format, bits) ? bits & static_cast<std::uint32_t>(format.sign_bit()) : bits;
}

// The call with zeros for its subnormal elements and numbers.
void remove_subnormals(Call& call) {
  for (const Role role : kInputs) {
    std::vector<std::byte>& data = call.tensors[role];
    const DType dtype = call.test_case.dtype_of(role);
    const auto elements = static_cast<std::int64_t>(data.size() / size_of(dtype));
    for (std::int64_t index = 0; index < elements; ++index)
      store_bits(data, dtype, index, without_subnormal(dtype, load_bits(data, dtype, index)));
  }
  for (std::uint32_t& bits : call.test_case.parameter_bits) bits = without_subnormal(DType::fp32, bits);
  std::uint32_t& bound = call.test_case.bits_of(Parameter::scale_ub);
  if (!is_upper_bound(bound)) bound = spec_of(Parameter::scale_ub).usual_bits;
}

bool has_subnormals(const Call& call) {
  Call without = call;
  remove_subnormals(without);
  return !(without.tensors == call.tensors && without.test_case == call.test_case);
}

// With more dimensions of one step where it has too few.
void raise_rank(std::vector<std::int64_t>& shape, std::int64_t least_rank) {
  while (static_cast<std::int64_t>(shape.size()) < least_rank) shape.insert(shape.begin(), 1);
}

}  // namespace

std::vector<std::byte> packed(const StridedTensor& tensor) {
  std::int64_t elements = 1;
  for (const std::int64_t size : tensor.shape) elements *= size;
  std::vector<std::byte> bytes(static_cast<std::size_t>(elements) * tensor.element_size);
  if (!bytes.empty()) copy_dimension(tensor, 0, tensor.data, bytes.data());
  return bytes;
}

Call call_of(Case test_case) {
  Call call;
  call.outputs = std::exchange(test_case.outputs, std::nullopt);
  call.tensors = take_data(test_case);
  make_plain(test_case);
  call.test_case = std::move(test_case);
  return call;
}

Case whole_case(const Call& call) {
  Case test_case = call.test_case;
  set_data(test_case, call.tensors);
  test_case.outputs = call.outputs;
  return test_case;
}

void require_valid(const Case& test_case) {
  if (const auto reasons = validate(test_case); !reasons.empty())
    throw std::invalid_argument(reasons.front());
}

Call row_of(const Call& call, std::int64_t row) {
  RowSlice slice = slice_rows(call.test_case, call.tensors, call.outputs.value(), row, 1);
  return {std::move(slice.test_case), std::move(slice.tensors), std::move(slice.outputs)};
}

std::string what_is_outside(const Takes& takes, const Call& call) {
  const auto rank = static_cast<std::int64_t>(call.test_case.shape.size());
  if (rank < takes.least_rank) return "fewer than " + std::to_string(takes.least_rank) + " dimensions";
  if (std::string outside = what_is_outside(takes.limits, call.test_case); !outside.empty()) return outside;
  if (!takes.scale_ub && call.test_case.has_scale_ub()) return "an upper bound of scales (scale_ub)";
  return !takes.subnormals && has_subnormals(call) ? "subnormal numbers" : "";
}

Call random_call(const CaseDemand& demand, std::uint64_t seed, std::int64_t index) {
  Random random = Random(seed).split(static_cast<std::uint64_t>(index));
  // A discriminating case of a quantized output has a NaN.
  const bool discriminates = index % 4 == 0 && demand.max_rows >= kLeastDiscriminatingRows &&
                             demand.max_hidden >= kLeastDiscriminatingColumns &&
                             !(demand.finite && demand.has_codes());
  while (true) {
    Case test_case = discriminates ? discriminating_case_of(demand, random) : random_case_of(demand, random);
    test_case.name = "case-" + std::to_string(index);
    test_case.description =
        "Case " + std::to_string(index) + " of seed " + std::to_string(seed) + " of the Python package.";
    Call call = call_of(std::move(test_case));
    raise_rank(call.test_case.shape, demand.takes.least_rank);
    if (!demand.takes.subnormals) remove_subnormals(call);
    if (demand.epsilon_bits) call.test_case.bits_of(Parameter::epsilon) = *demand.epsilon_bits;
    if (!demand.finite || is_finite(call)) return call;
    random = random.split(0);
  }
}

Call minimized(const Call& failing, const std::function<bool(const Call&)>& still_fails, double seconds) {
  using Clock = std::chrono::steady_clock;
  struct OutOfTime {};
  const auto begin = Clock::now();
  Call smallest = failing;
  smallest.outputs.reset();
  const Case origin = whole_case(smallest);
  try {
    const auto still = [&](const Case& candidate) {
      if (std::chrono::duration<double>(Clock::now() - begin).count() > seconds) throw OutOfTime();
      Call call = call_of(candidate);
      const bool fails = still_fails(call);
      if (fails) smallest = std::move(call);
      return fails;
    };
    minimize(origin, still, INT64_MAX);  // the time alone ends it
  } catch (const OutOfTime&) {           // NOLINT(bugprone-empty-catch): the smallest so far will do
  }
  return smallest;
}

Outputs run_on_host(const Call& call) {
  const auto target = make_kernel_target("host", linked_kernels());
  RunResult result = target->run(call.test_case, call.tensors);
  if (result.status != RunResult::Status::completed) throw std::invalid_argument(result.message);
  return std::move(result.outputs);
}

}  // namespace normproof::python
