// A target that runs every case on two targets and demands the same bits of both.
#pragma once

#include <memory>

#include "properties/targets/target.h"

namespace normproof {

// The results are those of `first`, and so is who judges them; where the outputs of `second` differ, the
// result says so.
std::unique_ptr<Target> make_compared_target(std::unique_ptr<Target> first, std::unique_ptr<Target> second);

}  // namespace normproof
