#include "cli/shard.h"

#include <fmt/format.h>

namespace normproof {

std::string to_string(const Shard& shard) { return fmt::format("shard {} of {}", shard.index, shard.count); }

void describe_run(nlohmann::ordered_json& document, const Shard& shard, nlohmann::ordered_json what_is_run) {
  what_is_run["version"] = NORMPROOF_VERSION;
  document["run"] = std::move(what_is_run);
  document["shard"] = {{"index", shard.index}, {"count", shard.count}};
}

std::string folder_of_shard(const std::string& folder, const Shard& shard) {
  return shard.is_whole() ? folder : fmt::format("{}/shard-{}-of-{}", folder, shard.index, shard.count);
}

}  // namespace normproof
