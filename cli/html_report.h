// What verify, check and identify write with --html: one page that loads nothing, made of a section per file
// or finding.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cli/given_outputs.h"
#include "cli/verify_run.h"
#include "oracle/verdict.h"
#include "oracle/witness_judge.h"
#include "properties/run/difference_histogram.h"
#include "properties/run/difference_map.h"
#include "properties/run/identify.h"
#include "properties/run/traits.h"

namespace normproof {

// How a page ends up as a file: what was run, its verdict in a few words, and the sections.
struct HtmlReport {
  std::string title;    // text
  std::string verdict;  // text
  bool good = true;
  std::vector<std::string> sections;  // HTML
};
// Throws std::system_error naming the file.
void write_html(const std::string& file, const HtmlReport& report);

// How outputs differ from what a policy says.
struct DifferencePicture {
  DifferenceHistogram histogram;
  DifferenceMap map;
  std::string subject;  // text: which elements, compared with what
};

// A file that `check` judged. `picture` is null where nothing differs; `doubt` is text: why "conforms" says
// little.
std::string check_section(const std::string& file, const GivenOutputs& given,
                          const oracle::WitnessVerdict& verdict, const DifferencePicture* picture,
                          const std::string& doubt);
std::string check_section(const std::string& file, const GivenOutputs& given, const oracle::Verdict& verdict,
                          const DifferencePicture* picture);
// A file that could not be judged.
std::string error_section(const std::string& file, const std::string& error);

// A file of which text says all; `verdict` in a few words.
std::string text_section(const std::string& file, const std::string& verdict, bool good,
                         const std::string& text);

// What `identify` found of a file; `subject` says what was looked at.
std::string identify_section(const std::string& file, const std::string& subject, const Identification& found,
                             const Case& test_case);

// What `identify --target` found: a row per call, the full findings of those that no policy explains, traits.
struct IdentifiedCall {
  std::string call;  // "rms_norm bf16, weight bf16, aligned"
  std::string policy;
  bool identified = true;
  std::string details;  // text, where it was not identified
};
std::string identify_target_section(const std::string& target, std::uint64_t seed,
                                    const std::vector<IdentifiedCall>& calls,
                                    const std::vector<Trait>& traits);

// The result of `verify`.
HtmlReport verify_report(const VerifyOptions& options, const VerifyResult& result);

}  // namespace normproof
