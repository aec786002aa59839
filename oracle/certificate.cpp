// The exact re-check of certificates, and their text.
#include "oracle/certificate.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "oracle/code_factor.h"
#include "oracle/feasible.h"
#include "oracle/known_sum.h"
#include "oracle/quantization_scale.h"

namespace normproof::oracle {
namespace {

[[noreturn]] void refuse(const Certificate& certificate, const std::string& what) {
  throw std::logic_error(fmt::format(
      "oracle: the certificate for row {} does not hold in exact arithmetic: {}", certificate.row, what));
}

void require_valid_element(const Certificate& certificate, const CertificateElement& element,
                           const Formula& formula, const Operands& operands) {
  const Format& format = format_of(formula.output_dtype());
  Arithmetic arithmetic;
  const auto output = [&](std::int64_t r) {
    return static_cast<std::uint32_t>(
        exact_output(arithmetic, formula, operands, decode(DType::fp32, static_cast<std::uint32_t>(r))));
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

// The formula of the row, its own scale included.
Formula of_row(const Formula& formula, const Certificate& certificate) {
  return formula.has(NormStep::quantize_by_row) ? formula.with_scale(certificate.row_scale) : formula;
}
// And with the factor that an element is about.
Formula of_element(const Formula& of_row, const Certificate& certificate, const CertificateElement& element) {
  return certificate.factors.empty() ? of_row : of_row.with_factor(element.factor);
}

// Whether the row has its scale, and the element's factor with it, at this r.
bool has_scale_at(const Certificate& certificate, const CertificateElement& element, const Formula& formula,
                  const ExactRow& row, const CaseTensors& tensors, const Value& root) {
  Arithmetic arithmetic;
  const RowQuantization at = exact_row_quantization(arithmetic, formula, row, tensors, root);
  if (!same(DType::fp32, at.scale, certificate.row_scale)) return false;
  return !at.factor || certificate.factors.empty() || same(DType::fp32, *at.factor, element.factor);
}

void require_valid_scale(const Certificate& certificate, const CertificateElement& element,
                         const Formula& formula, const ExactRow& row, const CaseTensors& tensors) {
  const auto has_it = [&](std::int64_t r) {
    return has_scale_at(certificate, element, formula, row, tensors,
                        decode(DType::fp32, static_cast<std::uint32_t>(r)));
  };
  if (element.got != certificate.row_scale) refuse(certificate, "its scale is another");
  const RootInterval& needs = element.needs;
  const bool bounded = (needs.low == 0 || needs.low > kInfiniteRoot || !has_it(needs.low - 1)) &&
                       (needs.high >= kInfiniteRoot || needs.high < 0 || !has_it(needs.high + 1));
  if (!bounded) refuse(certificate, "its scale has more r than " + to_text(needs));
  if (needs.empty() ? has_it(0) || has_it(kInfiniteRoot) : !has_it(needs.low) || !has_it(needs.high))
    refuse(certificate, fmt::format("its scale {} has other r than {}", hex_bits(DType::fp32, element.got),
                                    to_text(needs)));
}

// No r is left that the scale, the elements and, for a scale violation, the admissible interval allow; of
// several factors the elements of this one.
bool excludes_every_root(const Certificate& certificate, std::uint32_t factor) {
  const RootInterval all{0, kInfiniteRoot};
  RootInterval common = certificate.kind == ViolationKind::scale ? certificate.admissible.interval : all;
  std::vector<RootInterval> pieces;
  for (const CertificateElement& element : certificate.elements) {
    if (!certificate.factors.empty() && element.factor != factor) continue;
    if (element.tensor == Role::scales) {
      pieces.push_back(element.needs);
    } else {
      common = intersection(common, element.needs);
    }
  }
  if (pieces.empty()) pieces.push_back(all);
  return std::ranges::all_of(pieces,
                             [&](const RootInterval& piece) { return intersection(piece, common).empty(); });
}

// The factors are all that the scale leaves, and each is excluded.
void require_exclusion_of_factors(const Certificate& certificate, const Formula& formula) {
  const std::uint32_t scale = formula.bits_of(Parameter::scale);
  const std::vector<std::uint32_t> all =
      leaves_factor_open(formula) ? exact_code_factors(formula, scale) : std::vector<std::uint32_t>();
  if (!std::ranges::is_permutation(all, certificate.factors))
    refuse(certificate, "the scale leaves other factors");
  for (const CertificateElement& element : certificate.elements) {
    if (!all.empty() && std::ranges::find(all, element.factor) == all.end())
      refuse(certificate, fmt::format("column {} is of no factor", element.column));
  }
  for (const std::uint32_t factor : all.empty() ? std::vector<std::uint32_t>{0} : all) {
    if (!excludes_every_root(certificate, factor)) refuse(certificate, "its elements leave an r");
  }
}

// Two elements that exclude each other, one that no r explains, or one that misses what is admissible.
void require_exclusion_by_elements(const Certificate& certificate) {
  const std::vector<CertificateElement>& elements = certificate.elements;
  if (certificate.kind == ViolationKind::rounding) {
    const bool one = elements.size() == 1 && elements[0].needs.empty();
    const bool two = elements.size() == 2 && elements[0].needs.high < elements[1].needs.low;
    if (!one && !two) refuse(certificate, "its elements do not exclude each other");
    return;
  }
  const std::size_t most = certificate.admissible.nan ? 2 : 1;
  if (elements.empty() || elements.size() > most) refuse(certificate, "it does not have one element");
  const RootInterval& needs = elements[0].needs;
  const RootInterval& allowed = certificate.admissible.interval;
  const bool disjoint = allowed.empty() || needs.high < allowed.low || allowed.high < needs.low;
  if (!disjoint) refuse(certificate, "its element meets the admissible interval");
}

std::uint32_t output_at(const CertificateElement& element, const Formula& formula, std::uint32_t root) {
  Arithmetic arithmetic;
  Operands operands{decode(DType::fp32, element.operand)};
  if (formula.formats.weight) operands.weight = decode(*formula.formats.weight, element.weight);
  operands.residual = decode(formula.formats.residual(), element.residual);
  return static_cast<std::uint32_t>(exact_output(arithmetic, formula, operands, decode(DType::fp32, root)));
}

// Which of the elements is wrong, if the kernel's r is right: what the correctly rounded r gives there.
std::string at_root_text(const CertificateElement& element, const Formula& formula, std::uint32_t root) {
  const std::string_view unknown = unknown_name(formula.policy);
  const DType dtype = formula.output_dtype();
  const std::uint32_t wanted = output_at(element, formula, root);
  if (same(dtype, wanted, element.got)) return fmt::format("right at the correctly rounded {}", unknown);
  std::string text = fmt::format("the correctly rounded {} gives {} ({})", unknown, value_text(dtype, wanted),
                                 hex_bits(format_of(dtype), wanted));
  const std::uint64_t apart = ulp_distance(dtype, wanted, element.got);
  return apart == UINT64_MAX ? text : fmt::format("{}, {} ulp apart", text, apart);
}

std::string element_text(const CertificateElement& element, const Formula& formula, std::uint32_t root) {
  if (element.tensor == Role::scales) {
    return fmt::format(
        "  scale of the row, from the largest |y| in column {}: got {} ({}), which {}\n", element.column,
        value_text(DType::fp32, element.got), hex_bits(DType::fp32, element.got),
        element.needs.empty()
            ? fmt::format("no {} gives", unknown_name(formula.policy))
            : fmt::format("takes {} in {}", unknown_name(formula.policy), to_text(element.needs)));
  }
  const auto number = [](DType dtype, std::uint32_t bits) {
    return fmt::format("{} ({})", value_text(dtype, bits), hex_bits(format_of(dtype), bits));
  };
  std::string text = fmt::format("  column {}: x = {}", element.column, number(DType::fp32, element.operand));
  if (formula.formats.weight)
    text += fmt::format(", w = {}", number(*formula.formats.weight, element.weight));
  if (formula.has(StepPlace::product, Role::residual))
    text += fmt::format(", residual = {}", number(formula.formats.residual(), element.residual));
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

void require_valid(const Certificate& certificate, const Formula& general, const CaseTensors& tensors) {
  const Formula formula = of_row(general, certificate);
  const ExactRow row = decode_row(formula, tensors, certificate.row);
  for (const CertificateElement& element : certificate.elements) {
    const Value& operand = row.sums[static_cast<std::size_t>(element.column)].output_operand;
    if (!identical(operand, decode(DType::fp32, element.operand))) {
      refuse(certificate, fmt::format("column {} has another operand", element.column));
    }
    if (element.tensor == Role::scales) {
      require_valid_scale(certificate, element, formula, row, tensors);
      continue;
    }
    require_valid_element(certificate, element, of_element(formula, certificate, element),
                          operands_at(formula, tensors, certificate.row, element.column, operand));
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

  if (formula.has(NormStep::quantize_by_row) || leaves_factor_open(formula)) {
    require_exclusion_of_factors(certificate, formula);
  } else {
    require_exclusion_by_elements(certificate);
  }
  if (certificate.kind != ViolationKind::scale || !certificate.admissible.nan) return;
  const auto refutes_nan = [&](const CertificateElement& element) {
    Arithmetic arithmetic;
    if (element.tensor == Role::scales)
      return !has_scale_at(certificate, element, formula, row, tensors, Value::nan());
    const std::uint64_t with_nan =
        exact_output(arithmetic, of_element(formula, certificate, element),
                     operands_at(formula, tensors, row, element.column), Value::nan());
    return !same(formula.output_dtype(), with_nan, element.got);
  };
  for (const std::uint32_t factor :
       certificate.factors.empty() ? std::vector<std::uint32_t>{0} : certificate.factors) {
    if (std::ranges::none_of(certificate.elements, [&](const CertificateElement& element) {
          return (certificate.factors.empty() || element.factor == factor) && refutes_nan(element);
        }))
      refuse(certificate, "its element allows r = NaN");
  }
}

std::string to_text(const Certificate& certificate, const Formula& general) {
  const Formula formula = of_row(general, certificate);
  const std::string_view unknown = unknown_name(formula.policy);
  std::string text = fmt::format("{} in row {} (policy {}): ", name_of(certificate.kind), certificate.row,
                                 to_string(formula.policy));
  if (!certificate.factors.empty()) {
    text += fmt::format("no {} explains the row, whichever factor its codes are made with\n",
                        certificate.kind == ViolationKind::scale ? fmt::format("admissible {}", unknown)
                                                                 : std::string(unknown));
  } else if (certificate.kind == ViolationKind::scale) {
    text += fmt::format("the element takes an {} that no order of summation gives\n", unknown);
  } else if (certificate.elements.size() == 2) {
    text += fmt::format("no single {} explains both elements\n", unknown);
  } else {
    text += fmt::format("no {} explains the element\n", unknown);
  }
  const CertificateElement* before = nullptr;
  for (const CertificateElement& element : certificate.elements) {
    if (!certificate.factors.empty() && (before == nullptr || before->factor != element.factor))
      text += fmt::format("  with the factor {} ({}):\n", value_text(DType::fp32, element.factor),
                          hex_bits(DType::fp32, element.factor));
    before = &element;
    text +=
        element_text(element, of_element(formula, certificate, element), certificate.correctly_rounded_root);
  }
  text += fmt::format(
      "  admissible {}: {}; correctly rounded: {} (0x{:08x})\n", unknown, to_text(certificate.admissible),
      value_text(DType::fp32, certificate.correctly_rounded_root), certificate.correctly_rounded_root);
  return text;
}

std::uint32_t bits_at_root(const Certificate& certificate, const CertificateElement& element,
                           const Formula& formula) {
  return output_at(element, of_element(of_row(formula, certificate), certificate, element),
                   certificate.correctly_rounded_root);
}

}  // namespace normproof::oracle
