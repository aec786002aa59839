#include "cli/policy_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "cli/commands.h"

namespace normproof {

std::vector<oracle::Policy> policies_from_list(const std::string& text, std::string_view option) {
  std::vector<oracle::Policy> policies;
  for (std::size_t first = 0; first <= text.size();) {
    const std::size_t comma = std::min(text.find(',', first), text.size());
    std::string part = text.substr(first, comma - first);
    std::ranges::replace(part, '+', ',');
    try {
      policies.push_back(oracle::parse_policy(part));
    } catch (const std::invalid_argument& error) {
      throw UsageError(fmt::format("{}: {}", option, error.what()));
    }
    first = comma + 1;
  }
  return policies;
}

}  // namespace normproof
