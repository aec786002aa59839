// The exact re-check of certificates, and their text.
#include "oracle/certificate.h"

#include <fmt/format.h>

#include <stdexcept>

#include "oracle/feasible.h"
#include "oracle/known_sum.h"

namespace normproof::oracle {
namespace {

[[noreturn]] void refuse(const Certificate& certificate, const std::string& what) {
  throw std::logic_error(fmt::format(
      "oracle: the certificate for row {} does not hold in exact arithmetic: {}", certificate.row, what));
}

void require_valid_element(const Certificate& certificate, const CertificateElement& element,
                           const Formula& formula, const Value& operand, const Value& weight) {
  const Format& format = format_of(formula.output_dtype());
  Arithmetic arithmetic;
  const auto output = [&](std::int64_t r) {
    return static_cast<std::uint32_t>(exact_output(arithmetic, formula, operand, weight,
                                                   decode(DType::fp32, static_cast<std::uint32_t>(r))));
  };
  const RootInterval all{0, kInfiniteRoot};
  const auto fail = [&](const char* what) {
    refuse(certificate,
           fmt::format("column {} {} (interval {})", element.column, what, to_text(element.needs)));
  };
  const ElementOrder order(format, element.got, output(all.low), output(all.high));
  if (order.impossible()) {
    if (!element.needs.empty()) fail("cannot have its bits at all");
    return;
  }
  // The outputs' order makes these end points speak for everything between and beyond.
  const RootInterval& needs = element.needs;
  const std::int64_t below = needs.low - 1;
  const std::int64_t above = needs.high + 1;
  if (below >= all.low && order.compare(output(below)) != -1) fail("has its bits below the interval");
  if (above <= all.high && order.compare(output(above)) != 1) fail("has its bits above the interval");
  if (needs.empty()) {
    if (below != needs.high) fail("has an empty interval that is not between two neighbours");
  } else if (order.compare(output(needs.low)) != 0 || order.compare(output(needs.high)) != 0) {
    fail("does not have its bits within the interval");
  }
}

// Which of the elements is wrong, if the kernel's r is right: what the correctly rounded r gives there.
std::string at_root_text(const CertificateElement& element, const Formula& formula, std::uint32_t root) {
  const std::string_view unknown = unknown_name(formula.policy);
  Arithmetic arithmetic;
  const Value weight =
      formula.formats.weight ? decode(*formula.formats.weight, element.weight) : Value::integer(1);
  const DType dtype = formula.output_dtype();
  const auto wanted = static_cast<std::uint32_t>(exact_output(
      arithmetic, formula, decode(DType::fp32, element.operand), weight, decode(DType::fp32, root)));
  if (same(dtype, wanted, element.got)) return fmt::format("right at the correctly rounded {}", unknown);
  std::string text = fmt::format("the correctly rounded {} gives {} ({})", unknown, value_text(dtype, wanted),
                                 hex_bits(format_of(dtype), wanted));
  const std::uint64_t apart = ulp_distance(dtype, wanted, element.got);
  return apart == UINT64_MAX ? text : fmt::format("{}, {} ulp apart", text, apart);
}

std::string element_text(const CertificateElement& element, const Formula& formula, std::uint32_t root) {
  const auto number = [](DType dtype, std::uint32_t bits) {
    return fmt::format("{} ({})", value_text(dtype, bits), hex_bits(format_of(dtype), bits));
  };
  std::string text = fmt::format("  column {}: x = {}", element.column, number(DType::fp32, element.operand));
  if (formula.formats.weight)
    text += fmt::format(", w = {}", number(*formula.formats.weight, element.weight));
  text += fmt::format(", got {}", number(formula.output_dtype(), element.got));
  const std::string_view unknown = unknown_name(formula.policy);
  text += element.needs.empty() ? fmt::format(", which no {} gives", unknown)
                                : fmt::format(", which takes {} in {}", unknown, to_text(element.needs));
  return text + ";\n    " + at_root_text(element, formula, root) + "\n";
}

}  // namespace

std::string_view name_of(ViolationKind kind) {
  return kind == ViolationKind::rounding ? "rounding violation" : "scale violation";
}

void require_valid(const Certificate& certificate, const Formula& formula, const CaseTensors& tensors) {
  const ExactRow row = decode_row(formula, tensors, certificate.row);
  for (const CertificateElement& element : certificate.elements) {
    const Value& operand = row.sums[static_cast<std::size_t>(element.column)].output_operand;
    if (!identical(operand, decode(DType::fp32, element.operand))) {
      refuse(certificate, fmt::format("column {} has another operand", element.column));
    }
    require_valid_element(certificate, element, formula, operand,
                          decode_weight(formula, tensors, element.column));
  }

  std::vector<Value> operands = row.variance_operands();
  if (row_of(formula.policy.variance).in_activation_dtype()) {
    for (Value& operand : operands) operand = round_to(formula.formats.activation, operand);
  }
  const SquareSum squares = exact_square_sum(operands);
  const Admissible admissible = AdmissibleModel(formula).admissible(squares, known_sum(formula, operands));
  if (!(admissible == certificate.admissible)) {
    refuse(certificate,
           fmt::format("admissible is {}, not {}", to_text(admissible), to_text(certificate.admissible)));
  }
  if (correctly_rounded_root(formula, squares) != certificate.correctly_rounded_root) {
    refuse(certificate, "the correctly rounded r is another");
  }

  if (certificate.kind == ViolationKind::rounding) {
    const bool one = certificate.elements.size() == 1 && certificate.elements[0].needs.empty();
    const bool two = certificate.elements.size() == 2 &&
                     certificate.elements[0].needs.high < certificate.elements[1].needs.low;
    if (!one && !two) refuse(certificate, "its elements do not exclude each other");
    return;
  }
  const std::size_t most = certificate.admissible.nan ? 2 : 1;
  if (certificate.elements.empty() || certificate.elements.size() > most) {
    refuse(certificate, "it does not have one element");
  }
  const RootInterval& needs = certificate.elements[0].needs;
  const RootInterval& allowed = certificate.admissible.interval;
  const bool disjoint = allowed.empty() || needs.high < allowed.low || allowed.high < needs.low;
  if (!disjoint) refuse(certificate, "its element meets the admissible interval");
  const auto refutes_nan = [&](const CertificateElement& element) {
    Arithmetic arithmetic;
    const std::uint64_t with_nan =
        exact_output(arithmetic, formula, row.sums[static_cast<std::size_t>(element.column)].output_operand,
                     decode_weight(formula, tensors, element.column), Value::nan());
    return !same(formula.output_dtype(), with_nan, element.got);
  };
  if (certificate.admissible.nan && !refutes_nan(certificate.elements.back()))
    refuse(certificate, "its element allows r = NaN");
}

std::string to_text(const Certificate& certificate, const Formula& formula) {
  const std::string_view unknown = unknown_name(formula.policy);
  std::string text = fmt::format("{} in row {} (policy {}): ", name_of(certificate.kind), certificate.row,
                                 to_string(formula.policy));
  if (certificate.kind == ViolationKind::scale) {
    text += fmt::format("the element takes an {} that no order of summation gives\n", unknown);
  } else if (certificate.elements.size() == 2) {
    text += fmt::format("no single {} explains both elements\n", unknown);
  } else {
    text += fmt::format("no {} explains the element\n", unknown);
  }
  for (const CertificateElement& element : certificate.elements)
    text += element_text(element, formula, certificate.correctly_rounded_root);
  text += fmt::format(
      "  admissible {}: {}; correctly rounded: {} (0x{:08x})\n", unknown, to_text(certificate.admissible),
      value_text(DType::fp32, certificate.correctly_rounded_root), certificate.correctly_rounded_root);
  return text;
}

}  // namespace normproof::oracle
