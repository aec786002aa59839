// The scales of blocks, and the special values of the page. What judges say of many rows is studied in
// properties/assess/family/.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <fstream>
#include <map>
#include <sstream>

#include "oracle/blocks/block_codes.h"
#include "oracle/blocks/block_row.h"
#include "oracle/blocks/block_scale.h"
#include "oracle/box_search/random_rows.h"
#include "oracle/judged/block_quant.h"

namespace normproof::oracle {
namespace {

using judged::Call;

BlockScaleSettings nvfp4_settings(GlobalScaleForm form, float global) {
  static const ScaleFloorRow kNone = row_of(ScaleFloor::none);
  BlockScaleSettings settings;
  settings.kind = BlockScaleKind::e4m3;
  settings.storage = BlockScaleStorage::e4m3;
  settings.element = &kE2m1;
  settings.recipe.range = Value::integer(6);
  settings.recipe.floor = &kNone;
  settings.global = std::bit_cast<std::uint32_t>(global);
  settings.global_form = form;
  return settings;
}

// Near the ties of e4m3 the four forms of a scale give four different answers, each confirmed exactly; with
// approximate reciprocals a scale has more maxima and more factors.
TEST(BlockQuant, FormsOfGlobalScalesDiffer) {
  const StandardFloatEnvironment environment;
  std::map<std::pair<int, int>, int> differing;
  int wider = 0, more = 0;
  for (int trial = 0; trial < 60; ++trial) {
    Random random = Random(5).split(static_cast<std::uint64_t>(trial));
    const float global = std::ldexp(1 + static_cast<float>(random.below(1 << 20)) * 0x1p-20f, 8);
    const auto stored = static_cast<std::uint32_t>(8 + random.below(110));
    std::vector<BlockScaleRule> rules;
    for (int form = 0; form < 4; ++form)
      rules.emplace_back(nvfp4_settings(static_cast<GlobalScaleForm>(form), global));
    const auto value = [](std::uint32_t bits) {
      return static_cast<float>(to_double(decode(DType::fp8_e4m3fn, bits)));
    };
    const float tie = (value(stored) + value(stored + 1)) / 2;
    const auto center = std::bit_cast<std::uint32_t>(tie * 6 / global);
    for (std::uint32_t a = center - 6; a <= center + 6; ++a) {
      for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < i; ++j)
          differing[{j, i}] += rules[static_cast<std::size_t>(i)].of(std::bit_cast<float>(a)) !=
                               rules[static_cast<std::size_t>(j)].of(std::bit_cast<float>(a));
      }
    }
    for (const BlockScaleRule& rule : rules) rule.require_exact(stored, rule.factors(stored));
    BlockScaleSettings approximate = nvfp4_settings(GlobalScaleForm::global_first, global);
    approximate.approximate = true;
    approximate.factor_form = static_cast<GlobalFactorForm>(trial % 2);
    const BlockScaleRule loose(approximate);
    const auto factors = loose.factors(stored), exact = rules[0].factors(stored);
    loose.require_exact(stored, factors);
    wider += factors[0].maxima[0].high - factors[0].maxima[0].low >
             exact[0].maxima[0].high - exact[0].maxima[0].low;
    more += factors.size() > exact.size();
  }
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < i; ++j) EXPECT_GT((differing[{j, i}]), 0) << j << " " << i;
  }
  EXPECT_GT(wider, 10);
  EXPECT_GT(more, 10);
}

