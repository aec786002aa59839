// The kernels' host build behind the device interface: memory of its own in place of a GPU's, copies that
// really copy, and, where NORMPROOF_STAND_IN_FAULT is "FAULT:HIDDEN", a fault in every rms_norm of that
// hidden size.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernels/device/normproof_device.h"

// The C interface once more, with rms_norm under another name, so that the one below can stand before it.
#define normproof_rms_norm faultless_rms_norm
#include "kernels/normproof_kernels.cpp"  // NOLINT(bugprone-suspicious-include)
#undef normproof_rms_norm

namespace {

bool device_is_spoiled = false;  // as after an illegal address

normproof_device_status say(normproof_message message, const char* text, normproof_device_status status) {
  if (message.data != nullptr) std::snprintf(message.data, message.capacity, "%s", text);
  return status;
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

bool fault_is(const char* fault, const normproof_tensor* input) {
  if (input == nullptr || input->rank < 1 || input->rank > 4) return false;
  return environment("NORMPROOF_STAND_IN_FAULT") ==
         std::string(fault) + ":" + std::to_string(input->sizes[input->rank - 1]);
}

std::map<void*, std::size_t>& mappings() {
  static std::map<void*, std::size_t> sizes;
  return sizes;
}

normproof_device_status map_memory(std::size_t bytes, void** address, normproof_message message) {
  void* range =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) return say(message, "stand-in: out of memory", NORMPROOF_DEVICE_OUT_OF_MEMORY);
  mappings()[range] = bytes;
  *address = range;
  return NORMPROOF_DEVICE_OK;
}

normproof_device_status unmap_memory(void* address, normproof_message message) {
  const auto found = mappings().find(address);
  if (found == mappings().end()) return say(message, "stand-in: no such memory", NORMPROOF_DEVICE_FAILED);
  munmap(found->first, found->second);
  mappings().erase(found);
  return NORMPROOF_DEVICE_OK;
}

// As CUDA does: a copy lies in pinned memory, or outside.
std::vector<std::pair<const std::byte*, std::size_t>> pinned;
bool crosses_pinned_memory(const void* host, std::size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(host);
  return std::ranges::any_of(pinned, [&](const auto& range) {
    const std::byte *from = range.first, *to = range.first + range.second;
    const bool touches = begin < to && begin + bytes > from;
    return touches && !(begin >= from && begin + bytes <= to);
  });
}

// A graph of rms_norm: what was enqueued on the stream kGraphStream.
const normproof_stream kGraphStream = &device_is_spoiled;
struct RecordedCall {
  normproof_tensor out, input, weight;
  bool has_weight;
  float epsilon;
  normproof_launch launch;
};
std::vector<RecordedCall> recorded;
bool cannot_be_recorded = false;

}  // namespace

