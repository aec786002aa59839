// The results of mutants' shards as the matrix of the whole run.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/merge.h"
#include "cli/mutants_result.h"
#include "corpus/json.h"
#include "corpus/json_text.h"

namespace normproof {
namespace {

// What a part says of itself is what its cells say.
void require_its_summary(const ResultPart& part, const matrix::Matrix& matrix) {
  const auto summary = nlohmann::ordered_json::parse(matrix::to_json_text(matrix)).at("summary");
  for (const auto& item : summary.items()) {
    const auto& stated = part.fields().fields("summary").at(item.key().c_str());
    if (stated != item.value())
      part.fields().refuse(
          fmt::format("{} is {}, its cells say {}", item.key(), stated.dump(), item.value().dump()));
  }
}

}  // namespace

int exit_code_of(const matrix::Matrix& matrix) {
  const matrix::Summary summary = matrix::summarize(matrix);
  if (summary.not_run > 0) return kCouldNotRun;
  const bool good = summary.survivors.empty() && summary.false_alarms.value_or(0) == 0 &&
                    summary.repros_refuted == 0 && summary.failing_on_target.empty();
  return good ? kAllGood : kViolationFound;
}

Merged merge_mutants(const std::vector<ResultPart>& parts) {
  std::vector<matrix::Matrix> matrices;
  for (const ResultPart& part : parts) {
    try {
      matrices.push_back(matrix::matrix_from_json(part.document));
    } catch (const std::exception& error) {
      part.fields().refuse(error.what());
    }
    require_its_summary(part, matrices.back());
  }
  // Row by row as a whole run has them: the shards took them in turn.
  matrix::Matrix all;
  all.checks = matrices.front().checks;
  all.all_rows = static_cast<std::size_t>(parts.front().fields().fields("run").count("rows"));
  for (std::size_t turn = 0; all.rows.size() < all.all_rows; ++turn) {
    const std::size_t before = all.rows.size();
    for (matrix::Matrix& matrix : matrices)
      if (turn < matrix.rows.size()) all.rows.push_back(std::move(matrix.rows[turn]));
    if (all.rows.size() == before) break;
  }
  if (all.rows.size() != all.all_rows) {
    throw UsageError(fmt::format("corrupt result file: {} rows of {}", all.rows.size(), all.all_rows));
  }
  for (const matrix::Matrix& matrix : matrices) all.seconds = std::max(all.seconds, matrix.seconds);
  auto document = nlohmann::ordered_json::parse(matrix::to_json_text(all));
  describe_merged_run(document, parts);
  Merged merged{exit_code_of(all), matrix::to_text(all), {}, json_text(document, 1) + "\n", {}};
  merged.whole = std::move(all);
  return merged;
}

}  // namespace normproof
