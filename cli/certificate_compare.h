// Whether two execution certificates speak of the same bits and, if not, what differs.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/certificate_record.h"
#include "corpus/case.h"

namespace normproof {

// One thing in which the two differ.
struct Difference {
  std::string cause;  // "policy", "order", "root", "bug", "unknown"
  std::string text;
  std::optional<Case> example;  // the smallest input known to show it, of one row
};

// An element of a short row, whose outputs both hold.
struct ComparedElement {
  Case row_of;        // the row, as a case of its own
  std::string input;  // of which it is
  Role role = Role::out;
  std::int64_t row = 0, column = 0;
  std::array<std::uint32_t, 2> bits{};
  // Between which bits an output lies that follows that side's own policy, in any order of summation; nothing
  // where no policy is known.
  std::array<std::optional<std::array<std::uint32_t, 2>>, 2> allowed;
};
struct ComparedKind {
  CallKind kind;
  std::int64_t inputs = 0, rows = 0, different_rows = 0;
  std::optional<ComparedElement> element;  // the first that differs; nothing where long rows alone differ
};

struct CertificateComparison {
  std::int64_t inputs = 0, rows = 0;  // that both have outputs of
  std::int64_t different_inputs = 0, different_rows = 0;
  std::int64_t orders = 0;              // that both have certified
  std::vector<Difference> differences;  // one for each kind of call and cause
  std::vector<ComparedKind> kinds;      // what was compared of operations of cases, in the order of the first
  // Of the above: of judged operations.
  std::int64_t judged_inputs = 0, judged_rows = 0, judged_different_rows = 0;
  std::vector<std::string> not_compared;
  bool same() const { return different_rows == 0 && differences.empty(); }
};

// Throws UsageError where the two have no input in common.
CertificateComparison compare_certificates(const CertificateRecord& first, const CertificateRecord& second);

}  // namespace normproof
