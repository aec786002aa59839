// What hosted_test.cpp calls: kernels in the words of CUDA, with what they computed.
#pragma once

#include <string>
#include <vector>

#define VOCABULARY __attribute__((visibility("default")))

struct Outcome {
  int error = 0;              // a cudaError_t
  std::string message;        // cudaGetErrorString
  std::vector<float> values;  // what the kernel wrote
};

// Block of `threads`, which have the values 1, 2, 3, ...; the sum of the first `valid`.
VOCABULARY Outcome cub_block_sum(int threads, int valid);
// Sums of the values 0, 1, 2, ... over logical warps of 16 lanes, as lane 0 has them.
VOCABULARY Outcome cub_warp_sums();
// Over tiles of 8: sum and maximum of the values 0 .. 31, in every thread.
VOCABULARY Outcome tile_sums();
// Shared variables of many forms.
VOCABULARY Outcome shared_forms();
// Arrays of dynamic shared memory, declared inside and outside of a function, with so many bytes by this way
// of launching.
enum class Way { brackets, launch_kernel, launch_kernel_ex };
VOCABULARY Outcome dynamic_shared(int bytes, Way way, bool ask_first);
VOCABULARY Outcome cooperative_launch();
// A float4 read from so many floats above an aligned address, in several ways; then a 1 is written behind a
// barrier.
enum class Access { member, copy, c_cast, word };
VOCABULARY Outcome misaligned(int offset, Access access);
VOCABULARY Outcome null_pointer();
// Barriers in a branch.
VOCABULARY Outcome divergent();
// Arguments that a kernel's parameters convert, once for all threads.
VOCABULARY Outcome converted_arguments();
