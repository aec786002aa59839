// The device's memory, copies and waiting, by the CUDA runtime; sparse ranges by the
// driver's virtual memory functions.
#include <cuda.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "kernels/device/normproof_device.h"

namespace {

void write(normproof_message message, const std::string& text) {
  if (message.data == nullptr || message.capacity == 0) return;
  const std::size_t length = std::min(text.size(), message.capacity - 1);
  std::memcpy(message.data, text.data(), length);
  message.data[length] = '\0';
}

normproof_device_status status_of(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return NORMPROOF_DEVICE_OK;
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorStubLibrary:
    case cudaErrorDevicesUnavailable:
      return NORMPROOF_DEVICE_ABSENT;
    case cudaErrorMemoryAllocation:
      return NORMPROOF_DEVICE_OUT_OF_MEMORY;
    default:
      return NORMPROOF_DEVICE_FAILED;
  }
}

normproof_device_status report(cudaError_t error, const char* what, normproof_message message) {
  if (error == cudaSuccess) {
    write(message, "");
    return NORMPROOF_DEVICE_OK;
  }
  cudaGetLastError();
  write(message, std::string(what) + ": " + cudaGetErrorName(error) + ", " + cudaGetErrorString(error));
  return status_of(error);
}

// The driver's version as people name it, from the line that its kernel module prints.
std::string driver_version() {
  std::string version;
  if (std::FILE* file = std::fopen("/proc/driver/nvidia/version", "r")) {
    std::array<char, 512> line{};
    if (std::fgets(line.data(), static_cast<int>(line.size()), file) != nullptr) {
      const std::string text = line.data();
      for (std::size_t begin = text.find_first_of("0123456789");
           begin != std::string::npos && version.empty();) {
        const std::size_t end = text.find_first_not_of("0123456789.", begin);
        const std::string number = text.substr(begin, end - begin);
        if (number.find('.') != std::string::npos) version = number;
        begin = end == std::string::npos ? end : text.find_first_of("0123456789", end);
      }
    }
    std::fclose(file);
  }
  if (!version.empty()) return version;
  int cuda = 0;
  cudaDriverGetVersion(&cuda);
  return "CUDA " + std::to_string(cuda / 1000) + "." + std::to_string(cuda % 1000 / 10);
}

// The functions of the driver, found at run time: libcuda is there only where a driver is.
struct Driver {
  decltype(&cuMemAddressReserve) reserve = nullptr;
  decltype(&cuMemAddressFree) free = nullptr;
  decltype(&cuMemCreate) create = nullptr;
  decltype(&cuMemRelease) release = nullptr;
  decltype(&cuMemMap) map = nullptr;
  decltype(&cuMemUnmap) unmap = nullptr;
  decltype(&cuMemSetAccess) set_access = nullptr;
  decltype(&cuMemGetAllocationGranularity) granularity = nullptr;
  decltype(&cuGetErrorName) error_name = nullptr;
  bool complete = true;

  static const Driver& get() {
    static const Driver driver = [] {
      Driver found;
      const auto find = [&]<class Function>(Function& function, const char* name) {
        void* entry = nullptr;
        cudaDriverEntryPointQueryResult result{};
        const cudaError_t error =
            cudaGetDriverEntryPointByVersion(name, &entry, 12000, cudaEnableDefault, &result);
        if (error != cudaSuccess || result != cudaDriverEntryPointSuccess) found.complete = false;
        function = reinterpret_cast<Function>(entry);
      };
      find(found.reserve, "cuMemAddressReserve");
      find(found.free, "cuMemAddressFree");
      find(found.create, "cuMemCreate");
      find(found.release, "cuMemRelease");
      find(found.map, "cuMemMap");
      find(found.unmap, "cuMemUnmap");
      find(found.set_access, "cuMemSetAccess");
      find(found.granularity, "cuMemGetAllocationGranularity");
      find(found.error_name, "cuGetErrorName");
      return found;
    }();
    return driver;
  }
};

