// A target from a shared library that somebody else has built: properties/plugin/normproof_plugin.h.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "properties/targets/target.h"
#include "properties/targets/worker_process.h"

namespace normproof {

// Whether a target's name is the path of a shared library: it has a '/' or ends in ".so".
bool names_a_plugin(std::string_view target_name);

// What the plug-in does not take of the case, by its own description; empty where it takes it.
std::string what_is_not_taken(const worker::PluginDescription& plugin, const Case& test_case);

// The worker beside this program, or where NORMPROOF_WORKER says; patience NORMPROOF_PATIENCE in seconds;
// memory NORMPROOF_MEMORY in MiB; device memory by libkernels_cuda.so beside it, or where
// NORMPROOF_KERNELS_CUDA says. Throws TargetError naming the variable that makes no sense.
WorkerSettings plugin_worker_settings(std::string_view library);

// Calls the library in processes of their own (but see in_process_worker.h), one per calling thread. What a
// call does to its process, or to other calls that went there with it, is blamed on nobody else. `name` is
// how the user called it. Throws TargetError where the library is none, is not a plug-in, has another ABI, or
// prints, exits or hangs while it is loaded.
std::unique_ptr<Target> make_plugin_target(std::string_view name, const WorkerSettings& settings);

}  // namespace normproof
