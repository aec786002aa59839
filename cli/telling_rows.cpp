#include "cli/telling_rows.h"

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "corpus/random.h"
#include "corpus/recipe.h"
#include "oracle/canonical_judge.h"
#include "oracle/formats.h"
#include "properties/bound/attain.h"
#include "properties/order/certify.h"
#include "properties/order/chains.h"

namespace normproof {
namespace {

Case case_of(const CallKind& kind, const char* name, std::int64_t hidden) {
  Case test_case;
  test_case.name = name;
  test_case.kind() = kind;
  test_case.shape = {1, hidden};
  return test_case;
}

void store(const Case& test_case, CaseTensors& tensors, Role role, std::int64_t column, float value) {
  const DType dtype = test_case.dtype_of(role);
  const oracle::Value number = oracle::decode(DType::fp32, std::bit_cast<std::uint32_t>(value));
  store_bits(tensors[role], dtype, column,
             static_cast<std::uint32_t>(round_bits(oracle::format_of(dtype), number)));
}

// Zeros, and weights of 1.
CaseTensors plain_tensors(const Case& test_case) {
  CaseTensors tensors;
  for (const Role role : {Role::input, Role::residual, Role::weight})
    if (test_case.has_data(role)) tensors[role].resize(test_case.bytes_of(role));
  for (std::int64_t j = 0; j < test_case.hidden_size() && test_case.weight_dtype; ++j)
    store(test_case, tensors, Role::weight, j, 1);
  return tensors;
}

struct Element {
  std::int32_t column;
  float value;
};

// What a certificate of the tree asks: which two of three elements meet first, and of compensated sums in
// which order three are taken.
std::vector<std::array<Element, 3>> questions_about(const oracle::SumTree& tree) {
  constexpr float kBig = 4096, kUnit = 255.0f / 256, kLost = 0.625f;
  std::vector<std::array<Element, 3>> rows;
  for (const order::Triple& triple : order::certificate(tree))
    rows.push_back({{{triple.big, kBig}, {triple.first, kUnit}, {triple.second, kUnit}}});
  for (const order::Triple& triple :
       order::certificate(tree))  // the opposites, which survive where sums are wide
    rows.push_back({{{triple.second, kBig}, {triple.first, kUnit}, {triple.big, kUnit}}});
  const std::vector<std::int32_t> smallest = oracle::smallest_leaves(tree);
  for (const order::Chain& chain : order::chains_of(tree)) {
    const auto leaf = [&](std::size_t i) { return smallest[static_cast<std::size_t>(chain[i])]; };
    for (std::size_t i = 0; i + 2 < chain.size(); ++i)
      rows.push_back({{{leaf(i + 1), kBig}, {leaf(i), kLost}, {leaf(i + 2), kUnit}}});
  }
  return rows;
}

// fl(x * r) or fl(x / rms), of the root with that name.
float scaled(std::string_view root, float x, float m) {
  if (root == "divides") return x / std::sqrt(m);
  return x * (root == "quotient" ? 1.0f / std::sqrt(m)
                                 : static_cast<float>(1 / std::sqrt(static_cast<double>(m))));
}

bool is_known(std::string_view root) {
  return root == "rounded_once" || root == "quotient" || root == "divides";
}

}  // namespace

std::optional<Case> row_that_tells_policies(const CallKind& kind, const oracle::Policy& first,
                                            const oracle::Policy& second) {
  Random random(1);
  for (const std::int64_t hidden : {1, 2, 3, 4, 8, 16, 64}) {
    for (int trial = 0; trial < 200; ++trial) {
      Case test_case = case_of(kind, "policies-differ", hidden);
      for (const Role role : {Role::input, Role::residual, Role::weight})
        if (test_case.has_data(role)) test_case[role].data.recipe = Recipe{"near_ties", random.next()};
      const CaseTensors tensors = materialize(test_case);
      const Outputs one = expected_outputs(test_case, tensors, first),
                    other = expected_outputs(test_case, tensors, second);
      if (one == other) continue;
      set_data(test_case, tensors);
      return test_case;
    }
  }
  return std::nullopt;
}

std::optional<Case> row_that_tells_orders(const CallKind& kind, const oracle::SumTree& first,
                                          const oracle::SumTree& second, const oracle::Policy& policy) {
  const auto one = std::make_shared<const oracle::SumTree>(first),
             other = std::make_shared<const oracle::SumTree>(second);
  Case test_case = case_of(kind, "orders-differ", first.leaves);
  const float mean = 0x1p24f / static_cast<float>(first.leaves);
  test_case.bits_of(Parameter::epsilon) = std::bit_cast<std::uint32_t>(-std::nextafter(mean, 0.0f));
  CaseTensors tensors = plain_tensors(test_case);
  for (const oracle::SumTree* tree : {&first, &second}) {
    for (const auto& elements : questions_about(*tree)) {
      for (const Element& element : elements)
        store(test_case, tensors, Role::input, element.column, element.value);
      const bound::HonestKernel a{policy, "the first's", one, 0}, b{policy, "the second's", other, 0};
      if (outputs_of(a, test_case, tensors) != outputs_of(b, test_case, tensors)) {
        set_data(test_case, tensors);
        return test_case;
      }
      for (const Element& element : elements) store(test_case, tensors, Role::input, element.column, 0);
    }
  }
  return std::nullopt;
}

std::optional<Case> row_that_tells_roots(const CallKind& kind, std::string_view first,
                                         std::string_view second) {
  constexpr int kDraws = 1 << 22;
  if (!is_known(first) || !is_known(second) || kind.has_codes()) return std::nullopt;
  const oracle::Format& format = oracle::format_of(kind.dtype);
  const int shift = 24 - format.precision;
  // Nearest, ties to even: both products are of one binade, and an integer of 24 bits holds each.
  const auto rounded = [&](float value) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    if (shift == 0) return bits;
    return (bits + (std::uint32_t{1} << (shift - 1)) - 1 + (bits >> shift & 1)) >> shift;
  };
  Random random(1);
  for (int draw = 0; draw < kDraws; ++draw) {
    const auto drawn = [&] {
      const std::uint64_t significand = (std::uint64_t{1} << (format.precision - 1)) |
                                        random.below(std::uint64_t{1} << (format.precision - 1));
      return std::ldexp(static_cast<float>(significand), 1 - format.precision);
    };
    const float x = drawn(), other = drawn();
    const float epsilon = static_cast<float>(random.below(1u << 20)) * 0x1p-20f;
    const float m = (x * x + other * other) / 2 + epsilon;
    if (rounded(scaled(first, x, m)) == rounded(scaled(second, x, m))) continue;
    if (std::fma(x, x, other * other) != x * x + other * other) continue;  // with or without fma
    Case test_case = case_of(kind, "roots-differ", 2);
    test_case.bits_of(Parameter::epsilon) = std::bit_cast<std::uint32_t>(epsilon);
    CaseTensors tensors = plain_tensors(test_case);
    store(test_case, tensors, Role::input, 0, x);
    store(test_case, tensors, Role::input, 1, other);
    set_data(test_case, tensors);
    return test_case;
  }
  return std::nullopt;
}

}  // namespace normproof
