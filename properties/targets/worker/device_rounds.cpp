#include "properties/targets/worker/device_rounds.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "properties/targets/shared_library.h"

namespace normproof::worker {
namespace {

class DeviceRounds final : public Rounds {
 public:
  DeviceRounds(const DeviceFunctions& functions, Callee& callee) : library_(functions), callee_(callee) {}

  normproof_device_status carry_out(Round& round, std::byte* data) override {
    return attempt(round, data, {round.message, sizeof round.message});
  }

 private:
  normproof_device_status attempt(Round& round, std::byte* data, normproof_message message) {
    if (const auto status = reserve(round.data_bytes, message)) return status;
    if (const auto status = copy_in(device_, data, 0, round.data_bytes, message)) return status;
    for (round.current_call = 0; round.current_call < round.calls; ++round.current_call) {
      Call& call = round.call[round.current_call];
      Addresses addresses{};
      if (const auto status = place(round, call, addresses, message)) return status;
      if (call.in_graph == 0) {
        callee_.invoke(call, addresses);
      } else if (const auto status = invoke_in_graph(round, call, addresses, message)) {
        return status;
      }
      if (const auto status = take_back(round, call, addresses, message)) return status;
    }
    // Copying back only what a device in good order has computed keeps the arena as it was after a failure.
    if (const auto status = library_.synchronize(message)) return status;
    const std::size_t pinned = std::min<std::size_t>(round.data_bytes, kPinnedBytes);
    if (const auto status = library_.copy_out(data, device_, pinned, message)) return status;
    if (pinned < round.data_bytes) {
      if (const auto status =
              library_.copy_out(data + pinned, device_ + pinned, round.data_bytes - pinned, message))
        return status;
    }
    return library_.synchronize(message);
  }

  // Bytes of an arena's data from `offset` on, in two pieces where they reach across the end of its pinned
  // memory, which one copy must not.
  normproof_device_status copy_in(std::byte* device, const std::byte* data, std::size_t offset,
                                  std::size_t bytes, normproof_message message) {
    const std::size_t first = offset < kPinnedBytes ? std::min(bytes, kPinnedBytes - offset) : bytes;
    if (const auto status = library_.copy_in(device, data + offset, first, message)) return status;
    if (first == bytes) return NORMPROOF_DEVICE_OK;
    return library_.copy_in(device + first, data + offset + first, bytes - first, message);
  }

  // Records the call while its tensors are zeros, so that whatever it reads then is not what it has to read,
  // and replays it on the data. The first call, which is not recorded, loads the kernel.
  normproof_device_status invoke_in_graph(const Round& round, Call& call, const Addresses& addresses,
                                          normproof_message message) {
    if (const auto status = write_tensors(round, call, addresses, true, message)) return status;
    const Call asked = call;
    callee_.invoke(call, addresses);
    if (!was_carried_out(call)) return write_tensors(round, call, addresses, false, message);
    call = asked;
    normproof_stream stream = nullptr;
    if (const auto status = library_.begin_graph(&stream, message)) return status;
    call.stream = reinterpret_cast<std::uintptr_t>(stream);
    callee_.invoke(call, addresses);
    void* graph = nullptr;
    if (const auto status = library_.end_graph(&graph, message)) return status;
    if (graph == nullptr) {
      call.status = NORMPROOF_LAUNCH_FAILED;
      call.plugin_answer = PluginAnswer::failed;
      std::snprintf(call.message, sizeof call.message, "%s", message.data);
    }
    if (const auto status = write_tensors(round, call, addresses, false, message)) return status;
    return graph == nullptr ? NORMPROOF_DEVICE_OK : library_.replay_graph(graph, message);
  }

  static bool was_carried_out(const Call& call) {
    return call.status == NORMPROOF_OK && call.plugin_answer == PluginAnswer::completed;
  }

  // Gives the call's tensors, with the memory around them, the round's data, or zeros.
  normproof_device_status write_tensors(const Round& round, const Call& call, const Addresses& addresses,
                                        bool zeros, normproof_message message) {
    const std::byte* data = reinterpret_cast<const std::byte*>(&round) + kDataOffset;
    const auto write = [&](std::byte* device, std::size_t offset, std::size_t bytes) {
      if (!zeros) return copy_in(device, data, offset, bytes, message);
      const std::vector<std::byte> nothing(bytes);
      const auto status = library_.copy_in(device, nothing.data(), bytes, message);
      return status != NORMPROOF_DEVICE_OK ? status : library_.synchronize(message);
    };
    for (std::uint32_t i = 0; i < call.regions; ++i) {
      const Region& region = call.region[i];
      if (region.extents == 0) {
        if (const auto status = write(addresses[i], region.data_offset, region.bytes)) return status;
      }
      for (std::uint32_t k = 0; k < region.extents; ++k) {
        const Extent& extent = round.extent[region.first_extent + k];
        if (const auto status =
                write(addresses[i] + extent.piece.offset, extent.data_offset, extent.piece.bytes))
          return status;
      }
    }
    return NORMPROOF_DEVICE_OK;
  }

