// The binary form of a call by name, for coverage-guided fuzzers: any bytes are a call of the space, so no
// mutation of bytes is in vain. A header says the form, the places and the numbers; then the inputs follow as
// they lie in memory, zeros where bytes are missing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "fuzz/call_form.h"

namespace normproof::fuzz {

Call call_from_bytes(std::span<const std::uint8_t> bytes, const CallSpace& space);
// Nothing for a call that is not of the space, or lies where the form has no words for.
std::optional<std::vector<std::uint8_t>> call_to_bytes(const Call& call, const CallSpace& space);

}  // namespace normproof::fuzz
