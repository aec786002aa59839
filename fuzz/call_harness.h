// What the harness of calls by name and its hooks share.
#pragma once

#include "fuzz/call_form.h"

namespace normproof::fuzz {

// Small calls of every operation that the table has.
const CallSpace& call_space();

}  // namespace normproof::fuzz
