// CONTRACT.md against the code: its tables row by row, its examples bit by bit.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "oracle/canonical_judge.h"
#include "oracle/exact.h"
#include "oracle/judged/operation.h"
#include "oracle/policy.h"
#include "oracle/row_kernels.h"
#include "oracle/witness_judge.h"

namespace normproof::oracle {
namespace {

std::vector<std::string> contract_lines() {
  std::ifstream file(NORMPROOF_SOURCE_DIR "/oracle/CONTRACT.md");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> words(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> result;
  for (std::string word; stream >> word;) result.push_back(word);
  return result;
}

// The rows of the first table below a heading, without its two header lines.
std::vector<std::string> table_below(const std::string& heading) {
  std::vector<std::string> rows;
  bool below = false;
  for (const std::string& line : contract_lines()) {
    if (line == heading) below = true;
    if (!below) continue;
    if (line.starts_with("|")) {
      rows.push_back(line);
    } else if (!rows.empty()) {
      break;
    }
  }
  if (rows.size() > 2) rows.erase(rows.begin(), rows.begin() + 2);
  return rows;
}

// The fenced blocks with this info string, as lines.
std::vector<std::vector<std::string>> blocks(const std::string& info) {
  std::vector<std::vector<std::string>> result;
  bool inside = false;
  for (const std::string& line : contract_lines()) {
    if (line == "```" + info) {
      inside = true;
      result.emplace_back();
    } else if (line.starts_with("```")) {
      inside = false;
    } else if (inside) {
      result.back().push_back(line);
    }
  }
  return result;
}

TEST(Contract, FormatTable) {
  const std::vector<std::string> rows = table_below("## Formats");
  ASSERT_EQ(rows.size(), kFormats.size());
  const auto yes_or_no = [](bool yes) { return yes ? "yes" : "no"; };
  constexpr std::array<const char*, 3> kNanPatterns = {"exponent all ones, mantissa not 0",
                                                       "all ones but the sign", "the pattern of -0"};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Format& f = kFormats[i];
    const auto largest = static_cast<std::uint32_t>(f.max_finite_bits());
    EXPECT_EQ(rows[i], fmt::format("| {} | {} | {} | {} | {} to {} | {} | {} | {} | {} |", f.name, f.bits,
                                   f.precision, f.bias, f.min_exponent(), f.max_exponent(),
                                   value_text(static_cast<DType>(i), largest), yes_or_no(f.has_infinity()),
                                   kNanPatterns[static_cast<std::size_t>(f.nan_encoding)],
                                   yes_or_no(f.has_negative_zero())));
    EXPECT_EQ(f.name, name_of(static_cast<DType>(i)));
  }
}

TEST(Contract, PolicyTable) {
  std::vector<std::string> wanted;
  for (const PolicyAxis& axis : policy_axes()) {
    for (const PolicyValue& value : axis.values) {
      wanted.push_back(
          fmt::format("| {} | `{}` | {} | {} |", axis.name, value.name, value.formula, value.source));
    }
  }
  EXPECT_EQ(table_below("## Policies"), wanted);
}

TEST(Contract, NamedPolicies) {
  std::vector<std::string> wanted;
  for (const NamedPolicy& named : named_policies())
    wanted.push_back(fmt::format("| `{}` | {} | {} |", named.name, named.text, named.source));
  EXPECT_EQ(table_below("### Named policies"), wanted);
}

TEST(Contract, Roundings) {
  const auto found = blocks("roundings");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_GE(found[0].size(), 21u);
  for (const std::string& line : found[0]) {
    const std::vector<std::string> word = words(line);
    ASSERT_GE(word.size(), 3u) << line;
    const std::optional<DType> dtype = dtype_from_name(word[0]);
    ASSERT_TRUE(dtype) << line;
    const Value value = from_double(std::stod(word[1]));
    EXPECT_EQ(hex_bits(format_of(*dtype), round_bits(format_of(*dtype), value)), word[2]) << line;
  }
}

std::vector<std::byte> packed(DType dtype, const std::vector<std::string>& hex) {
  std::vector<std::byte> data(hex.size() * size_of(dtype));
  for (std::size_t i = 0; i < hex.size(); ++i) {
    store_bits(data, dtype, static_cast<std::int64_t>(i),
               static_cast<std::uint32_t>(std::stoul(hex[i], nullptr, 16)));
  }
  return data;
}

void expect_example(const std::vector<std::string>& lines) {
  Case c;
  c.bits_of(Parameter::epsilon) = 0;
  std::map<std::string, std::vector<std::string>> tensors;
  struct Demand {
    std::string tensor, policy;
    std::vector<std::string> bits;
  };
  std::vector<Demand> demands;
  for (const std::string& line : lines) {
    std::vector<std::string> word = words(line);
    ASSERT_GE(word.size(), 2u) << line;
    const std::string key = word[0];
    word.erase(word.begin());
    if (key == "operation") {
      c.operation = operation_from_name(word[0]).value();
    } else if (key == "dtype") {
      c.dtype = dtype_from_name(word[0]).value();
    } else if (key == "weight_dtype") {
      c.weight_dtype.emplace(dtype_from_name(word[0]).value());
    } else if (key == "quantized_dtype") {
      c.quantized_dtype.emplace(dtype_from_name(word[0]).value());
    } else if (key == "output_dtype" || key == "residual_dtype") {
      ASSERT_EQ(word[0], "fp32") << line;
      (key == "output_dtype" ? c.fp32_output : c.fp32_residual) = true;
    } else if (key == "epsilon") {
      c.bits_of(Parameter::epsilon) = static_cast<std::uint32_t>(std::stoul(word[0], nullptr, 16));
    } else if (key == "scale") {
      c.bits_of(Parameter::scale) = static_cast<std::uint32_t>(std::stoul(word[0], nullptr, 16));
    } else if (key == "scale_ub") {
      c.bits_of(Parameter::scale_ub) = static_cast<std::uint32_t>(std::stoul(word[0], nullptr, 16));
    } else if (key == "out" || key == "residual_out" || key == "scales" || key == "also") {
      demands.push_back({key, word[0], {word.begin() + 1, word.end()}});
    } else {
      ASSERT_TRUE(key == "x" || key == "residual" || key == "weight") << line;
      tensors[key] = word;
    }
  }
  c.shape = {1, static_cast<std::int64_t>(tensors["x"].size())};
  CaseTensors data;
  for (const Role role : {Role::input, Role::residual, Role::weight})
    data[role] = packed(c.dtype_of(role), tensors[role == Role::input ? "x" : std::string(name_of(role))]);
  ASSERT_FALSE(demands.empty());
  for (const Demand& demand : demands) {
    Outputs outputs = expected_outputs(c, data, parse_policy(demand.policy));
    if (demand.tensor == "also") {
      outputs[Role::out] = packed(c.dtype_of(Role::out), demand.bits);
      EXPECT_TRUE(judge_canonical(c, data, outputs, parse_policy(demand.policy)).conforms()) << demand.policy;
      EXPECT_TRUE(judge_witness(c, data, outputs, parse_policy(demand.policy)).conforms()) << demand.policy;
      EXPECT_FALSE(judge_canonical(c, data, outputs).conforms()) << "native has these bits too";
      continue;
    }
    const Role role = *std::ranges::find(kRoles, demand.tensor, [](Role each) { return name_of(each); });
    const DType dtype = c.dtype_of(role);
    std::vector<std::string> got;
    for (std::int64_t j = 0; j < c.elements_of(role); ++j)
      got.push_back(hex_bits(format_of(dtype), load_bits(outputs[role], dtype, j)));
    EXPECT_EQ(got, demand.bits) << demand.tensor << " " << demand.policy << " of " << name_of(c.operation);
  }
}

TEST(Contract, Examples) {
  const auto examples = blocks("example");
  EXPECT_GE(examples.size(), 29u);
  for (const auto& example : examples) expect_example(example);
}

TEST(Contract, FormsOfLayerNorm) {
  const judged::JudgedOperation& operation = *judged::find_judged_operation("layer_norm");
  const auto axis = std::ranges::find(operation.axes, "form", &judged::Axis::name);
  ASSERT_NE(axis, operation.axes.end());
  std::vector<std::string> wanted;
  for (const judged::AxisValue& value : axis->values)
    wanted.push_back(fmt::format("| form | `{}` | {} |", value.name, value.formula));
  EXPECT_EQ(table_below("### The forms of LayerNorm"), wanted);
}

// One row of an operation that is judged by name: what its canonical order gives, which its judge accepts.
void expect_judged_example(const std::vector<std::string>& lines) {
  judged::Call call;
  DType dtype = DType::fp32;
  int demands = 0;
  for (const std::string& line : lines) {
    std::vector<std::string> word = words(line);
    ASSERT_GE(word.size(), 2u) << line;
    const std::vector<std::string> rest(word.begin() + 1, word.end());
    if (word[0] == "operation") {
      call.operation = judged::find_judged_operation(word[1]);
      ASSERT_NE(call.operation, nullptr) << line;
    } else if (word[0] == "dtype") {
      dtype = dtype_from_name(word[1]).value();
    } else if (word[0] == "epsilon") {
      call.epsilon = static_cast<std::uint32_t>(std::stoul(word[1], nullptr, 16));
    } else if (word[0] == "x") {
      call.tensors["x"] = {dtype, {1, static_cast<std::int64_t>(rest.size())}, packed(dtype, rest)};
    } else {
      ASSERT_EQ(word[0], "out") << line;
      const std::vector<std::string> bits(rest.begin() + 1, rest.end());
      call.tensors["out"] = {dtype, call.at("x").shape, packed(dtype, bits)};
      const judged::Policy policy = judged::parse_policy(*call.operation, word[1]);
      const auto judge = call.operation->parts(call, policy).front().judge();
      EXPECT_EQ(judge->canonical(0), call.at("out").bytes) << line;
      EXPECT_TRUE(judge->conforms(0) && judge->decided()) << line;
      ++demands;
    }
  }
  EXPECT_GT(demands, 0);
}

TEST(Contract, JudgedExamples) {
  const StandardFloatEnvironment environment;
  const auto examples = blocks("judged_example");
  EXPECT_GE(examples.size(), 2u);
  for (const auto& example : examples) expect_judged_example(example);
}

}  // namespace
}  // namespace normproof::oracle
