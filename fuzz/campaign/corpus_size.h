// The corpora of all fuzzers together stay as small as a repository and every test run can bear.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace normproof::campaign {

struct CorpusSize {
  std::int64_t inputs = 0;
  std::int64_t bytes = 0;
};
inline constexpr CorpusSize kLargestCorpora{.inputs = 1999, .bytes = 2'000'000};

// Removes inputs until all folders together hold at most `most`. A folder that needs little keeps all of its
// inputs, the others share evenly what is left; in each the largest inputs go.
void bound_corpora(const std::vector<std::filesystem::path>& folders, const CorpusSize& most);

}  // namespace normproof::campaign
