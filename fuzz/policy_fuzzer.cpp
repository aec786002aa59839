// The text of a policy is read back as the same policy, or refused with a reason; and a policy is the sum of
// its axes' values, of which there are no others.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "oracle/policy_rows.h"

namespace {

using namespace normproof::oracle;

bool refuses(const auto& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return *error.what() != '\0';
  }
  return false;
}

// Whether the policy is made again from nothing but its values on the axes.
bool is_sum_of_axes(const Policy& policy) {
  Policy again;
  again.inverse_root = policy.inverse_root;
  for (std::size_t axis = 0; axis < policy_axes().size(); ++axis) {
    const std::size_t values = policy_axes()[axis].values.size();
    if (!refuses([&] { with_axis_value(policy, axis, values); })) return false;
    again = with_axis_value(again, axis, axis_value(policy, axis));
  }
  return again == policy && refuses([&] { axis_value(policy, policy_axes().size()); }) &&
         refuses([] { row_of(static_cast<SumPolicy>(200)); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const bool names_are_right = std::ranges::all_of(named_policies(), [](const NamedPolicy& named) {
    return parse_policy(named.name) == parse_policy(named.text);
  });
  if (!names_are_right) std::abort();
  try {
    const Policy policy = parse_policy(text);
    if (parse_policy(to_string(policy)) == policy && is_sum_of_axes(policy)) return 0;
    fmt::print(stderr, "\"{}\" became another policy on its way: {}\n", text, to_string(policy));
  } catch (const std::invalid_argument& error) {
    if (*error.what() != '\0') return 0;
    fmt::print(stderr, "\"{}\" was refused without a reason\n", text);
  }
  std::abort();
}
