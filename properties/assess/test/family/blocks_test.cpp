// The judge of blocks against the plain kernel: which codes an honest kernel may reach, and that every value
// of an axis is computed.
#include "properties/assess/family/blocks.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <array>

#include "oracle/blocks/block_row.h"
#include "oracle/judged/block_quant.h"
#include "oracle/judged/search_violation.h"

namespace normproof::assess::blocks {
namespace {

using oracle::Admissible;
using oracle::BlockReach;
using oracle::BlockRow;
using oracle::CodeSet;
using oracle::root_value;
using oracle::StandardFloatEnvironment;

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
  const std::vector<const Kind*> all = kinds_of({}, false);
  std::int64_t rows = 0, several = 0, illegal_scales = 0;
  for (std::uint64_t round = 0; rows < 240; ++round) {
    Random random = Random(3).split(round);
    Drawn drawn = random_call(*all[round % all.size()], {}, 48, random);
    Config& config = drawn.config;
    Call& call = drawn.call;
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
    const Policy policy = drawn.policy();
    const judged::BlockReader reader(call, policy);
    BlockRow judge(block_setup_of(call, policy), judged::bytes_of(call.find("weight")));
    for (std::int64_t row = 0; row < call.rows(); ++row, ++rows) {
      const std::vector<CodeSet>& of_row = wanted[static_cast<std::size_t>(row)];
      if (of_row.empty()) continue;
      const Tensor* residual = call.find("residual");
      judge.load(call.at("x").row(row, call.hidden_size()).data(),
                 residual == nullptr ? nullptr : residual->row(row, call.hidden_size()).data());
      const BlockReach got = judge.reachable(reader.row(row));
      ASSERT_EQ(got.codes, of_row) << drawn.text() << ", round " << round << ", row " << row;
      for (std::size_t block = 0; block < got.legal.size(); ++block) {
        const auto first = static_cast<std::size_t>(config.block) * block;
        ASSERT_EQ(got.legal[block], of_row[first].any()) << drawn.text();
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
          Call call = inputs(kind, true, random.chance(1, 2) ? DType::bf16 : DType::fp16, 2, 256, random,
                             family::any_class);
          call.tensors["out"].dtype = codes;
          if (!has_axis(call, one)) continue;
          Policy first = parse_policy(operation, "native"), second = first;
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

}  // namespace
}  // namespace normproof::assess::blocks
