#include "properties/targets/learned_limits.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <optional>
#include <utility>

#include "oracle/exact.h"
#include "oracle/formats.h"
#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

// Multiples of every power of two and their neighbours, round numbers, and those of models.
constexpr auto kHiddenSizes = std::to_array<std::int64_t>(
    {1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   12,   15,   16,    17,   20,   24,   31,
     32,   33,   40,   48,   56,   64,   72,   80,   96,   100,  112,  120,  127,   128,  129,  136,  160,
     192,  250,  256,  264,  320,  384,  500,  512,  513,  576,  640,  768,  896,   1000, 1024, 1025, 1280,
     1536, 2000, 2048, 2056, 2560, 3072, 4096, 4100, 5120, 6144, 8192, 8200, 10240, 16384});
constexpr auto kMultiples = std::to_array<std::int64_t>({1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024});
constexpr std::int64_t kRows = 2;
// Far enough apart for any alignment.
constexpr std::int64_t kGap = 64;

// "1, 2, 3 and 17 others".
std::string some_of(const std::vector<std::int64_t>& numbers) {
  constexpr std::size_t kShown = 4;
  const std::vector<std::int64_t> shown(
      numbers.begin(), numbers.begin() + static_cast<std::ptrdiff_t>(std::min(numbers.size(), kShown)));
  const std::string text = fmt::format("{}", fmt::join(shown, ", "));
  if (numbers.size() <= kShown) return text;
  const std::size_t others = numbers.size() - kShown;
  return fmt::format("{} and {} other{}", text, others, others == 1 ? "" : "s");
}

class Learner {
 public:
  Learner(Target& target, const CallKind& like, double seconds)
      : target_(target), like_(like), declared_(target.limits_of(like.operation)), seconds_(seconds) {}

  LearnedLimits learn() {
    hidden_sizes();
    if (!hidden_) {
      if (!out_of_time()) found("none of the calls that were tried was taken", first_reason_);
      return std::move(learned_);
    }
    ask(
        "no rows: refused", [](Case& call) { call.shape[0] = 0; },
        [this] { learned_.limits.least_rows = 1; });
    gaps();
    addresses();
    if (may_be_in_place(like_.operation))
      ask(
          "calls in place: refused", [](Case& call) { call.in_place = true; },
          [this] { learned_.limits.not_in_place = true; });
    if (spec_of(like_.operation).greatest_rank > 2)
      ask(
          "three dimensions: refused", [](Case& call) { call.shape.insert(call.shape.begin(), 2); },
          [this] { learned_.limits.greatest_rank = 2; });
    epsilon();
    return std::move(learned_);
  }

 private:
  Case call_of(std::int64_t hidden) const {
    Case call;
    call.name = "learn";
    call.kind() = like_;
    call.shape = {kRows, hidden};
    for (const Role role : kRoles) {
      if (call.has_data(role))
        call[role].data.recipe = Recipe{role == Role::weight ? "model_weights" : "normal", 1};
    }
    if (declared_.epsilon_is_set)
      call.bits_of(Parameter::epsilon) = std::bit_cast<std::uint32_t>(declared_.epsilon);
    return call;
  }

  bool out_of_time() {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin_;
    if (spent.count() > seconds_ || stop_is_requested()) learned_.stopped_early = true;
    return learned_.stopped_early;
  }
  // Whether the call was carried out; nothing where it lies outside of what the target declares, or the time
  // is up.
  std::optional<bool> takes(Case call) {
    keep_what_it_has(call);
    for (const Role role : kRoles) {
      if (call.has_data(role) && call.elements_of(role) == 0) call[role].data = {};
    }
    if (out_of_time() || !what_is_outside(declared_, call).empty() || !validate(call).empty())
      return std::nullopt;
    ++learned_.calls;
    const RunResult result = target_.run(call, materialize(call));
    outputs_ = result.outputs;
    if (result.status == RunResult::Status::completed && result.memory_violations.empty()) return true;
    reason_ = result.memory_violations.empty() ? result.message : result.memory_violations.front();
    return false;
  }