// Every byte of e8m0, and every fp32 power of two, by every rule: the maxima that it goes with end where
// exact arithmetic says, and the intervals of all scales cover every maximum once.
TEST(BlockQuant, PowersOfTwoCoverEveryMaximumOnce) {
  const StandardFloatEnvironment environment;
  static const ScaleFloorRow kNone = row_of(ScaleFloor::none);
  for (const BlockScaleKind kind :
       {BlockScaleKind::ceil, BlockScaleKind::floor, BlockScaleKind::ceil_exponent, BlockScaleKind::even,
        BlockScaleKind::ceil_log2}) {
    for (const Format* element : {&kE2m1, &format_of(DType::fp8_e4m3fn), &format_of(DType::fp8_e5m2)}) {
      BlockScaleSettings settings;
      settings.kind = kind;
      settings.storage = BlockScaleStorage::e8m0;
      settings.element = element;
      settings.recipe.floor = &kNone;
      settings.recipe.range = decode(*element, element->max_finite_bits());
      const BlockScaleRule rule(settings);
      std::uint32_t next = 0;
      int twice = 0;
      for (std::uint32_t stored = 0; stored < 256; ++stored) {
        const auto factors = rule.factors(stored);
        rule.require_exact(stored, factors);
        for (const MaximumInterval& maxima : factors.at(0).maxima) {
          if (kind == BlockScaleKind::ceil_log2) {  // neighbours share what lies next to a power of two
            EXPECT_LE(maxima.low, next);
            twice += maxima.low < next;
          } else {
            EXPECT_EQ(maxima.low, next) << static_cast<int>(kind) << " " << rule.text_of(stored);
          }
          next = maxima.high + 1;
        }
      }
      EXPECT_EQ(next, 0x7f800001u) << static_cast<int>(kind);
      EXPECT_EQ(twice > 100, kind == BlockScaleKind::ceil_log2);
    }
  }
}

// --- The table of README.md. ---

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

// The block's scale and codes, as README.md writes them.
std::string stored_block(const std::string& operation, const std::string& policy_text, DType codes,
                         DType scales, const std::vector<float>& y) {
  Call call;
  call.operation = judged::find_judged_operation("rms_norm_" + operation + "_quant");
  const auto count = static_cast<std::int64_t>(y.size());
  call.tensors["x"] = {DType::fp32, {1, count}, box_search::packed(y, DType::fp32)};
  call.tensors["out"] = {codes, {1, count}, {}};
  call.tensors["scales"] = {scales, {1, 1}, {}};
  call.tensors["global_scale"] = {DType::fp32, {1}, box_search::packed({1}, DType::fp32)};
  const judged::Policy policy = parse_policy(*call.operation, policy_text);
  const BlockSetup setup = block_setup_of(call, policy);
  float maximum = 0;
  for (const float value : y) {
    if (!std::isnan(value)) maximum = std::isnan(maximum) ? maximum : std::max(maximum, std::fabs(value));
    if (std::isnan(value) && policy.is("maximum_nan", "propagate")) maximum = NAN;
  }
  const BlockScaleRule rule(setup.scale);
  const std::uint32_t stored = rule.of(maximum);
  const auto factors = rule.factors(stored);
  rule.require_exact(stored, factors);
  const BlockCodes of_codes(setup.quantized, setup.formula.policy);
  std::vector<std::uint8_t> got(y.size());
  of_codes.quantize(y.data(), count, factors.at(0).factor, factors[0].divides, got.data());
  std::string text = fmt::format("{:0{}x} |", stored, 2 * size_of(scales));
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i], of_codes.exact(decode(DType::fp32, std::bit_cast<std::uint32_t>(y[i])),
                                     decode(DType::fp32, std::bit_cast<std::uint32_t>(factors[0].factor)),
                                     factors[0].divides));
    text += fmt::format(" {:0{}x}", got[i], codes == DType::uint8 ? 1 : 2);
  }
  return text;
}

TEST(BlockQuant, SpecialValuesAreThoseOfThePage) {
  const StandardFloatEnvironment environment;
  std::ifstream page(std::string(NORMPROOF_SOURCE_DIR) + "/oracle/blocks/README.md");
  int rows = 0;
  for (std::string line; std::getline(page, line);) {
    std::vector<std::string> cells;
    std::istringstream stream(line);
    for (std::string cell; std::getline(stream, cell, '|');) cells.push_back(cell);
    if (cells.size() != 8) continue;
    const auto codes = dtype_from_name(words_of(cells[3]).at(0)),
               scales = dtype_from_name(words_of(cells[4]).at(0));
    if (!codes || !scales) continue;
    std::vector<float> y;
    for (const std::string& word : words_of(cells[5])) y.push_back(std::strtof(word.c_str(), nullptr));
    std::string policy = words_of(cells[2]).at(0);
    policy = policy.substr(1, policy.size() - 2);
    std::string wanted = words_of(cells[6]).at(0) + " |";
    for (const std::string& word : words_of(cells[7])) wanted += " " + word;
    EXPECT_EQ(stored_block(words_of(cells[1]).at(0), policy, *codes, *scales, y), wanted) << line;
    ++rows;
  }
  EXPECT_EQ(rows, 29);
}

}  // namespace
}  // namespace normproof::oracle
