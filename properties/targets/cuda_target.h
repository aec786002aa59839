// The target "cuda": the production kernels on an NVIDIA GPU, in a worker process.
#pragma once

#include <memory>

#include "properties/targets/rounds.h"
#include "properties/targets/target.h"

namespace normproof {

// normproof-worker beside this program, or where NORMPROOF_WORKER says; libkernels_cuda.so beside it, or
// where NORMPROOF_KERNELS_CUDA says; patience NORMPROOF_PATIENCE in seconds.
WorkerSettings default_worker_settings();

// Starts the worker. Throws TargetError where there is no GPU, no driver, or too little memory.
std::unique_ptr<Target> make_cuda_target(const WorkerSettings& settings);

}  // namespace normproof