  // The reason's first line, without what a place in a grid says.
  static std::string short_reason(std::string reason) {
    reason = reason.substr(0, reason.find('\n'));
    return reason.substr(0, reason.find(", in block ("));
  }
  void found(const std::string& line, const std::string& reason) {
    learned_.lines.push_back(reason.empty() ? line : fmt::format("{} ({})", line, short_reason(reason)));
  }

  template <class Change, class Learn>
  std::optional<bool> ask(const std::string& line, const Change& change, const Learn& learn) {
    Case call = call_of(*hidden_);
    change(call);
    const std::optional<bool> taken = takes(std::move(call));
    if (taken && !*taken) {
      found(line, reason_);
      learn();
    }
    return taken;
  }

  // --- hidden sizes ---

  void hidden_sizes() {
    for (const std::int64_t hidden : kHiddenSizes) {
      const std::optional<bool> taken = takes(call_of(hidden));
      if (!taken) continue;
      (*taken ? taken_ : refused_).push_back(hidden);
      if (!*taken && first_reason_.empty()) first_reason_ = reason_;
    }
    if (taken_.empty()) return;
    // One that later questions are about: short, and with any alignment of its own, if possible.
    hidden_ = *std::ranges::max_element(taken_, {}, [](std::int64_t size) {
      return std::pair(std::min<std::int64_t>(size & -size, kGap), -size);
    });
    if (refused_.empty()) return;
    const auto [multiple, greatest] = rule();
    std::vector<std::string> parts;
    if (multiple > 1) parts.push_back(fmt::format("multiples of {} only", multiple));
    if (greatest > 0) parts.push_back(fmt::format("up to {}", greatest));
    const bool whole =
        !parts.empty() && std::ranges::all_of(taken_, [&, m = multiple, g = greatest](std::int64_t size) {
          return size % m == 0 && (g == 0 || size <= g);
        });
    const std::string what = whole ? fmt::format("{}; refused {}", fmt::join(parts, ", "), some_of(refused_))
                                   : fmt::format("{} of {} that were tried ({})", taken_.size(),
                                                 taken_.size() + refused_.size(), some_of(taken_));
    found("hidden sizes: " + what, first_reason_);
    if (!whole && parts.empty()) return;
    learned_.limits.hidden_multiple = multiple > 1 ? multiple : 0;
    learned_.limits.greatest_hidden = greatest;
  }

  // The multiple and the greatest size (0: none) within which all that was tried was taken, and most of it.
  std::pair<std::int64_t, std::int64_t> rule() const {
    std::pair<std::int64_t, std::int64_t> best{1, 0};
    std::int64_t most = -1;
    for (const std::int64_t multiple : kMultiples) {
      std::int64_t count = 0, greatest = 0, beyond = 0;
      for (const std::int64_t size : kHiddenSizes) {
        if (size % multiple != 0) continue;
        if (std::ranges::count(refused_, size) != 0) {
          beyond = size;
          break;
        }
        if (std::ranges::count(taken_, size) == 0) continue;
        greatest = size;
        ++count;
      }
      if (count > most) {
        most = count;
        best = {multiple, beyond == 0 ? 0 : greatest};
      }
    }
    return best;
  }

  // --- layouts ---

  void gaps() {
    for (const Role role : kRoles) {
      if (!has_rows(role)) continue;
      const std::optional<bool> taken = ask(
          "rows with gaps: refused", [&](Case& call) { call[role].layout.strides = {*hidden_ + kGap}; },
          [this] { learned_.limits.contiguous = true; });
      if (taken && !*taken) return;
    }
  }

  // The smallest alignment, in bytes, at which every tensor may begin.
  void addresses() {
    const auto first = static_cast<std::int64_t>(size_of(like_.dtype));
    std::string reason;
    for (std::int64_t bytes = first; bytes <= 64; bytes *= 2) {
      bool all = true;
      for (const Role role : kRoles) {
        Case call = call_of(*hidden_);
        if (!call.has_layout(role)) continue;
        call[role].layout.offset =
            std::max<std::int64_t>(bytes / static_cast<std::int64_t>(size_of(call.dtype_of(role))), 1);
        const std::optional<bool> taken = takes(std::move(call));
        if (!taken) continue;
        if (!*taken && reason.empty()) reason = reason_;
        all = all && *taken;
      }
      if (!all) continue;
      if (bytes == first) return;
      found(fmt::format("addresses: multiples of {} bytes only", bytes), reason);
      learned_.limits.alignment = bytes;
      return;
    }
    if (!out_of_time()) found("addresses that are not multiples of 256 bytes: refused", reason);
  }

