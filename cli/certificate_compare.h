// Whether two execution certificates speak of the same bits and, if not, what differs.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"

namespace normproof {

// One thing in which the two differ.
struct Difference {
  std::string cause;  // "policy", "order", "root", "bug", "unknown"
  std::string text;
  std::optional<Case> example;  // the smallest input known to show it, of one row
};

struct CertificateComparison {
  std::int64_t inputs = 0, rows = 0;  // that both have outputs of
  std::int64_t different_inputs = 0, different_rows = 0;
  std::int64_t orders = 0;              // that both have certified
  std::vector<Difference> differences;  // one for each kind of call and cause
  std::vector<std::string> not_compared;
  bool same() const { return different_rows == 0 && differences.empty(); }
};

// Reads and compares. Throws UsageError where a text is no certificate, or the two have no input in common.
CertificateComparison compare_certificates(std::string_view first, const std::string& first_name,
                                           std::string_view second, const std::string& second_name);

}  // namespace normproof