normproof_device_status report(CUresult result, const char* what, normproof_message message) {
  if (result == CUDA_SUCCESS) {
    write(message, "");
    return NORMPROOF_DEVICE_OK;
  }
  const char* name = nullptr;
  Driver::get().error_name(result, &name);
  write(message, std::string(what) + ": " + (name != nullptr ? name : "unknown error"));
  return result == CUDA_ERROR_OUT_OF_MEMORY ? NORMPROOF_DEVICE_OUT_OF_MEMORY : NORMPROOF_DEVICE_FAILED;
}

// A reserved range and the granules of it that are mapped.
struct SparseRange {
  std::size_t bytes = 0;
  std::size_t granule = 0;
  std::set<std::size_t> mapped;  // offsets
};

std::map<CUdeviceptr, SparseRange>& sparse_ranges() {
  static std::map<CUdeviceptr, SparseRange> ranges;
  return ranges;
}

}  // namespace

normproof_device_status normproof_device_open(normproof_device_info* info, normproof_message message) {
  int count = 0;
  if (const auto status = report(cudaGetDeviceCount(&count), "no usable NVIDIA GPU", message))
    return status == NORMPROOF_DEVICE_FAILED ? NORMPROOF_DEVICE_ABSENT : status;
  if (count == 0) {
    write(message, "no usable NVIDIA GPU: the driver sees no device");
    return NORMPROOF_DEVICE_ABSENT;
  }
  cudaDeviceProp properties{};
  if (const auto status = report(cudaGetDeviceProperties(&properties, 0), "device 0", message)) return status;
  std::size_t free_bytes = 0, all_bytes = 0;
  if (const auto status = report(cudaMemGetInfo(&free_bytes, &all_bytes), "device 0", message)) return status;
  *info = {};
  std::snprintf(info->name, sizeof info->name, "%s", properties.name);
  std::snprintf(info->driver, sizeof info->driver, "%s", driver_version().c_str());
  info->multiprocessors = properties.multiProcessorCount;
  info->l2_bytes = properties.l2CacheSize;
  info->memory_bytes = static_cast<std::int64_t>(all_bytes);
  info->free_bytes = static_cast<std::int64_t>(free_bytes);
  return NORMPROOF_DEVICE_OK;
}

normproof_device_status normproof_device_allocate(size_t bytes, void** address, normproof_message message) {
  return report(cudaMalloc(address, bytes), ("allocating " + std::to_string(bytes) + " bytes").c_str(),
                message);
}

normproof_device_status normproof_device_release(void* address, normproof_message message) {
  return report(cudaFree(address), "releasing memory", message);
}

