// How a campaign's result is printed and written.
#pragma once

#include <string>

#include "corpus/json.h"
#include "fuzz/campaign/campaign.h"

namespace normproof {

// kViolationFound, kCouldNotRun where there is a problem or no execution, or
// that of a signal that stopped it.
int exit_code_of(const campaign::CampaignResult& result);
// The closing table for people. Problems are told on standard error, and counted here.
std::string to_text(const campaign::CampaignResult& result);
// For --json.
nlohmann::ordered_json to_json(const campaign::CampaignResult& result);

}  // namespace normproof
