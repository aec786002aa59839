// Two kernels side by side on a page: bits, policies, orders of summation, speed.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/certificate_compare.h"
#include "cli/html_report.h"

namespace normproof {

// What `bench --json` measured of one kernel.
struct MeasuredKernel {
  struct Row {
    std::string operation, dtype, mode;
    std::int64_t hidden = 0, tokens = 0;
    double microseconds = 0;
  };
  std::string device, date;
  std::vector<Row> rows;
};
// Throws UsageError where the text is no result of bench.
MeasuredKernel read_measured(std::string_view text, const std::string& name);

struct KernelPair {
  std::array<CertificateRecord, 2> records;
  CertificateComparison found;
  std::array<std::optional<MeasuredKernel>, 2> speed;
};
// A sentence: "the same bits on all of 312 inputs, ...".
std::string conclusion(const KernelPair& pair);
HtmlReport kernel_pair_page(const KernelPair& pair);

}  // namespace normproof
