// normproof-worker LIBRARY: carries out rounds of calls of the kernels in LIBRARY on the device, in a process
// of its own, so that whatever a kernel does to the process or the device, the program that judges it goes
// on. Started by the cuda target, which hands over shared memory and a socket; see protocol.h.
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "properties/worker/protocol.h"

namespace normproof::worker {
namespace {

struct Library {
  decltype(&normproof_rms_norm) rms_norm = nullptr;
  decltype(&normproof_fused_add_rms_norm) fused_add_rms_norm = nullptr;
  decltype(&normproof_rms_norm_static_fp8_quant) rms_norm_static_fp8_quant = nullptr;
  decltype(&normproof_fused_add_rms_norm_static_fp8_quant) fused_add_rms_norm_static_fp8_quant = nullptr;
  decltype(&normproof_device_open) open = nullptr;
  decltype(&normproof_device_allocate) allocate = nullptr;
  decltype(&normproof_device_release) release = nullptr;
  decltype(&normproof_device_map_sparse) map_sparse = nullptr;
  decltype(&normproof_device_unmap_sparse) unmap_sparse = nullptr;
  decltype(&normproof_device_pin) pin = nullptr;
  decltype(&normproof_device_copy_in) copy_in = nullptr;
  decltype(&normproof_device_copy_out) copy_out = nullptr;
  decltype(&normproof_device_synchronize) synchronize = nullptr;
};

// Returns what is wrong, or an empty string.
std::string load(const char* path, Library& library) {
  void* handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return dlerror();
  std::string missing;
  const auto find = [&]<class Function>(Function& function, const char* name) {
    function = reinterpret_cast<Function>(dlsym(handle, name));
    if (function == nullptr) missing = std::string(path) + " has no function " + name;
  };
  find(library.rms_norm, "normproof_rms_norm");
  find(library.fused_add_rms_norm, "normproof_fused_add_rms_norm");
  find(library.rms_norm_static_fp8_quant, "normproof_rms_norm_static_fp8_quant");
  find(library.fused_add_rms_norm_static_fp8_quant, "normproof_fused_add_rms_norm_static_fp8_quant");
  find(library.open, "normproof_device_open");
  find(library.allocate, "normproof_device_allocate");
  find(library.release, "normproof_device_release");
  find(library.map_sparse, "normproof_device_map_sparse");
  find(library.unmap_sparse, "normproof_device_unmap_sparse");
  find(library.pin, "normproof_device_pin");
  find(library.copy_in, "normproof_device_copy_in");
  find(library.copy_out, "normproof_device_copy_out");
  find(library.synchronize, "normproof_device_synchronize");
  return missing;
}

class Worker {
 public:
  Worker(const Library& library, std::byte* memory) : library_(library), memory_(memory) {}

  // Carries the round out. After a failure of the device this process is of no more use.
  normproof_device_status carry_out(std::size_t arena) {
    Round& round = *round_of(memory_, arena);
    round.status = attempt(round, data_of(memory_, arena), {round.message, sizeof round.message});
    return round.status;
  }

 private:
  // Of one call: where its regions lie on the device.
  using Addresses = std::array<std::byte*, kMaximumRegions>;

  normproof_device_status attempt(Round& round, std::byte* data, normproof_message message) {
    if (const auto status = reserve(round.data_bytes, message)) return status;
    // In two pieces, because a copy must not reach across the end of pinned memory.
    const std::size_t pinned = std::min<std::size_t>(round.data_bytes, kPinnedBytes),
                      rest = round.data_bytes - pinned;
    if (const auto status = library_.copy_in(device_, data, pinned, message)) return status;
    if (rest > 0) {
      if (const auto status = library_.copy_in(device_ + pinned, data + pinned, rest, message)) return status;
    }
    for (round.current_call = 0; round.current_call < round.calls; ++round.current_call) {
      Call& call = round.call[round.current_call];
      Addresses addresses{};
      if (const auto status = place(round, call, addresses, message)) return status;
      call.status = invoke(call, addresses);
      if (const auto status = take_back(round, call, addresses, message)) return status;
    }
    // Copying back only what a device in good order has computed keeps the arena as it was after a failure.
    if (const auto status = library_.synchronize(message)) return status;
    if (const auto status = library_.copy_out(data, device_, pinned, message)) return status;
    if (rest > 0) {
      if (const auto status = library_.copy_out(data + pinned, device_ + pinned, rest, message))
        return status;
    }
    return library_.synchronize(message);
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
        const std::byte* packed =
            reinterpret_cast<const std::byte*>(&round) + kDataOffset + extent.data_offset;
        if (const auto status =
                library_.copy_in(addresses[i] + extent.piece.offset, packed, extent.piece.bytes, message))
          return status;
      }
    }
    return NORMPROOF_DEVICE_OK;
  }

