#include "fuzz/related_runs.h"

#include <fmt/format.h>

#include <exception>

#include "fuzz/harness.h"
#include "properties/derived.h"

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

}  // namespace

void check_relation(const Case& test_case, Relation relation) {
  const CaseFinding finding = ask(test_case, relation);
  if (finding.kind != CaseFinding::Kind::fails) return;
  // What a run shows by itself needs no other run to be shown, and is the same bug whoever finds it.
  check_conformance(test_case);
  if (finding.related) check_conformance(*finding.related);
  report_finding(test_case, finding.message);
}

}  // namespace normproof::fuzz
