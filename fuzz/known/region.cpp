#include "fuzz/known/region.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <cstdint>

#include "corpus/generate.h"

namespace normproof {
namespace {

// "0", "1", "2", "3 to 4", "5 to 8", ...
std::string size_class(std::int64_t size) {
  if (size <= 2) return std::to_string(size);
  const std::uint64_t most = std::bit_ceil(static_cast<std::uint64_t>(size));
  return fmt::format("{} to {}", most / 2 + 1, most);
}

std::map<std::string, std::string> traits_of(const Case& test_case) {
  const auto name = [](const std::optional<DType>& dtype) {
    return dtype ? std::string(name_of(*dtype)) : std::string("none");
  };
  const KernelPath path = test_case.launch.path;
  return {{"operation", std::string(name_of(test_case.operation))},
          {"dtype", name(test_case.dtype)},
          {"weight", name(test_case.weight_dtype)},
          {"out", test_case.has_codes() ? name(test_case.output_dtype()) : "none"},
          {"rows", size_class(test_case.rows())},
          {"hidden size", size_class(test_case.hidden_size())},
          {"path", path == KernelPath::automatic    ? "automatic"
                   : path == KernelPath::vectorized ? "vectorized"
                                                    : "scalar"},
          {"vectors", vectorizable(test_case) ? "possible" : "impossible"},
          {"in place", test_case.in_place ? "yes" : "no"}};
}

}  // namespace

void Region::add(const Case& test_case) {
  for (const auto& [trait, value] : traits_of(test_case)) values_[trait].insert(value);
}

bool Region::holds(const Case& test_case) const {
  if (empty()) return false;
  for (const auto& [trait, value] : traits_of(test_case)) {
    const auto seen = values_.find(trait);
    if (seen == values_.end() || !seen->second.contains(value)) return false;
  }
  return true;
}

std::string Region::to_text() const {
  std::string text;
  for (const auto& [trait, values] : values_)
    text += fmt::format("{}{} {}", text.empty() ? "" : "; ", trait, fmt::join(values, ", "));
  return text;
}

nlohmann::ordered_json Region::to_json() const { return values_; }

Region Region::from_json(const nlohmann::ordered_json& document) {
  Region region;
  region.values_ = document.get<decltype(region.values_)>();
  return region;
}

}  // namespace normproof
