// The production kernels as a callee: a shared library with the C interface of kernels/normproof_kernels.h.
#pragma once

#include <memory>
#include <string>

#include "properties/targets/worker/callee.h"

namespace normproof::worker {

// Returns null and says in `problem` what is wrong where the library cannot be used.
std::unique_ptr<Callee> load_kernels_callee(const char* path, std::string& problem);

}  // namespace normproof::worker
