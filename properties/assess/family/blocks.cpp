// The study of the judge of norms that quantize by blocks.
#include "properties/assess/family/blocks.h"

#include <fmt/format.h>

#include <array>

#include "properties/assess/family/family_study.h"

namespace normproof::assess::blocks {

const std::vector<Kind>& all_kinds() {
  static const std::vector<Kind> all = kinds();
  return all;
}

std::string Drawn::text() const {
  return fmt::format("{}, {}, policy {}", kind->name, subject_of(call), config.policy);
}

namespace {

std::string fused(const Kind& kind) { return "fused_add_" + std::string(kind.operation); }
bool is_block_quant(const Kind& kind) { return std::string_view(kind.operation) == "rms_norm_block_quant"; }

}  // namespace

std::vector<const Kind*> kinds_of(const StudyOptions& options, bool with_approximate_logarithm) {
  std::vector<const Kind*> result;
  for (const Kind& kind : all_kinds()) {
    if (!options.asks_for(kind.operation) && !options.asks_for(fused(kind))) continue;
    if (with_approximate_logarithm || std::string_view(kind.name) != "approximate logarithm")
      result.push_back(&kind);
  }
  return result;
}

Drawn random_call(const Kind& kind, const StudyOptions& options, std::int64_t most_hidden, Random& random) {
  static constexpr std::array<std::int64_t, 10> kSizes = {2, 16, 32, 48, 100, 128, 192, 256, 512, 1024};
  std::int64_t hidden = 0;
  do hidden = random.pick(kSizes);
  while (hidden > most_hidden);
  Config config = kind.config;
  const bool adds =
      family::draws_first(random, options.asks_for(fused(kind)), options.asks_for(kind.operation));
  config.sum_in_fp32 = adds && random.chance(1, 2);
  if (config.policy.find("rms_norm") != std::string::npos && adds)
    config.policy.replace(config.policy.find('.') + 1, 0, "fused_add_");
  if (adds) config.policy += config.sum_in_fp32 ? ",sum=fp32" : ",sum=rounded";
  if (config.policy.starts_with("native,")) config.policy.erase(0, 7);
  const DType dtype = random.pick(kActivationDTypes);
  const auto row_class = [](Random& r) { return r.chance(1, 2) ? RowClass::centred : family::any_class(r); };
  Call call = inputs(kind, adds, dtype, random.between(1, 4), hidden, random, row_class);
  if (is_block_quant(kind)) {
    if (hidden < 128 && random.chance(1, 2)) config.block = random.between(1, hidden);
    config.policy += ",group_size=" + std::to_string(config.block);
  }
  return {&kind, std::move(config), std::move(call)};
}

oracle::Admissible window_of(const Call& call, const std::vector<float>& operands, int ulp_bound) {
  oracle::Formula formula;
  formula.formats.activation = call.dtype();
  formula.hidden_size = call.hidden_size();
  formula.parameter_bits[static_cast<std::size_t>(Parameter::epsilon)] = call.epsilon;
  formula.policy.inverse_root.ulp_bound = ulp_bound;
  return oracle::AdmissibleModel(formula).admissible(oracle::exact_square_sum(operands));
}

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

Row faulty_row(Kernel& kernel, const std::vector<float>& operands, const std::vector<float>& weight,
               const oracle::Admissible& window, const Config& config, Random& random) {
  const auto near = [&] {
    const std::int64_t end = random.chance(1, 2) ? window.interval.low : window.interval.high;
    return oracle::root_value(
        std::clamp<std::int64_t>(end + random.between(-3, 3), 0, oracle::kInfiniteRoot));
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

namespace {

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

// One call's rows as an honest kernel writes them.
std::vector<Row> honest_rows(Drawn& drawn, Random& random) {
  Kernel kernel = kernel_of(drawn.call, drawn.config);
  const std::uint64_t key = random.below(1u << 30);
  kernel.takes_neighbour = [key](std::int64_t block) {
    return ((key + static_cast<std::uint64_t>(block)) * 0x9e3779b97f4a7c15u) >> 63 != 0;
  };
  std::vector<Row> rows;
  const float epsilon = std::bit_cast<float>(drawn.call.epsilon);
  for (const std::vector<float>& of_row : operands(drawn.call, drawn.config)) {
    const oracle::SummationOrder order = random.pick(oracle::kSummationOrders);
    const float root = oracle::honest_root(of_row, epsilon, order, random);
    const float r = oracle::root_off_by(root, static_cast<int>(random.between(-2, 2)));
    rows.push_back(kernel.row(of_row, weight_of(drawn.call), r));
  }
  return rows;
}

void judge_honest_call(Random& random, const StudyOptions& options, family::HonestFigures& figures) {
  const Kind& kind = *random.pick(kinds_of(options, true));
  Drawn drawn = random_call(kind, options, 1024, random);
  const bool by_columns = random.chance(1, 3);
  const auto layout = !is_block_quant(kind) && random.chance(1, 3) ? ScaleLayout::Kind::swizzled
                      : by_columns                                 ? ScaleLayout::Kind::column_major
                                                                   : ScaleLayout::Kind::row_major;
  const bool with_normalized = random.chance(1, 4);
  set_outputs(drawn.call, drawn.config, honest_rows(drawn, random), layout, with_normalized);
  if (layout == ScaleLayout::Kind::column_major) drawn.config.policy += ",scale_layout=column_major";
  const Policy policy = family::judged_policy(drawn.policy(), options);
  const std::vector<Refusal> refused = refused_rows(drawn.call, policy, !options.wrong_policy);
  for (std::int64_t row = 0; row < drawn.call.rows(); ++row) {
    const auto found = std::ranges::find(refused, row, &Refusal::row);
    figures.add(drawn.call.hidden_size(), found == refused.end(), 0,
                [&] { return fmt::format("{}\n{}", drawn.text(), found->text); });
  }
}

// What stands in a row of a faulty call, and what must be said of it.
struct FaultyRow {
  Row row;
  bool explained = true;
  bool too_wide = false;
};
FaultyRow faulty_row_of(const Drawn& drawn, Kernel& kernel, const std::vector<float>& of_row,
                        Random& random) {
  const std::vector<float> weight = weight_of(drawn.call);
  const oracle::Admissible window = window_of(drawn.call, of_row);
  const auto [low, high] = window.interval;
  if (window.interval.empty() || high - low > 4000) {
    const float r = window.nan ? NAN : oracle::root_value(low);
    return {kernel.row(of_row, weight, r), true, true};
  }
  FaultyRow result{faulty_row(kernel, of_row, weight, window, drawn.config, random)};
  result.explained = window.nan && writes(kernel, of_row, weight, NAN, result.row, drawn.config);
  for (std::int64_t r = low; r <= high && !result.explained; ++r)
    result.explained = writes(kernel, of_row, weight, oracle::root_value(r), result.row, drawn.config);
  return result;
}

void judge_faulty_call(Random& random, const StudyOptions& options, family::FaultyFigures& figures) {
  Drawn drawn = random_call(*random.pick(kinds_of(options, false)), options, 48, random);
  Kernel kernel = kernel_of(drawn.call, drawn.config);
  std::vector<FaultyRow> rows;
  std::vector<Row> written;
  for (const std::vector<float>& of_row : operands(drawn.call, drawn.config)) {
    rows.push_back(faulty_row_of(drawn, kernel, of_row, random));
    written.push_back(rows.back().row);
  }
  set_outputs(drawn.call, drawn.config, written, ScaleLayout::Kind::row_major, false);
  const Policy policy = family::judged_policy(drawn.policy(), options);
  const std::vector<Refusal> refused = refused_rows(drawn.call, policy, true);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto found = std::ranges::find(refused, static_cast<std::int64_t>(row), &Refusal::row);
    const auto certificate =
        found == refused.end() ? std::nullopt : std::optional<std::size_t>(found->certificate);
    if (rows[row].too_wide && !certificate) {
      figures.add_too_wide(0);
      continue;
    }
    figures.add(rows[row].explained, certificate, 0, [&] {
      return fmt::format("{}, row {}\n{}", drawn.text(), row, certificate ? found->text : "conforms");
    });
  }
}

struct Planted {
  Fault fault;
  const char* kind;  // of all_kinds()
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

constexpr double kLeastShare = 0.8;

const std::vector<std::string>& planted_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const Planted& each : kPlanted)
      result.push_back(fmt::format("{}: {}", each.kind, name_of(each.fault)));
    return result;
  }();
  return names;
}
const std::vector<family::FaultRow>& fault_rows() {
  static const std::vector<family::FaultRow> rows = [] {
    std::vector<family::FaultRow> result;
    for (const std::string& name : planted_names()) result.push_back({name, kLeastShare});
    return result;
  }();
  return rows;
}

// Rows of ordinary and tiny numbers: zeros with signs among them, and a block of zeros.
Drawn inputs_for(const Planted& planted, Random& random) {
  const auto kind = std::ranges::find(all_kinds(), std::string_view(planted.kind), &Kind::name);
  Drawn drawn{&*kind, kind->config, {}};
  const bool adds = planted.fault == Fault::sum_not_rounded;
  if (adds)
    drawn.config.policy.replace(drawn.config.policy.find('.') + 1, 0, "fused_add_").append(",sum=rounded");
  drawn.call = inputs(*kind, adds, DType::bf16, 5, 256, random,
                      [](Random& r) { return r.chance(1, 3) ? RowClass::tiny : RowClass::heavy_tails; });
  if (planted.fault == Fault::not_clamped) drawn.call.tensors["scale_ub"] = number_of(1);
  if (planted.fault == Fault::floor_after_bound) drawn.call.tensors["scale_ub"] = number_of(0x1p-30f);
  drawn.call.epsilon = 0x358637bdu;
  std::vector<float> x = values_of(drawn.call.at("x"));
  for (std::size_t i = 128; i < 256; ++i) x[i] = -0.0f;
  drawn.call.tensors["x"] = tensor_of(DType::bf16, {5, 256}, std::move(x));
  if (is_block_quant(*kind)) drawn.config.policy += ",group_size=" + std::to_string(drawn.config.block);
  return drawn;
}

// The call as a kernel with the fault computes it, or as one without.
Call outputs_with(const Drawn& drawn, Fault fault, ScaleLayout::Kind layout, Random random) {
  Call call = drawn.call;
  Config config = drawn.config;
  config.sum_in_fp32 = fault == Fault::sum_not_rounded;
  const Kernel kernel = kernel_of(call, drawn.config, fault);
  const float epsilon = fault == Fault::no_epsilon ? 0.0f : std::bit_cast<float>(call.epsilon);
  std::vector<Row> rows;
  for (const std::vector<float>& of_row : operands(call, config)) {
    const float r = oracle::honest_root(of_row, epsilon, oracle::SummationOrder::pairwise, random);
    rows.push_back(kernel.row(of_row, weight_of(call), r));
  }
  set_outputs(call, drawn.config, rows, layout, false, fault);
  return call;
}

bool same_outputs(const Call& a, const Call& b) {
  const auto same = [&](const char* tensor) { return a.at(tensor).bytes == b.at(tensor).bytes; };
  return same("out") && same("scales");
}

// Draws until the fault changes something.
void detect(std::size_t fault, Random& random, const StudyOptions& options, family::FaultFigure& figure) {
  const Planted& planted = kPlanted[fault];
  const auto layout = planted.fault == Fault::no_swizzle         ? ScaleLayout::Kind::swizzled
                      : planted.fault == Fault::unpadded_columns ? ScaleLayout::Kind::column_major
                                                                 : ScaleLayout::Kind::row_major;
  for (int tries = 0; tries < 1000; ++tries) {
    const Drawn drawn = inputs_for(planted, random);
    const Call right = outputs_with(drawn, Fault::none, layout, random);
    const Call wrong = outputs_with(drawn, planted.fault, layout, random);
    if (same_outputs(right, wrong)) continue;
    const Policy policy = family::judged_policy(drawn.policy(), options);
    return figure.add(!refused_rows(wrong, policy, false).empty(),
                      !refused_rows(right, policy, false).empty());
  }
}

}  // namespace
}  // namespace normproof::assess::blocks

namespace normproof::assess::family {

const FamilyStudy& blocks_study() {
  static constexpr auto kOperations = std::to_array<std::string_view>(
      {"rms_norm_block_quant", "fused_add_rms_norm_block_quant", "rms_norm_mx_quant",
       "fused_add_rms_norm_mx_quant", "rms_norm_nvfp4_quant", "fused_add_rms_norm_nvfp4_quant"});
  static constexpr std::array kFaultDTypes = {DType::bf16};
  static const FamilyStudy kStudy = {"quantization by blocks",
                                     "rows",
                                     kOperations,
                                     {60'000, 20'000, 25},
                                     blocks::judge_honest_call,
                                     blocks::judge_faulty_call,
                                     blocks::fault_rows(),
                                     kFaultDTypes,
                                     blocks::detect};
  return kStudy;
}

}  // namespace normproof::assess::family