  bool has_rows(Role role) const {
    const Case call = call_of(*hidden_);
    return call.has_layout(role) && find_tensor(call.operation, role)->extent == Extent::elements;
  }

  // --- epsilon ---

  // Outputs of rows of 2^-14 under this epsilon; empty where the call was not taken.
  std::vector<std::byte> outputs_under(float epsilon) {
    Case call = call_of(*hidden_);
    call.bits_of(Parameter::epsilon) = std::bit_cast<std::uint32_t>(epsilon);
    for (const Role role : kRoles) {
      if (!call.has_data(role)) continue;
      TensorData& data = call[role].data;
      const DType dtype = call.dtype_of(role);
      const oracle::Format& format = oracle::format_of(dtype);
      const int exponent = role == Role::weight ? 0 : role == Role::residual ? -format.bias : -14;
      data.recipe.reset();
      data.bytes.resize(call.bytes_of(role));
      for (std::int64_t i = 0; i < call.elements_of(role); ++i)
        store_bits(data.bytes, dtype, i,
                   static_cast<std::uint32_t>(std::max(exponent + format.bias, 0)) << format.mantissa_bits());
    }
    const std::optional<bool> taken = takes(std::move(call));
    return taken && *taken ? outputs_[Role::out] : std::vector<std::byte>{};
  }

  void epsilon() {
    if (declared_.epsilon_is_set || like_.has_codes()) return;
    constexpr std::array kTried = {1e-6f, 1e-5f, 1e-3f};
    std::vector<std::byte> first;
    for (const float tried : kTried) {
      const std::vector<std::byte> outputs = outputs_under(tried);
      if (outputs.empty()) return;
      if (first.empty()) first = outputs;
      if (outputs != first) return;
    }
    // Of y = x / sqrt(x^2 + epsilon), where it is a usual one.
    const double x = std::ldexp(1.0, -14);
    const double y = oracle::to_double(oracle::decode(like_.dtype, load_bits(first, like_.dtype, 0)));
    const double own = x * x / (y * y) - x * x;
    constexpr std::array kUsual = {1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8};
    const auto usual =
        std::ranges::find_if(kUsual, [&](double value) { return std::abs(own / value - 1) < 0.05; });
    if (usual == kUsual.end()) {
      found(fmt::format("epsilon: the same outputs under 1e-06, 1e-05 and 0.001; it seems to be {}",
                        std::abs(own) < 1e-8 ? "0" : fmt::format("{:.3g}", own)),
            "");
      return;
    }
    found(fmt::format("epsilon: its own, {:g}, whatever the call says", *usual), "");
    learned_.limits.epsilon_is_set = true;
    learned_.limits.epsilon = static_cast<float>(*usual);
  }

  Target& target_;
  const CallKind& like_;
  const CallLimits declared_;
  const double seconds_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  LearnedLimits learned_;
  std::vector<std::int64_t> taken_, refused_;
  std::optional<std::int64_t> hidden_;
  std::string reason_, first_reason_;
  Outputs outputs_;
};

}  // namespace

LearnedLimits learn_limits(Target& target, const CallKind& like, double seconds) {
  return Learner(target, like, seconds).learn();
}

std::string limits_text(const CallLimits& limits) {
  std::vector<std::string> parts;
  const auto number = [&](const char* name, std::int64_t value) {
    if (value != 0) parts.push_back(fmt::format(".{} = {}", name, value));
  };
  number("hidden_multiple", limits.hidden_multiple);
  number("greatest_hidden", limits.greatest_hidden);
  number("greatest_rank", limits.greatest_rank);
  number("least_rows", limits.least_rows);
  number("greatest_rows", limits.greatest_rows);
  number("alignment", limits.alignment);
  if (limits.contiguous) parts.emplace_back(".contiguous = true");
  if (limits.not_in_place) parts.emplace_back(".not_in_place = true");
  if (limits.epsilon_is_set) parts.push_back(fmt::format(".epsilon = {:g}f", limits.epsilon));
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace normproof