  // Sparse regions end with their call: their pieces go to the mirror, from where the round's copy fetches
  // them.
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

  static void* address_of(const Pointer& pointer, const Addresses& addresses) {
    if (pointer.region < 0) return reinterpret_cast<void*>(pointer.offset);
    return addresses[static_cast<std::size_t>(pointer.region)] + pointer.offset;
  }

  static const normproof_tensor* describe(Tensor& tensor, const Addresses& addresses) {
    if (!tensor.present) return nullptr;
    tensor.description.data = address_of(tensor.data, addresses);
    return &tensor.description;
  }

  normproof_status invoke(Call& call, const Addresses& addresses) const {
    const normproof_tensor* input = describe(call.input, addresses);
    const normproof_tensor* residual = describe(call.residual, addresses);
    const normproof_tensor* weight = describe(call.weight, addresses);
    const normproof_tensor* out = describe(call.out, addresses);
    const auto* scale = static_cast<const float*>(address_of(call.scale, addresses));
    const normproof_message message{call.message, sizeof call.message};
    switch (static_cast<Operation>(call.operation)) {
      case Operation::rms_norm:
        return library_.rms_norm(out, input, weight, call.epsilon, &call.launch, nullptr, &call.report,
                                 message);
      case Operation::fused_add_rms_norm:
        return library_.fused_add_rms_norm(input, residual, weight, call.epsilon, &call.launch, nullptr,
                                           &call.report, message);
      case Operation::rms_norm_static_fp8_quant:
        return library_.rms_norm_static_fp8_quant(out, input, weight, scale, call.epsilon, &call.launch,
                                                  nullptr, &call.report, message);
      case Operation::fused_add_rms_norm_static_fp8_quant:
        return library_.fused_add_rms_norm_static_fp8_quant(out, input, residual, weight, scale, call.epsilon,
                                                            &call.launch, nullptr, &call.report, message);
    }
    std::abort();
  }

  const Library& library_;
  std::byte* memory_;
  std::byte* device_ = nullptr;
  std::size_t capacity_ = 0;
};

bool answer(std::uint8_t arena) { return write(kSocketDescriptor, &arena, 1) == 1; }

int serve(const char* library_path) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  void* mapped =
      mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, kMemoryDescriptor, 0);
  if (mapped == MAP_FAILED) return 3;
  auto* memory = static_cast<std::byte*>(mapped);

  auto* greeting = new (memory) Greeting;
  Library library;
  const std::string problem = load(library_path, library);
  if (!problem.empty()) {
    greeting->status = NORMPROOF_DEVICE_FAILED;
    std::snprintf(greeting->message, sizeof greeting->message, "%s", problem.c_str());
  } else {
    greeting->status = library.open(&greeting->device, {greeting->message, sizeof greeting->message});
  }
  const bool usable = greeting->status == NORMPROOF_DEVICE_OK;
  if (!answer(0) || !usable) return 3;

  bool pinned = false;
  Worker worker(library, memory);
  for (std::uint8_t arena = 0; read(kSocketDescriptor, &arena, 1) == 1;) {
    if (arena >= kArenas) return 2;
    if (!pinned) {  // not before the first round: pinning takes time that a mere question does not need
      for (std::size_t i = 0; i < kArenas; ++i) library.pin(data_of(memory, i), kPinnedBytes, {});
      pinned = true;
    }
    const normproof_device_status status = worker.carry_out(arena);
    if (!answer(arena)) return 0;
    if (status != NORMPROOF_DEVICE_OK) std::_Exit(4);
  }
  return 0;
}

}  // namespace
}  // namespace normproof::worker

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "normproof-worker is started by normproof --target cuda, not by hand\n");
    return 2;
  }
  return normproof::worker::serve(arguments[1]);
}
