// --shard K/N, and what a result says about the run that it is a part of, so
// that `merge` can unite the parts.
#pragma once

#include <string>

#include "corpus/json.h"
#include "corpus/shard.h"

namespace CLI {
class App;
}

namespace normproof {

inline constexpr std::int64_t kMostShards = 100'000;

void add_shard_option(CLI::App& command, Shard& shard);

// "shard 2 of 4", for people.
std::string to_string(const Shard& shard);

// Adds `shard` and `run` to a result. `run` must be the same in all parts: this program's version, and of
// `what_is_run` everything that decides what the run consists of.
void describe_run(nlohmann::ordered_json& document, const Shard& shard, nlohmann::ordered_json what_is_run);

// Below FOLDER, a folder of the shard's own; FOLDER for a whole run. Shards may share a file system.
std::string folder_of_shard(const std::string& folder, const Shard& shard);

}  // namespace normproof
