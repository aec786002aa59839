// HIP lets a function be written twice, for the host and for the device: __host__ int lanes() and __device__
// constexpr int lanes(). On the CPU there is one of them, the device's.
#pragma once

#include <vector>

#include "kernels/host/source_pass/tokens.h"

namespace normproof::source_pass {

// Takes the host's definition out of the file where the device's is in it, with the same name and the same
// parameters; whether there was one.
bool drop_host_overloads(std::vector<Token>& tokens);

}  // namespace normproof::source_pass
