#include "fuzz/related_runs.h"

#include <fmt/format.h>

#include <exception>

#include "fuzz/harness.h"
#include "properties/derived.h"
#include "properties/run/evaluate.h"

namespace normproof::fuzz {
namespace {

CaseFinding ask(const Case& test_case, Relation relation) {
  static Tally tally;
  PropertyContext context{.target = target(), .tally = tally, .operation = {}, .dtype = {}};
  try {
    return relation(test_case, context);
  } catch (const NotTaken&) {
    return CaseFinding::not_applicable();
  } catch (const std::exception& error) {
    return CaseFinding::fails(fmt::format("{}\n", error.what()));
  }
}

bool violates(const Case& test_case) { return evaluate(test_case, target()).violates(); }

}  // namespace

void check_relation(const Case& test_case, Relation relation) {
  const CaseFinding finding = ask(test_case, relation);
  if (finding.kind != CaseFinding::Kind::fails) return;
  const bool shown_by_related = finding.related && !violates(test_case) && violates(*finding.related);
  report_finding(shown_by_related ? *finding.related : test_case, finding.message);
}

}  // namespace normproof::fuzz
