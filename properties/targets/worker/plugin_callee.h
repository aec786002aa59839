// A plug-in as a callee: a shared library with the one symbol of properties/plugin/normproof_plugin.h.
#pragma once

#include <memory>
#include <string>

#include "properties/targets/worker/callee.h"

namespace normproof::worker {

// Fills in what the library says of itself. Returns null and says in `problem` what is wrong where the
// library cannot be used.
std::unique_ptr<Callee> load_plugin_callee(const char* path, PluginDescription& description,
                                           std::string& problem);

}  // namespace normproof::worker
