// What verify, check and identify write with --html: one page that loads nothing, made of a section per file
// or finding.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cli/given_outputs.h"
#include "cli/html_differences.h"
#include "cli/verify_run.h"
#include "oracle/verdict.h"
#include "oracle/witness_judge.h"
#include "properties/detective/identify.h"
#include "properties/detective/traits.h"

namespace normproof {

// A part of a page. Without a title it has no heading, and no place in the table of contents.
struct HtmlSection {
  std::string title{};    // text
  std::string verdict{};  // text, beside the title
  bool good = true;
  std::string html{};
  std::vector<std::string> summary{};  // HTML: its cells in the page's summary, after its title
};

// How a page ends up as a file: what was run, its verdict in a few words, and the sections.
struct HtmlReport {
  std::string title;        // text
  std::string verdict;      // text
  std::string diagnosis{};  // text: a sentence that says what it comes to
  bool good = true;
  std::vector<HtmlSection> sections{};
  std::vector<std::string> summary_head{};  // over the cells of the sections; empty: the contents are a list
};
// Throws std::system_error naming the file.
void write_html(const std::string& file, const HtmlReport& report);

// A file that `check` judged. `picture` is null where nothing differs. Text: `remark`, why "conforms" says
// little, or what the violation is.
HtmlSection check_section(const std::string& file, const GivenOutputs& given,
                          const oracle::WitnessVerdict& verdict, const DifferencePicture* picture,
                          const std::string& remark);
HtmlSection check_section(const std::string& file, const GivenOutputs& given, const oracle::Verdict& verdict,
                          const DifferencePicture* picture);
// A case that violates on a target.
HtmlSection finding_section(const std::string& target, const Judging& judging, const Finding& finding);
// The head of the summary of such files.
std::vector<std::string> check_summary_head();
// A file that could not be judged.
HtmlSection error_section(const std::string& file, const std::string& error);

// A file of which text says all; `verdict` in a few words.
HtmlSection text_section(const std::string& file, const std::string& verdict, bool good,
                         const std::string& text);

// What `identify` found of a file; `subject` says what was looked at.
HtmlSection identify_section(const std::string& file, const std::string& subject, const Identification& found,
                             const Case& test_case);

// What `identify --target` found: a row per call, the full findings of those that no policy explains, traits.
struct IdentifiedCall {
  std::string call;  // "rms_norm bf16, weight bf16, aligned"
  std::string policy;
  bool identified = true;
  std::string details;  // text, where it was not identified
};
HtmlSection identify_target_section(const std::string& target, std::uint64_t seed,
                                    const std::vector<IdentifiedCall>& calls,
                                    const std::vector<Trait>& traits);

// The result of `verify`.
HtmlReport verify_report(const VerifyOptions& options, const VerifyResult& result);

}  // namespace normproof
