// --shard K/N on the command line.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>

#include "cli/option_values.h"
#include "cli/shard.h"

namespace normproof {
namespace {

// 0 where it is none, or too large.
std::int64_t number_in(std::string_view text) {
  const std::uint64_t number = whole_number(text).value_or(0);
  return number > kMostShards ? 0 : static_cast<std::int64_t>(number);
}

Shard parse_shard(const std::string& text) {
  const std::size_t slash = std::min(text.find('/'), text.size());
  const std::string_view all = text;
  const Shard shard{number_in(all.substr(0, slash)), number_in(all.substr(std::min(slash + 1, all.size())))};
  if (shard.index < 1 || shard.index > shard.count || shard.count > kMostShards) {
    throw CLI::ValidationError("--shard",
                               fmt::format("takes K/N with 1 <= K <= N <= {}, not '{}'", kMostShards, text));
  }
  return shard;
}

}  // namespace

void add_shard_option(CLI::App& command, Shard& shard) {
  command
      .add_option_function<std::string>(
          "--shard", [&shard](const std::string& text) { shard = parse_shard(text); },
          "Run shard K of N; combine the --json results with `merge`")
      ->type_name("K/N");
}

}  // namespace normproof
