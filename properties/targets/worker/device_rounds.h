// Rounds of calls on tensors in the memory of a device.
#pragma once

#include <memory>
#include <string>

#include "properties/targets/worker/callee.h"

namespace normproof::worker {

// The functions of kernels/device/normproof_device.h, from a shared library.
struct DeviceFunctions {
  decltype(&normproof_device_open) open = nullptr;
  decltype(&normproof_device_allocate) allocate = nullptr;
  decltype(&normproof_device_release) release = nullptr;
  decltype(&normproof_device_map_sparse) map_sparse = nullptr;
  decltype(&normproof_device_unmap_sparse) unmap_sparse = nullptr;
  decltype(&normproof_device_pin) pin = nullptr;
  decltype(&normproof_device_copy_in) copy_in = nullptr;
  decltype(&normproof_device_copy_out) copy_out = nullptr;
  decltype(&normproof_device_synchronize) synchronize = nullptr;
  decltype(&normproof_device_begin_graph) begin_graph = nullptr;
  decltype(&normproof_device_end_graph) end_graph = nullptr;
  decltype(&normproof_device_replay_graph) replay_graph = nullptr;
};
// Returns what is wrong, or an empty string.
std::string load_device_functions(const char* path, DeviceFunctions& functions);

// Copies a round's tensors to the device and back. The callee must outlive what is returned.
std::unique_ptr<Rounds> make_device_rounds(const DeviceFunctions& functions, Callee& callee);

}  // namespace normproof::worker
