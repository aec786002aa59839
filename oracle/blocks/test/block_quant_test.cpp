// Judges of blocks against a plain kernel that shares no code with them: what honest kernels write conforms,
// in every order of summation; verdicts on faulty rows are those of trying every admissible r; every planted
// fault is refused, with a certificate that exact arithmetic confirms.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "oracle/admissible.h"
#include "oracle/blocks/block_scale.h"
#include "oracle/blocks/test/block_calls.h"
#include "oracle/judged/block_quant.h"
#include "oracle/judged/search_violation.h"

namespace normproof::oracle::plain {
namespace {

using box_search::RowClass;

// NORMPROOF_BLOCK_ROWS: how many rows the first two tests judge; a few thousand without it.
std::int64_t rows_asked_for(std::int64_t usual) {
  const char* text = std::getenv("NORMPROOF_BLOCK_ROWS");
  return text == nullptr ? usual : std::atoll(text);
}

RowClass any_class(Random& random) { return static_cast<RowClass>(random.below(box_search::kRowClasses)); }

// One call's rows as an honest kernel writes them.
std::vector<Row> honest_rows(Call& call, const Config& config, Random& random) {
  Kernel kernel = kernel_of(call, config);
  const std::uint64_t key = random.below(1u << 30);
  kernel.takes_neighbour = [key](std::int64_t block) {
    return ((key + static_cast<std::uint64_t>(block)) * 0x9e3779b97f4a7c15u) >> 63 != 0;
  };
  std::vector<Row> rows;
  const float epsilon = std::bit_cast<float>(call.epsilon);
  for (const std::vector<float>& operands : operands(call, config)) {
    const SummationOrder order = kSummationOrders[random.below(kSummationOrders.size())];
    const float r =
        root_off_by(honest_root(operands, epsilon, order, random), static_cast<int>(random.between(-2, 2)));
    rows.push_back(kernel.row(operands, weight_of(call), r));
  }
  return rows;
}

Call random_inputs(const Kind& kind, Config& config, Random& random, std::int64_t most_hidden) {
  static constexpr std::array<std::int64_t, 10> kSizes = {2, 16, 32, 48, 100, 128, 192, 256, 512, 1024};
  std::int64_t hidden = 0;
  do hidden = kSizes[random.below(kSizes.size())];
  while (hidden > most_hidden);
  const bool adds = random.chance(1, 3);
  config.sum_in_fp32 = adds && random.chance(1, 2);
  if (config.policy.find("rms_norm") != std::string::npos && adds)
    config.policy.replace(config.policy.find('.') + 1, 0, "fused_add_");
  if (adds) config.policy += config.sum_in_fp32 ? ",sum=fp32" : ",sum=rounded";
  if (config.policy.starts_with("native,")) config.policy.erase(0, 7);
  const DType dtype = kActivationDTypes[random.below(3)];
  const auto row_class = [](Random& r) { return r.chance(1, 2) ? RowClass::centred : any_class(r); };
  Call call = inputs(kind, adds, dtype, random.between(1, 4), hidden, random, row_class);
  if (std::string_view(kind.operation) == "rms_norm_block_quant") {
    if (hidden < 128 && random.chance(1, 2)) config.block = random.between(1, hidden);
    config.policy += ",group_size=" + std::to_string(config.block);
  }
  return call;
}

TEST(BlockQuant, HonestKernelsConform) {
  const StandardFloatEnvironment environment;
  const std::vector<Kind> all = kinds();
  const std::int64_t wanted = rows_asked_for(3000);
  std::int64_t rows = 0;
  for (std::uint64_t round = 0; rows < wanted; ++round) {
    Random random = Random(1).split(round);
    const Kind& kind = all[round % all.size()];
    Config config = kind.config;
    Call call = random_inputs(kind, config, random, wanted > 100000 ? 1024 : 512);
    const bool by_columns = random.chance(1, 3);
    const bool may_swizzle = std::string_view(kind.operation) != "rms_norm_block_quant";
    const auto layout = may_swizzle && random.chance(1, 3) ? ScaleLayout::Kind::swizzled
                        : by_columns                       ? ScaleLayout::Kind::column_major
                                                           : ScaleLayout::Kind::row_major;
    set_outputs(call, config, honest_rows(call, config, random), layout, random.chance(1, 4));
    if (layout == ScaleLayout::Kind::column_major) config.policy += ",scale_layout=column_major";
    std::string text;
    const auto refused = refused_rows(call, config.policy, &text);
    ASSERT_TRUE(refused.empty()) << kind.name << ", round " << round << ", " << subject_of(call)
                                 << ", policy " << config.policy << "\n"
                                 << text;
    rows += call.rows();
  }
  RecordProperty("rows", static_cast<int>(rows));
}

// The admissible r of a row, from the model of the contract.
Admissible window_of(const Call& call, const std::vector<float>& operands, int ulp_bound = 2) {
  Formula formula;
  formula.formats.activation = call.dtype();
  formula.hidden_size = call.hidden_size();
  formula.parameter_bits[static_cast<std::size_t>(Parameter::epsilon)] = call.epsilon;
  formula.policy.inverse_root.ulp_bound = ulp_bound;
  return AdmissibleModel(formula).admissible(exact_square_sum(operands));
}

// The row with one NaN for all: any equals any.
Row with_one_nan(Row row, const Config& config) {
  for (std::uint8_t& code : row.codes) {
    const int magnitude = code & 127;
    if (config.code == Code::e4m3fn && magnitude == 127) code = 127;
    if (config.code == Code::e5m2 && magnitude > 124) code = 126;
  }
  for (std::uint32_t& scale : row.scales) {
    if (config.scale == Scale::nvfp4 ? (scale & 127) == 127
                                     : !config.bytes && (scale & 0x7fffffffu) > 0x7f800000u)
      scale = config.scale == Scale::nvfp4 ? 127 : 0x7fc00000u;
  }
  return row;
}

// Whether the plain kernel writes the row with this r, with some neighbour in each block.
bool writes(Kernel& kernel, const std::vector<float>& operands, const std::vector<float>& weight, float r,
            const Row& got, const Config& config) {
  const Row row = with_one_nan(got, config);
  kernel.takes_neighbour = [](std::int64_t) { return false; };
  const Row first = with_one_nan(kernel.row(operands, weight, r), config);
  if (first.scales != row.scales) return false;
  if (first.codes == row.codes) return true;
  if (config.factor != Factor::neighbour) return false;
  kernel.takes_neighbour = [](std::int64_t) { return true; };
  const Row second = with_one_nan(kernel.row(operands, weight, r), config);
  for (std::size_t begin = 0; begin < row.codes.size(); begin += static_cast<std::size_t>(config.block)) {
    const std::size_t size = std::min(static_cast<std::size_t>(config.block), row.codes.size() - begin);
    const auto block_is = [&](const Row& other) {
      return std::equal(row.codes.begin() + static_cast<std::ptrdiff_t>(begin),
                        row.codes.begin() + static_cast<std::ptrdiff_t>(begin + size),
                        other.codes.begin() + static_cast<std::ptrdiff_t>(begin));
    };
    if (!block_is(first) && !block_is(second)) return false;
  }
  return true;
}

// A row that an honest kernel did not write: a code or a scale that is off, half of it with another r, or all
// of it with an r near the ends of what is admissible.
Row faulty_row(Kernel& kernel, const std::vector<float>& operands, const std::vector<float>& weight,
               const Admissible& window, const Config& config, Random& random) {
  const auto near = [&] {
    const std::int64_t end = random.chance(1, 2) ? window.interval.low : window.interval.high;
    return root_value(std::clamp<std::int64_t>(end + random.between(-3, 3), 0, kInfiniteRoot));
  };
  Row row = kernel.row(operands, weight, near());
  switch (random.below(4)) {
    case 0: {
      std::uint8_t& code = row.codes[random.below(row.codes.size())];
      code = static_cast<std::uint8_t>(code ^ 1);
      break;
    }
    case 1: {
      std::uint32_t& scale = row.scales[random.below(row.scales.size())];
      scale += random.chance(1, 2) ? 1 : -1;
      if (config.bytes || config.scale == Scale::nvfp4) scale &= 0x7f;
      break;
    }
    case 2: {
      const Row other = kernel.row(operands, weight, near());
      const auto half = static_cast<std::ptrdiff_t>(row.codes.size() / 2);
      std::copy(other.codes.begin() + half, other.codes.end(), row.codes.begin() + half);
      break;
    }
    default:
      break;
  }
  return row;
}

TEST(BlockQuant, VerdictsAreThoseOfTryingEveryRoot) {
  const StandardFloatEnvironment environment;
  const std::vector<Kind> all = kinds();
  const std::int64_t wanted = rows_asked_for(1500);
  std::int64_t rows = 0, conforming = 0;
  std::array<std::int64_t, 5> certificates{};  // by their number of units, confirmed by exact arithmetic
  for (std::uint64_t round = 0; rows < wanted; ++round) {
    Random random = Random(2).split(round);
    const Kind& kind = all[round % all.size()];
    if (std::string_view(kind.name) == "approximate logarithm") continue;  // more than the exact one admits
    Config config = kind.config;
    Call call = random_inputs(kind, config, random, 48);
    Kernel kernel = kernel_of(call, config);
    const std::vector<float> weight = weight_of(call);
    std::vector<Row> written;
    std::vector<bool> expected;
    for (const std::vector<float>& of_row : operands(call, config)) {
      const Admissible window = window_of(call, of_row);
      if (window.interval.empty() || window.interval.high - window.interval.low > 4000) {
        written.push_back(kernel.row(of_row, weight, window.nan ? NAN : root_value(window.interval.low)));
        expected.push_back(true);
        continue;
      }
      written.push_back(faulty_row(kernel, of_row, weight, window, config, random));
      bool explained = window.nan && writes(kernel, of_row, weight, NAN, written.back(), config);
      for (std::int64_t r = window.interval.low; r <= window.interval.high && !explained; ++r)
        explained = writes(kernel, of_row, weight, root_value(r), written.back(), config);
      expected.push_back(explained);
    }
    set_outputs(call, config, written, ScaleLayout::Kind::row_major, false);
    std::string text;
    std::size_t units = 0;
    const std::vector<std::int64_t> refused = refused_rows(call, config.policy, &text, &units);
    if (!refused.empty()) ++certificates[std::min<std::size_t>(units, 4)];
    for (std::int64_t row = 0; row < call.rows(); ++row) {
      const bool conforms = std::ranges::find(refused, row) == refused.end();
      ASSERT_EQ(conforms, expected[static_cast<std::size_t>(row)])
          << kind.name << ", round " << round << ", row " << row << ", " << subject_of(call) << ", policy "
          << config.policy << "\n"
          << text;
      conforming += conforms ? 1 : 0;
    }
    rows += call.rows();
  }
  EXPECT_GT(conforming, rows / 10);
  EXPECT_LT(conforming, rows * 9 / 10);
  EXPECT_GT(certificates[1], 0);
  EXPECT_GT(certificates[2], 0);
  fmt::print("{} rows, {} conform; certificates of 1, 2, 3, more units: {}\n", rows, conforming,
             fmt::join(std::span(certificates).subspan(1), ", "));
  RecordProperty("rows", static_cast<int>(rows));
}

// The codes that some admissible r gives the row with its scales, by trying them all; of blocks without such
// an r none. Between two r with the same scale and codes nothing is tried: all of these rise or fall.
std::vector<CodeSet> tried_codes(Kernel& kernel, const std::vector<float>& operands,
                                 const std::vector<float>& weight, const Admissible& window, const Row& got,
                                 const Config& config) {
  const Row row = with_one_nan(got, config);
  std::vector<CodeSet> result(row.codes.size());
  const auto block_of = [&](std::size_t j) { return j / static_cast<std::size_t>(config.block); };
  const auto tried = [&](float r) {
    Row other = with_one_nan(kernel.row(operands, weight, r), config);
    for (std::size_t j = 0; j < result.size(); ++j)
      if (other.scales[block_of(j)] == row.scales[block_of(j)]) result[j].set(other.codes[j]);
    return other;
  };
  // Whether the r between two may have given something else than both of them.
  const auto moves = [&](const Row& low, const Row& high) {
    for (std::size_t j = 0; j < result.size(); ++j) {
      const std::uint32_t a = low.scales[block_of(j)], b = high.scales[block_of(j)];
      const std::uint32_t stored = row.scales[block_of(j)];
      if (stored < std::min(a, b) || stored > std::max(a, b)) continue;
      if (a != b || low.codes[j] != high.codes[j]) return true;
    }
    return false;
  };
  constexpr std::int64_t kStep = 64;
  for (const bool neighbour : {false, true}) {
    if (neighbour && config.factor != Factor::neighbour) continue;
    kernel.takes_neighbour = [neighbour](std::int64_t) { return neighbour; };
    if (window.nan) tried(NAN);
    if (window.interval.empty()) continue;
    std::int64_t r = window.interval.low;
    Row low = tried(root_value(r));
    while (r < window.interval.high) {
      const std::int64_t next = std::min(r + kStep, window.interval.high);
      Row high = tried(root_value(next));
      for (std::int64_t between = r + 1; between < next && moves(low, high); ++between)
        tried(root_value(between));
      low = std::move(high);
      r = next;
    }
  }
  return result;
}

TEST(BlockQuant, ReachableCodesAreThoseOfEveryRoot) {
  const StandardFloatEnvironment environment;
  constexpr int kUlp = 6000;  // so wide that codes move
  const std::vector<Kind> all = kinds();
  std::int64_t rows = 0, several = 0, illegal_scales = 0;
  for (std::uint64_t round = 0; rows < 240; ++round) {
    Random random = Random(3).split(round);
    const Kind& kind = all[round % all.size()];
    if (std::string_view(kind.name) == "approximate logarithm") continue;  // more than the exact one admits
    Config config = kind.config;
    Call call = random_inputs(kind, config, random, 48);
    config.policy += fmt::format(",inverse_root_ulp={}", kUlp);
    Kernel kernel = kernel_of(call, config);
    const std::vector<float> weight = weight_of(call);
    std::vector<Row> written;
    std::vector<std::vector<CodeSet>> wanted;
    for (const std::vector<float>& of_row : operands(call, config)) {
      const Admissible window = window_of(call, of_row, kUlp);
      const bool narrow = window.interval.high - window.interval.low <= 4 * kUlp;
      written.push_back(narrow && !window.interval.empty()
                            ? faulty_row(kernel, of_row, weight, window, config, random)
                            : kernel.row(of_row, weight, window.nan ? NAN : root_value(window.interval.low)));
      wanted.push_back(narrow ? tried_codes(kernel, of_row, weight, window, written.back(), config)
                              : std::vector<CodeSet>());
    }
    set_outputs(call, config, written, ScaleLayout::Kind::row_major, false);
    const judged::Policy policy = parse_policy(*call.operation, config.policy);
    const judged::BlockReader reader(call, policy);
    BlockRow judge(block_setup_of(call, policy), judged::bytes_of(call.find("weight")));
    for (std::int64_t row = 0; row < call.rows(); ++row, ++rows) {
      const std::vector<CodeSet>& of_row = wanted[static_cast<std::size_t>(row)];
      if (of_row.empty()) continue;
      const judged::Tensor* residual = call.find("residual");
      judge.load(call.at("x").row(row, call.hidden_size()).data(),
                 residual == nullptr ? nullptr : residual->row(row, call.hidden_size()).data());
      const BlockReach got = judge.reachable(reader.row(row));
      ASSERT_EQ(got.codes, of_row) << kind.name << ", round " << round << ", row " << row << ", "
                                   << subject_of(call) << ", policy " << config.policy;
      for (std::size_t block = 0; block < got.legal.size(); ++block) {
        const auto first = static_cast<std::size_t>(config.block) * block;
        ASSERT_EQ(got.legal[block], of_row[first].any()) << kind.name << ", round " << round;
        illegal_scales += got.legal[block] ? 0 : 1;
      }
      several += std::ranges::any_of(got.codes, [](const CodeSet& codes) { return codes.count() > 1; });
    }
  }
  EXPECT_GT(several, 8);
  EXPECT_GT(illegal_scales, 4);
}

// What an axis says is done: a value other than the first changes some output.
TEST(BlockQuant, EveryValueOfAnAxisChangesSomeOutput) {
  const StandardFloatEnvironment environment;
  static constexpr std::array<DType, 4> kCodes = {DType::fp8_e4m3fn, DType::fp8_e4m3fnuz, DType::int8,
                                                  DType::uint8};
  for (const Kind& kind :
       {Kind{"", "rms_norm_block_quant", {}}, Kind{"", "rms_norm_mx_quant", {}},
        Kind{"", "rms_norm_nvfp4_quant", with({}, [](Config& c) { c.scale = Scale::nvfp4; })}}) {
    const judged::JudgedOperation& operation =
        *judged::find_judged_operation("fused_add_" + std::string(kind.operation));
    const std::span<const DType> possible = find_tensor(operation, "out")->dtypes;
    for (std::size_t axis = 0; axis < operation.axes.size(); ++axis) {
      const judged::Axis& one = operation.axes[axis];
      // What reaches a code or a scale of so few bits too seldom is asked of the rule (below).
      if (one.name == "scale_order" || one.name == "reciprocals" || one.name == "row_scale") continue;
      if (kind.config.scale == Scale::nvfp4 && one.name == "scaling") continue;
      for (std::size_t value = 1; value < one.values.size(); ++value) {
        const std::string_view name = one.values[value].name;
        if (name == "approximate_inverse" || name == "ue8m0_ceil_log2")
          continue;  // the usual one is the same
        bool differs = false;
        for (std::uint64_t round = 0; round < 400 && !differs; ++round) {
          Random random = Random(4).split(round);
          const DType codes = kCodes[random.below(4)];
          if (std::ranges::find(possible, codes) == possible.end()) continue;
          Call call =
              inputs(kind, true, random.chance(1, 2) ? DType::bf16 : DType::fp16, 2, 256, random, any_class);
          call.tensors["out"].dtype = codes;
          if (!has_axis(call, one)) continue;
          judged::Policy first = parse_policy(operation, "native"), second = first;
          second.values[axis] = value;
          const std::array<std::string, 2> outputs = {"out", "scales"};
          Call other = call;
          operation.fill(call, first, outputs);
          operation.fill(other, second, outputs);
          differs = call.at("out").bytes != other.at("out").bytes ||
                    call.at("scales").bytes != other.at("scales").bytes;
        }
        EXPECT_TRUE(differs) << operation.name << " " << one.name << "=" << one.values[value].name;
      }
    }
  }
}

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
    const float tie =
        (e4m3_value(static_cast<std::uint8_t>(stored)) + e4m3_value(static_cast<std::uint8_t>(stored + 1))) /
        2;
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
  call.tensors["x"] = tensor_of(DType::fp32, {1, count}, y);
  call.tensors["out"] = {codes, {1, count}, {}};
  call.tensors["scales"] = {scales, {1, 1}, {}};
  call.tensors["global_scale"] = number_of(1);
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

struct Planted {
  Fault fault;
  const char* kind;  // of kinds()
};
constexpr std::array kPlanted = {
    Planted{Fault::transposed_scales, "vllm fp8"},
    Planted{Fault::transposed_scales, "mxfp8 ceil"},
    Planted{Fault::scale_of_previous_block, "vllm fp8"},
    Planted{Fault::scale_of_previous_block, "nvfp4 global first"},
    Planted{Fault::scale_of_previous_row, "vllm int8"},
    Planted{Fault::scale_of_previous_row, "mxfp4 floor"},
    Planted{Fault::plain_float_scale, "power of two as fp32"},
    Planted{Fault::scale_rounded_down, "power of two"},
    Planted{Fault::scale_rounded_down, "mxfp8 ceil"},
    Planted{Fault::exponent_off_by_one, "mxfp4 even"},
    Planted{Fault::floor_after_bound, "vllm fp8"},
    Planted{Fault::no_floor, "vllm fp8"},
    Planted{Fault::no_floor, "vllm int8"},
    Planted{Fault::no_floor, "flashinfer"},
    Planted{Fault::maximum_of_last_group, "vllm fp8"},
    Planted{Fault::maximum_of_last_group, "power of two"},
    Planted{Fault::maximum_without_tail, "vllm fp8"},
    Planted{Fault::maximum_without_tail, "nvfp4 quotients"},
    Planted{Fault::maximum_of_other_rounding, "vllm fp8"},
    Planted{Fault::maximum_of_other_rounding, "unrounded fnuz"},
    Planted{Fault::maximum_of_signed, "vllm fp8"},
    Planted{Fault::maximum_of_signed, "mxfp4 floor"},
    Planted{Fault::maximum_of_row, "vllm int8"},
    Planted{Fault::range_240, "vllm fp8"},
    Planted{Fault::range_448, "unrounded fnuz"},
    Planted{Fault::range_of_int8_128, "vllm int8"},
    Planted{Fault::truncated_int8, "vllm int8"},
    Planted{Fault::lost_negative_zero, "vllm fp8"},
    Planted{Fault::lost_negative_zero, "mxfp4 floor"},
    Planted{Fault::lost_negative_zero, "nvfp4 global first"},
    Planted{Fault::high_nibble_first, "mxfp4 floor"},
    Planted{Fault::high_nibble_first, "nvfp4 maximum first"},
    Planted{Fault::no_swizzle, "mxfp8 ceil"},
    Planted{Fault::no_swizzle, "nvfp4 global first"},
    Planted{Fault::divides_for_multiplies, "vllm int8"},
    Planted{Fault::multiplies_by_scale, "vllm fp8"},
    Planted{Fault::multiplies_by_scale, "nvfp4 quotients"},
    Planted{Fault::weight_of_next_column, "vllm fp8"},
    Planted{Fault::block_begins_one_late, "mxfp8 ceil"},
    Planted{Fault::unweighted_maximum, "vllm fp8"},
    Planted{Fault::stale_scale, "vllm fp8"},
    Planted{Fault::stale_scale, "mxfp8 ceil"},
    Planted{Fault::stale_scale, "nvfp4 global first"},
    Planted{Fault::no_global_scale, "nvfp4 global first"},
    Planted{Fault::quotient_of_448_by_6_left_out, "nvfp4 maximum first"},
    Planted{Fault::root_rounded, "vllm fp8"},
    Planted{Fault::root_rounded, "native e5m2"},
    Planted{Fault::unpadded_columns, "vllm fp8"},
    Planted{Fault::unpadded_columns, "power of two as fp32"},
    Planted{Fault::through_bf16, "unrounded fnuz"},
    Planted{Fault::through_bf16, "vllm fp8"},
    Planted{Fault::truncated_y, "vllm fp8"},
    Planted{Fault::truncated_y, "mxfp4 even"},
    Planted{Fault::fp32_weight, "vllm fp8"},
    Planted{Fault::fp32_weight, "vllm int8"},
    Planted{Fault::not_clamped, "vllm fp8"},
    Planted{Fault::not_clamped, "vllm int8"},
    Planted{Fault::ties_away, "mxfp4 floor"},
    Planted{Fault::no_epsilon, "vllm fp8"},
    Planted{Fault::sum_not_rounded, "flashinfer"},
    Planted{Fault::zero_block_nan, "nvfp4 global first"},
};

TEST(BlockQuant, PlantedFaultsAreRefused) {
  const StandardFloatEnvironment environment;
  const std::vector<Kind> all = kinds();
  for (const Planted& planted : kPlanted) {
    const auto kind = std::ranges::find(all, std::string_view(planted.kind), &Kind::name);
    ASSERT_NE(kind, all.end()) << planted.kind;
    int refused = 0;
    std::string text;
    for (std::uint64_t round = 0; round < 1000 && (round < 4 || refused == 0); ++round) {
      Random random = Random(3).split(round);
      Config config = kind->config;
      const bool adds = planted.fault == Fault::sum_not_rounded;
      if (adds) config.policy.replace(config.policy.find('.') + 1, 0, "fused_add_").append(",sum=rounded");
      Call call = inputs(*kind, adds, DType::bf16, 5, 256, random, [&](Random& r) {
        const bool tiny = r.chance(1, 3);
        return tiny ? RowClass::tiny : RowClass::heavy_tails;
      });
      if (planted.fault == Fault::not_clamped) call.tensors["scale_ub"] = number_of(1);
      if (planted.fault == Fault::floor_after_bound) call.tensors["scale_ub"] = number_of(0x1p-30f);
      call.epsilon = 0x358637bdu;
      // Zeros with signs among ordinary numbers, and a block of zeros.
      std::vector<float> x = values_of(call.at("x"));
      for (std::size_t i = 0; i < 256; ++i) x[i] = i < 128 ? x[i] : -0.0f;
      call.tensors["x"] = tensor_of(DType::bf16, {5, 256}, std::move(x));
      if (std::string_view(kind->operation) == "rms_norm_block_quant")
        config.policy += ",group_size=" + std::to_string(config.block);
      const Kernel kernel = kernel_of(call, config, planted.fault);
      const Kernel right = kernel_of(call, config);
      std::vector<Row> wrong, honest;
      const std::vector<float> weight = weight_of(call);
      Config of_fault = config;
      of_fault.sum_in_fp32 = adds;
      const std::vector<std::vector<float>> of_right = operands(call, config),
                                            of_wrong = operands(call, of_fault);
      const float epsilon = std::bit_cast<float>(call.epsilon);
      const float wrong_epsilon = planted.fault == Fault::no_epsilon ? 0.0f : epsilon;
      for (std::size_t row = 0; row < of_right.size(); ++row) {
        const auto root = [&](const std::vector<float>& of_row, float added) {
          return honest_root(of_row, added, SummationOrder::pairwise, random);
        };
        wrong.push_back(kernel.row(of_wrong[row], weight, root(of_wrong[row], wrong_epsilon)));
        honest.push_back(right.row(of_right[row], weight, root(of_right[row], epsilon)));
      }
      const auto layout = planted.fault == Fault::no_swizzle         ? ScaleLayout::Kind::swizzled
                          : planted.fault == Fault::unpadded_columns ? ScaleLayout::Kind::column_major
                                                                     : ScaleLayout::Kind::row_major;
      set_outputs(call, config, honest, layout, false);
      ASSERT_TRUE(refused_rows(call, config.policy, &text).empty()) << planted.kind << "\n" << text;
      set_outputs(call, config, wrong, layout, false, planted.fault);
      refused += refused_rows(call, config.policy, &text).empty() ? 0 : 1;
    }
    EXPECT_GT(refused, 0) << static_cast<int>(planted.fault) << " in " << planted.kind;
  }
}

}  // namespace
}  // namespace normproof::oracle::plain
