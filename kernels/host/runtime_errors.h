// What went wrong in the calls of the CUDA runtime that an OS thread made.
#ifndef NORMPROOF_KERNELS_HOST_RUNTIME_ERRORS_H
#define NORMPROOF_KERNELS_HOST_RUNTIME_ERRORS_H

#include <string>

namespace normproof::host {

// The first launch of the calling OS thread that failed since forget_launch_failure(); empty where none did.
const std::string& launch_failure();
// Forgets it, and what cudaGetLastError() would say.
void forget_launch_failure();

}  // namespace normproof::host

#endif
