// How outputs differ from what they should be, as HTML: certificates, elements, plots.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "oracle/certificate.h"
#include "oracle/verdict.h"
#include "properties/judging/difference_histogram.h"
#include "properties/judging/difference_map.h"

namespace normproof {

// How outputs differ from what a policy says.
struct DifferencePicture {
  DifferenceHistogram histogram;
  DifferenceMap map;
  std::string subject;  // text: which elements, compared with what
};

// Text as code.
std::string code_html(std::string_view text);
std::string certificate_html(const oracle::Certificate& certificate, const oracle::Formula& formula);
// A row of the table for each; empty without any.
std::string mismatches_html(const std::vector<oracle::Mismatch>& mismatches);
// How far elements are off, which rows are worst, and where they are: by row and column, and by the place of
// the column in a vector, a warp and a block of threads.
std::string picture_html(const DifferencePicture& picture, DType dtype);

}  // namespace normproof
