// Does a stored finding show again in a fresh process, as who replays it has one?
#pragma once

#include <vector>

#include "cli/finding.h"
#include "corpus/case.h"
#include "properties/targets/target.h"

namespace normproof {

// Runs the finding's replay command. Where it finds nothing, tries the same call many times over, then
// `before`, the calls that were made last, and then the call; what shows it is stored beside the repro as a
// sequence, and its replay is what is printed. Where nothing does, the finding says so.
void reproduce(Finding& finding, const std::vector<Case>& before, const Target& target);

}  // namespace normproof