extern "C" {

NORMPROOF_EXPORT normproof_status normproof_rms_norm(const normproof_tensor* out,
                                                     const normproof_tensor* input,
                                                     const normproof_tensor* weight, float epsilon,
                                                     const normproof_launch* launch, normproof_stream stream,
                                                     normproof_launch_report* report,
                                                     normproof_message message) {
  if (fault_is("crash", input)) {
    std::signal(SIGSEGV, SIG_DFL);  // a sanitizer would turn it into an exit
    std::raise(SIGSEGV);
  }
  if (fault_is("exit", input)) std::_Exit(9);
  while (fault_is("hang", input)) usleep(10000);
  if (fault_is("illegal-address", input)) device_is_spoiled = true;
  if (stream == kGraphStream && !fault_is("default-stream", input)) {
    cannot_be_recorded = fault_is("waits", input);
    recorded.push_back({*out, *input, weight != nullptr ? *weight : normproof_tensor{}, weight != nullptr,
                        fault_is("epsilon-of-the-recording", input) ? 0.5f : epsilon,
                        launch != nullptr ? *launch : normproof_launch{}});
    return NORMPROOF_OK;
  }
  const normproof_status status =
      faultless_rms_norm(out, input, weight, epsilon, launch, stream, report, message);
  if (fault_is("wrong-bits", input)) static_cast<char*>(out->data)[0] ^= 1;
  if (fault_is("stray-write", input)) static_cast<char*>(out->data)[-1] ^= 1;
  if (fault_is("input-written", input)) static_cast<char*>(input->data)[0] ^= 1;
  return status;
}

normproof_device_status normproof_device_open(normproof_device_info* info, normproof_message message) {
  const std::string device = environment("NORMPROOF_STAND_IN_DEVICE");
  if (device == "absent") return say(message, "no usable NVIDIA GPU: stand-in", NORMPROOF_DEVICE_ABSENT);
  *info = {};
  std::snprintf(info->name, sizeof info->name, "stand-in");
  std::snprintf(info->driver, sizeof info->driver, "none");
  info->memory_bytes = std::int64_t{1} << 34;
  info->free_bytes = device == "full" ? 1 << 20 : info->memory_bytes;
  return say(message, "", NORMPROOF_DEVICE_OK);
}

normproof_device_status normproof_device_allocate(size_t bytes, void** address, normproof_message message) {
  return map_memory(bytes, address, message);
}
normproof_device_status normproof_device_release(void* address, normproof_message message) {
  return unmap_memory(address, message);
}
normproof_device_status normproof_device_map_sparse(uint64_t bytes, const normproof_device_extent*, size_t,
                                                    void** address, normproof_message message) {
  return map_memory(bytes, address, message);
}
normproof_device_status normproof_device_unmap_sparse(void* address, normproof_message message) {
  return unmap_memory(address, message);
}
normproof_device_status normproof_device_pin(void* host, size_t bytes, normproof_message) {
  pinned.push_back({static_cast<const std::byte*>(host), bytes});
  return NORMPROOF_DEVICE_OK;
}

normproof_device_status normproof_device_copy_in(void* device, const void* host, size_t bytes,
                                                 normproof_message message) {
  if (crosses_pinned_memory(host, bytes))
    return say(message, "stand-in: a copy across the end of pinned memory", NORMPROOF_DEVICE_FAILED);
  std::memcpy(device, host, bytes);
  return say(message, "", NORMPROOF_DEVICE_OK);
}
normproof_device_status normproof_device_copy_out(void* host, const void* device, size_t bytes,
                                                  normproof_message message) {
  if (crosses_pinned_memory(host, bytes))
    return say(message, "stand-in: a copy across the end of pinned memory", NORMPROOF_DEVICE_FAILED);
  std::memcpy(host, device, bytes);
  return say(message, "", NORMPROOF_DEVICE_OK);
}
normproof_device_status normproof_device_synchronize(normproof_message message) {
  if (device_is_spoiled) return say(message, "stand-in: an illegal memory access", NORMPROOF_DEVICE_FAILED);
  return say(message, "", NORMPROOF_DEVICE_OK);
}

normproof_device_status normproof_device_begin_graph(normproof_stream* stream, normproof_message message) {
  recorded.clear();
  cannot_be_recorded = false;
  *stream = kGraphStream;
  return say(message, "", NORMPROOF_DEVICE_OK);
}
normproof_device_status normproof_device_end_graph(void** graph, normproof_message message) {
  *graph = cannot_be_recorded ? nullptr : &recorded;
  return say(message, cannot_be_recorded ? "it cannot be recorded in a CUDA graph: stand-in" : "",
             NORMPROOF_DEVICE_OK);
}
normproof_device_status normproof_device_replay_graph(void*, normproof_message message) {
  for (const RecordedCall& call : recorded)
    faultless_rms_norm(&call.out, &call.input, call.has_weight ? &call.weight : nullptr, call.epsilon,
                       &call.launch, nullptr, nullptr, {});
  return say(message, "", NORMPROOF_DEVICE_OK);
}

}  // extern "C"
