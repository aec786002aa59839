// Rounds of calls on tensors in ordinary memory: what is shared with the program, in place.
#pragma once

#include <memory>

#include "properties/targets/worker/callee.h"

namespace normproof::worker {

// The callee must outlive what is returned.
std::unique_ptr<Rounds> make_host_rounds(Callee& callee);

}  // namespace normproof::worker
