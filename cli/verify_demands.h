// Promises about several calls in a run of verify: what is compared, which
// breach is a violation, how it is said.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cli/verify_run.h"

namespace normproof {

// Compares calls for a small share of the run's time, or for more of it where that is demanded.
PromiseRun run_promises(const VerifyOptions& options, Target& target,
                        const std::vector<Combination>& combinations, Tally& tally);

// A finding for each demanded promise that is broken; the smallest pair of calls is stored as a sequence.
std::vector<Finding> broken_demands(const VerifyOptions& options, const Observations& promises,
                                    const Target& target);

// At the end of a run: says why what was not compared was not, makes each promise a check of the result, and
// names a demand of which nothing was compared among what is unchecked. Of a canonical judge's run without
// demands nothing is compared: there each call that conforms has the bits of the contract.
void conclude_promises(const VerifyOptions& options, VerifyResult& result);

// "bits differ between batch sizes: not seen (in 120 pairs of calls)", one line for each.
std::string promises_text(const Observations& promises);
nlohmann::ordered_json promises_json(const Observations& promises);

}  // namespace normproof
