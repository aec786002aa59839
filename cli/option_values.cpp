// Checks that come before those of each option.
#include "cli/option_values.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <charconv>
#include <cmath>
#include <limits>
#include <string>

#include "corpus/message_text.h"

namespace normproof {
namespace {

constexpr std::uint64_t kMostSigned = std::numeric_limits<std::int64_t>::max();

bool is_number(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(number);
}

// What is wrong with a value of an option of that type; empty where nothing is. Takes leading zeros away, in
// which the library sees another base.
std::string objection(const std::string& type, std::string& value) {
  if (value.empty()) return "takes a value, not ''";
  if (type.starts_with("FLOAT"))
    return is_number(value) ? "" : fmt::format("takes a number, not '{}'", shortened(value));
  const bool is_unsigned = type.starts_with("UINT");
  if (!is_unsigned && !type.starts_with("INT")) return {};
  const std::uint64_t most = is_unsigned ? std::numeric_limits<std::uint64_t>::max() : kMostSigned;
  const auto number = whole_number(value);
  if (!number || *number > most)
    return fmt::format("takes a whole number from 0 to {}, not '{}'", most, shortened(value));
  value = std::to_string(*number);
  return {};
}

}  // namespace

std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

void read_values_strictly(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    if (option->get_items_expected_max() == 0) continue;  // a flag
    const std::string type = option->get_type_name();
    // First of all checks.
    option->transform(CLI::Validator([type](std::string& value) { return objection(type, value); }, ""));
  }
}

}  // namespace normproof