normproof_device_status normproof_device_map_sparse(uint64_t bytes, const normproof_device_extent* extents,
                                                    size_t extent_count, void** address,
                                                    normproof_message message) {
  const Driver& driver = Driver::get();
  if (!driver.complete) {
    write(message, "the driver has no virtual memory functions");
    return NORMPROOF_DEVICE_FAILED;
  }
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = 0;
  SparseRange range;
  if (const auto status =
          report(driver.granularity(&range.granule, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM),
                 "granularity", message))
    return status;
  range.bytes = (bytes + range.granule - 1) / range.granule * range.granule;
  CUdeviceptr base = 0;
  if (const auto status = report(driver.reserve(&base, range.bytes, 0, 0, 0), "reserving addresses", message))
    return status;
  SparseRange& kept = sparse_ranges()[base] = range;
  normproof_device_status status = NORMPROOF_DEVICE_OK;
  for (std::size_t i = 0; i < extent_count && status == NORMPROOF_DEVICE_OK; ++i) {
    const std::size_t first = extents[i].offset / range.granule;
    const std::size_t last = (extents[i].offset + extents[i].bytes - 1) / range.granule;
    for (std::size_t index = first; index <= last && status == NORMPROOF_DEVICE_OK; ++index) {
      const std::size_t offset = index * range.granule;
      if (kept.mapped.contains(offset)) continue;
      CUmemGenericAllocationHandle handle{};
      status = report(driver.create(&handle, range.granule, &properties, 0), "allocating a piece", message);
      if (status != NORMPROOF_DEVICE_OK) break;
      status = report(driver.map(base + offset, range.granule, 0, handle, 0), "mapping a piece", message);
      driver.release(handle);  // the mapping keeps the memory
      if (status != NORMPROOF_DEVICE_OK) break;
      kept.mapped.insert(offset);
      const CUmemAccessDesc access{properties.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
      status =
          report(driver.set_access(base + offset, range.granule, &access, 1), "opening a piece", message);
    }
  }
  *address = reinterpret_cast<void*>(base);
  if (status != NORMPROOF_DEVICE_OK) normproof_device_unmap_sparse(*address, {});
  return status;
}

normproof_device_status normproof_device_unmap_sparse(void* address, normproof_message message) {
  const Driver& driver = Driver::get();
  const auto base = reinterpret_cast<CUdeviceptr>(address);
  const auto found = sparse_ranges().find(base);
  if (found == sparse_ranges().end()) {
    write(message, "not a sparse range");
    return NORMPROOF_DEVICE_FAILED;
  }
  const SparseRange range = found->second;
  sparse_ranges().erase(found);
  for (const std::size_t offset : range.mapped) {
    if (const auto status = report(driver.unmap(base + offset, range.granule), "unmapping a piece", message))
      return status;
  }
  return report(driver.free(base, range.bytes), "releasing addresses", message);
}

normproof_device_status normproof_device_pin(void* host, size_t bytes, normproof_message message) {
  return report(cudaHostRegister(host, bytes, cudaHostRegisterDefault), "pinning host memory", message);
}

normproof_device_status normproof_device_copy_in(void* device, const void* host, size_t bytes,
                                                 normproof_message message) {
  return report(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, nullptr),
                "copying to the device", message);
}

normproof_device_status normproof_device_copy_out(void* host, const void* device, size_t bytes,
                                                  normproof_message message) {
  return report(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, nullptr),
                "copying from the device", message);
}

normproof_device_status normproof_device_synchronize(normproof_message message) {
  return report(cudaStreamSynchronize(nullptr), "the device reports", message);
}

namespace {

// Not ordered with the default stream: what a kernel enqueues there is not recorded.
cudaStream_t graph_stream = nullptr;

}  // namespace

normproof_device_status normproof_device_begin_graph(normproof_stream* stream, normproof_message message) {
  if (const auto status = normproof_device_synchronize(message)) return status;
  if (graph_stream == nullptr) {
    if (const auto status = report(cudaStreamCreateWithFlags(&graph_stream, cudaStreamNonBlocking),
                                   "creating a stream", message))
      return status;
  }
  *stream = graph_stream;
  return report(cudaStreamBeginCapture(graph_stream, cudaStreamCaptureModeThreadLocal), "recording a graph",
                message);
}

normproof_device_status normproof_device_end_graph(void** graph, normproof_message message) {
  *graph = nullptr;
  cudaGraph_t recorded = nullptr;
  cudaError_t error = cudaStreamEndCapture(graph_stream, &recorded);
  cudaGraphExec_t executable = nullptr;
  if (error == cudaSuccess) error = cudaGraphInstantiate(&executable, recorded, 0);
  if (recorded != nullptr) cudaGraphDestroy(recorded);
  if (error == cudaSuccess) {
    *graph = executable;
    write(message, "");
    return NORMPROOF_DEVICE_OK;
  }
  cudaGetLastError();  // what cannot be recorded spoils nothing else
  write(message, std::string("it cannot be recorded in a CUDA graph: ") + cudaGetErrorString(error));
  return NORMPROOF_DEVICE_OK;
}

normproof_device_status normproof_device_replay_graph(void* graph, normproof_message message) {
  auto* executable = static_cast<cudaGraphExec_t>(graph);
  if (const auto status = normproof_device_synchronize(message)) return status;
  if (const auto status = report(cudaGraphLaunch(executable, graph_stream), "replaying a graph", message))
    return status;
  if (const auto status = report(cudaStreamSynchronize(graph_stream), "the device reports", message))
    return status;
  return report(cudaGraphExecDestroy(executable), "destroying a graph", message);
}
