#include "fuzz/campaign/corpus_size.h"

#include <algorithm>
#include <limits>
#include <system_error>
#include <utility>

namespace normproof::campaign {
namespace {

using std::filesystem::path;

struct Input {
  std::int64_t bytes = 0;
  path file;
  friend auto operator<=>(const Input&, const Input&) = default;
};

// The largest share such that everyone gets the smaller of it and their need, within the budget.
std::int64_t share_of(std::vector<std::int64_t> needs, std::int64_t budget) {
  std::ranges::sort(needs);
  auto left = static_cast<std::int64_t>(needs.size());
  for (const std::int64_t need : needs) {
    if (need > budget / left) return budget / left;
    budget -= need;
    --left;
  }
  return std::numeric_limits<std::int64_t>::max();
}

// The inputs of a folder, the smallest first.
std::vector<Input> inputs_in(const path& folder) {
  std::vector<Input> inputs;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.is_regular_file(error))
      inputs.push_back({static_cast<std::int64_t>(entry.file_size(error)), entry.path()});
  }
  std::ranges::sort(inputs);
  return inputs;
}

}  // namespace

void bound_corpora(const std::vector<path>& folders, const CorpusSize& most) {
  std::vector<std::vector<Input>> corpora;
  std::vector<std::int64_t> needs;
  for (const path& folder : folders) {
    corpora.push_back(inputs_in(folder));
    needs.push_back(static_cast<std::int64_t>(corpora.back().size()));
  }
  const auto inputs = static_cast<std::size_t>(share_of(std::move(needs), most.inputs));
  needs.clear();
  for (const auto& corpus : corpora) {
    needs.push_back(0);
    for (std::size_t i = 0; i < std::min(inputs, corpus.size()); ++i) needs.back() += corpus[i].bytes;
  }
  const std::int64_t bytes = share_of(std::move(needs), most.bytes);
  for (const auto& corpus : corpora) {
    std::int64_t used = 0;
    for (std::size_t i = 0; i < corpus.size(); ++i) {
      used += corpus[i].bytes;
      if (i >= inputs || used > bytes) std::filesystem::remove(corpus[i].file);
    }
  }
}

}  // namespace normproof::campaign
