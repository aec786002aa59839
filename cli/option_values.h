// The values of options, read strictly: a number says what it looks like, an empty value is none.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string_view>

namespace normproof {

// Decimal digits alone, leading zeros among them: no sign, no blank, no other base, nothing above 2^64 - 1.
std::optional<std::uint64_t> whole_number(std::string_view text);

// Has every option of the command refuse an empty value and, where it takes a number, whatever is none that
// its type can hold: with the library alone "nan" is within each range, "-1" is a large seed, "010" is 8.
void read_values_strictly(CLI::App& command);

}  // namespace normproof
