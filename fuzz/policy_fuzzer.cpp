// The text of a policy is read back as the same policy, or refused with a reason.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "oracle/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace normproof::oracle;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Policy policy = parse_policy(text);
    if (parse_policy(to_string(policy)) == policy) return 0;
    fmt::print(stderr, "\"{}\" became another policy on its way: {}\n", text, to_string(policy));
  } catch (const std::invalid_argument& error) {
    if (*error.what() != '\0') return 0;
    fmt::print(stderr, "\"{}\" was refused without a reason\n", text);
  }
  std::abort();
}