  // The device's mirror of an arena's data.
  normproof_device_status reserve(std::size_t bytes, normproof_message message) {
    if (bytes <= capacity_) return NORMPROOF_DEVICE_OK;
    if (device_ != nullptr) {
      if (const auto status = library_.release(device_, message)) return status;
      device_ = nullptr;
      capacity_ = 0;
    }
    const std::size_t wanted = bytes < kPinnedBytes ? kPinnedBytes : bytes;
    void* address = nullptr;
    if (const auto status = library_.allocate(wanted, &address, message)) return status;
    device_ = static_cast<std::byte*>(address);
    capacity_ = wanted;
    return NORMPROOF_DEVICE_OK;
  }

  normproof_device_status place(const Round& round, const Call& call, Addresses& addresses,
                                normproof_message message) {
    for (std::uint32_t i = 0; i < call.regions; ++i) {
      const Region& region = call.region[i];
      if (region.extents == 0) {
        addresses[i] = device_ + region.data_offset;
        continue;
      }
      std::vector<normproof_device_extent> pieces;
      for (std::uint32_t k = 0; k < region.extents; ++k)
        pieces.push_back(round.extent[region.first_extent + k].piece);
      void* address = nullptr;
      if (const auto status =
              library_.map_sparse(region.bytes, pieces.data(), pieces.size(), &address, message))
        return status;
      addresses[i] = static_cast<std::byte*>(address);
      // The packed pieces are on the device already; they pass through the host all the same, which is simple
      // and rare.
      for (std::uint32_t k = 0; k < region.extents; ++k) {
        const Extent& extent = round.extent[region.first_extent + k];
        const std::byte* data = reinterpret_cast<const std::byte*>(&round) + kDataOffset;
        if (const auto status = copy_in(addresses[i] + extent.piece.offset, data, extent.data_offset,
                                        extent.piece.bytes, message))
          return status;
      }
    }
    return NORMPROOF_DEVICE_OK;
  }

  // Sparse regions end with their call: their pieces go to the mirror, from
  // where the round's copy fetches them.
  normproof_device_status take_back(Round& round, const Call& call, const Addresses& addresses,
                                    normproof_message message) {
    bool waited = false;
    for (std::uint32_t i = 0; i < call.regions; ++i) {
      const Region& region = call.region[i];
      if (region.extents == 0) continue;
      if (!waited) {
        if (const auto status = library_.synchronize(message)) return status;
        waited = true;
      }
      for (std::uint32_t k = 0; k < region.extents; ++k) {
        const Extent& extent = round.extent[region.first_extent + k];
        std::vector<std::byte> piece(extent.piece.bytes);
        if (const auto status =
                library_.copy_out(piece.data(), addresses[i] + extent.piece.offset, piece.size(), message))
          return status;
        if (const auto status = library_.synchronize(message)) return status;
        if (const auto status =
                library_.copy_in(device_ + extent.data_offset, piece.data(), piece.size(), message))
          return status;
        if (const auto status = library_.synchronize(message)) return status;
      }
      if (const auto status = library_.unmap_sparse(addresses[i], message)) return status;
    }
    return NORMPROOF_DEVICE_OK;
  }

  DeviceFunctions library_;
  Callee& callee_;
  std::byte* device_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace

std::string load_device_functions(const char* path, DeviceFunctions& functions) {
  SharedLibrary library(path);
  if (!library.problem().empty()) return library.problem();
  library.find(functions.open, "normproof_device_open");
  library.find(functions.allocate, "normproof_device_allocate");
  library.find(functions.release, "normproof_device_release");
  library.find(functions.map_sparse, "normproof_device_map_sparse");
  library.find(functions.unmap_sparse, "normproof_device_unmap_sparse");
  library.find(functions.pin, "normproof_device_pin");
  library.find(functions.copy_in, "normproof_device_copy_in");
  library.find(functions.copy_out, "normproof_device_copy_out");
  library.find(functions.synchronize, "normproof_device_synchronize");
  library.find(functions.begin_graph, "normproof_device_begin_graph");
  library.find(functions.end_graph, "normproof_device_end_graph");
  library.find(functions.replay_graph, "normproof_device_replay_graph");
  return library.missing().empty() ? "" : std::string(path) + " has no function " + library.missing();
}

std::unique_ptr<Rounds> make_device_rounds(const DeviceFunctions& functions, Callee& callee) {
  return std::make_unique<DeviceRounds>(functions, callee);
}

}  // namespace normproof::worker
