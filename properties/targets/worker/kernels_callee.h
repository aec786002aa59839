// The production kernels as a callee: a shared library with the C interface of kernels/normproof_kernels.h.
#pragma once

#include <memory>
#include <string>

#include "properties/targets/worker/callee.h"

namespace normproof::worker {

// Adds to the description the operations that the library calls by name. Returns null and says in `problem`
// what is wrong where the library cannot be used.
std::unique_ptr<Callee> load_kernels_callee(const char* path, PluginDescription& description,
                                            std::string& problem);

}  // namespace normproof::worker
