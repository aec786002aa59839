// A worker that is no process: a plug-in whose CUDA threads run on the CPU, called by this one. For fuzzers,
// whose instrumentation and sanitizer then see into the kernel, and which have a process of their own anyway.
#pragma once

#include <filesystem>
#include <memory>

#include "properties/targets/worker.h"

namespace normproof {

// Whether the library is one of normproof_add_cuda_host_target(). Looks into the file and does not load it.
bool is_host_executed(const std::filesystem::path& library);

// Loads the library for as long as the program runs. start() throws TargetError where it is no plug-in.
std::unique_ptr<Worker> make_in_process_worker(const std::filesystem::path& library);

}  // namespace normproof
