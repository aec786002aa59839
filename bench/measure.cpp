#include "bench/measure.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/traffic.h"

namespace {

constexpr int kReplays = 9;
constexpr double kGraphMicroseconds = 400;  // of work in a graph, so that its own start does not count
constexpr std::int64_t kLeastLaunches = 6, kMostLaunches = 600;
constexpr double kBytesPerMicrosecond = 4.0e6;  // a guess, for the number of launches only
constexpr std::size_t kAlignment = 256;
// How long a few lines take depends on where they lie: on an H200, whose L2 cache has two halves, calls of
// one token took 0.83 us in one place and 0.98 in another. So these have several places, far apart.
constexpr std::int64_t kPlaces = 32;
constexpr std::size_t kPlaceStride = 1037 * kAlignment;  // odd, so that places differ in all bits above
constexpr int kChunkBytes = 16;
constexpr float kSmall = 0x1p-6f;  // the weights' deviation, and the scale
// One copy of 512 MiB was seen to run at two thirds of the speed of two of 256
// MiB; the limit is what is possible.
constexpr std::size_t kLargestCopy = std::size_t{256} << 20;

struct OutOfMemory : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  const std::string text =
      std::string(what) + ": " + cudaGetErrorName(error) + ", " + cudaGetErrorString(error);
  if (error == cudaErrorMemoryAllocation) throw OutOfMemory(text);
  throw std::runtime_error(text);
}

std::size_t size_of(normproof_dtype dtype) {
  return dtype == NORMPROOF_FP32 ? 4 : dtype == NORMPROOF_FP16 || dtype == NORMPROOF_BF16 ? 2 : 1;
}

// Device memory that is kept from one measurement to the next.
class DeviceMemory {
 public:
  ~DeviceMemory() { cudaFree(data_); }
  std::size_t capacity() const { return capacity_; }
  std::byte* reserve(std::size_t bytes) {
    if (bytes > capacity_) {
      cudaFree(data_);
      data_ = nullptr;
      capacity_ = 0;
      check(cudaMalloc(&data_, bytes), "memory for the benchmark");
      capacity_ = bytes;
    }
    return static_cast<std::byte*>(data_);
  }

 private:
  void* data_ = nullptr;
  std::size_t capacity_ = 0;
};

// Normally distributed numbers as bits of a dtype; truncation is good enough for data.
std::vector<std::byte> random_values(normproof_dtype dtype, std::size_t count, float deviation) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<std::byte> bytes(count * size_of(dtype));
  for (std::size_t i = 0; i < count; ++i) {
    const float value = normal(random);
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    if (dtype == NORMPROOF_BF16) bits >>= 16;
    if (dtype == NORMPROOF_FP16) {
      const std::uint32_t sign = bits >> 16 & 0x8000u;
      const float magnitude = std::max(std::fabs(value), 0x1p-14f);
      std::memcpy(&bits, &magnitude, sizeof bits);
      bits = sign | (bits - 0x38000000u) >> 13;
    }
    std::memcpy(bytes.data() + i * size_of(dtype), &bits, size_of(dtype));
  }
  return bytes;
}

// Random values for each dtype.
struct Pieces {
  explicit Pieces(float deviation) {
    for (const auto dtype : {NORMPROOF_FP32, NORMPROOF_FP16, NORMPROOF_BF16})
      of_dtype[dtype] = random_values(dtype, kValues, deviation);
  }
  static constexpr std::size_t kValues = std::size_t{1} << 20;
  std::vector<std::byte> of_dtype[3];
};

// Fills device memory by copying a piece of values again and again.
void fill(std::byte* device, std::size_t bytes, const std::vector<std::byte>& piece) {
  const std::size_t first = std::min(bytes, piece.size());
  check(cudaMemcpy(device, piece.data(), first, cudaMemcpyHostToDevice), "filling");
  for (std::size_t done = first; done < bytes;) {
    const std::size_t next = std::min(done, bytes - done);
    check(cudaMemcpy(device + done, device, next, cudaMemcpyDeviceToDevice), "filling");
    done += next;
  }
}

// A graph of `launches` calls of enqueue(launch, stream).
class Graph {
 public:
  Graph(cudaStream_t stream, std::int64_t launches, const std::function<void(std::int64_t)>& enqueue)
      : stream_(stream), launches_(launches) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing");
    try {
      for (std::int64_t launch = 0; launch < launches; ++launch) enqueue(launch);
    } catch (...) {
      cudaGraph_t broken = nullptr;
      cudaStreamEndCapture(stream, &broken);
      if (broken != nullptr) cudaGraphDestroy(broken);
      throw;
    }
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(stream, &graph), "capturing");
    const cudaError_t error = cudaGraphInstantiate(&executable_, graph, 0);
    cudaGraphDestroy(graph);
    check(error, "making a graph");
    check(cudaEventCreate(&begin_), "event");
    check(cudaEventCreate(&end_), "event");
  }
  ~Graph() {
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
    if (begin_ != nullptr) cudaEventDestroy(begin_);
    if (end_ != nullptr) cudaEventDestroy(end_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // Microseconds per launch of one replay.
  double replay() {
    check(cudaEventRecord(begin_, stream_), "event");
    check(cudaGraphLaunch(executable_, stream_), "replaying");
    check(cudaEventRecord(end_, stream_), "event");
    check(cudaEventSynchronize(end_), "replaying");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin_, end_), "event");
    return milliseconds * 1e3 / static_cast<double>(launches_);
  }

 private:
  cudaStream_t stream_;
  std::int64_t launches_;
  cudaGraphExec_t executable_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

normproof_tensor matrix(std::byte* data, normproof_dtype dtype, std::int64_t rows, std::int64_t hidden) {
  return {data, dtype, 2, {rows, hidden, 0, 0}, {hidden, 1, 0, 0}};
}

class Measurement {
 public:
  explicit Measurement(const normproof_measure_request& request) : request_(request) {
    const std::size_t elements = static_cast<std::size_t>(request.rows * request.hidden);
    const std::size_t activation = aligned(elements * size_of(request.dtype));
    output_bytes_ = aligned(request.quantizes       ? elements
                            : request.adds_residual ? 0
                                                    : elements * size_of(request.dtype));
    // Scales lie behind the output.
    const std::size_t scales =
        request.scales_rows ? static_cast<std::size_t>(request.rows) * sizeof(float) : 0;
    scales_offset_ = output_bytes_;
    output_bytes_ += aligned(scales);
    matrix_bytes_ = activation;
    set_bytes_ = matrix_bytes_ * (request.adds_residual ? 2 : 1) + output_bytes_;
    // Read: the activations. Written: the output, and the sum.
    const std::size_t written = (request.quantizes ? elements : elements * size_of(request.dtype));
    moved_bytes_ = elements * size_of(request.dtype) * (request.adds_residual ? 3 : 1) + written + scales;
    int l2 = 0, device = 0;
    check(cudaGetDevice(&device), "device");
    check(cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, device), "device");
    stride_ = set_bytes_;
    if (request.cold) {
      sets_ = std::max<std::int64_t>(
          2, 4 * static_cast<std::int64_t>(l2) / static_cast<std::int64_t>(set_bytes_) + 1);
    } else if (request.hot_sets > 0) {
      sets_ = request.hot_sets;
    } else if (set_bytes_ <= kPlaceStride) {
      sets_ = weights_ = kPlaces;
      stride_ = kPlaceStride;
    }
    const double guess = static_cast<double>(moved_bytes_) / kBytesPerMicrosecond + 1;
    launches_ =
        std::clamp(static_cast<std::int64_t>(kGraphMicroseconds / guess), kLeastLaunches, kMostLaunches);
    // Every set the same number of times.
    launches_ = (launches_ + sets_ - 1) / sets_ * sets_;
  }

  normproof_measure_result run() {
    static DeviceMemory buffers, weight_buffers;
    // With small weights a sum that is added to thousands of times in place stays finite.
    static const Pieces activations(1.0f), weight_values(kSmall);
    data_ = buffers.reserve(touched_bytes());
    static normproof_dtype filled_dtype = NORMPROOF_FP8_E5M2;
    static std::size_t filled_bytes = 0;
    const std::size_t bytes = stride_ * static_cast<std::size_t>(sets_);
    // Every row anew: what another one has written is not the kind of number that its kernel meets.
    if (filled_dtype != request_.dtype || bytes > filled_bytes || request_.copy)
      fill(data_, bytes, activations.of_dtype[request_.dtype]);
    filled_bytes = filled_dtype == request_.dtype ? std::max(filled_bytes, bytes) : bytes;
    filled_dtype = request_.dtype;
    const std::size_t weight_bytes =
        aligned(static_cast<std::size_t>(request_.hidden) * size_of(request_.dtype));
    weight_stride_ = std::max(weight_bytes + kAlignment, kPlaceStride);
    scale_offset_ = weight_bytes;
    weight_ = weight_buffers.reserve(weight_stride_ * static_cast<std::size_t>(weights_));
    for (std::int64_t i = 0; i < weights_; ++i) {
      std::byte* weight = weight_ + static_cast<std::size_t>(i) * weight_stride_;
      fill(weight, weight_bytes, weight_values.of_dtype[request_.dtype]);
      check(cudaMemcpy(weight + scale_offset_, &kSmall, sizeof kSmall, cudaMemcpyHostToDevice), "scale");
    }
    static cudaStream_t stream = [] {
      cudaStream_t made = nullptr;
      check(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "stream");
      return made;
    }();

    normproof_measure_result result{};
    normproof_force_configuration(request_.shape, request_.threads, request_.dependent);
    normproof_launch_report report{};
    launch(0, stream, &report);  // loads the kernel, which a capture must not do
    result.shape = normproof_last_shape(&result.dependent);
    result.threads = report.threads_per_block;
    check(cudaStreamSynchronize(stream), "the kernel");
    if (request_.shape >= 0 && result.shape != request_.shape)
      return result;  // the shape does not fit the row
    // What kernels have asked the L2 cache to keep so far, a longer row before this one included. Not between
    // the making of a graph and its replays: there any work makes the graph's launches slower.
    check(normproof::bench::enqueue_normal_eviction(
              data_, request_.copy ? buffers.capacity() : touched_bytes(), stream),
          "normal eviction");
    // First what asks the cache for nothing. When interrupted, too: launches
    // of a first graph are never slower.
    if (request_.copy || request_.interrupted) {
      Graph copies(stream, launches_, [&](std::int64_t i) { copy(i % sets_, stream); });
      const double copy_us = median(sorted_times(copies, kReplays, stream));
      if (request_.copy) result.copy_us = copy_us;
    }
    if (request_.copy) {
      result.traffic_us = least_traffic_us(0, normproof::bench::kPlainTrafficWays, stream);
      filled_bytes = 0;  // it leaves other numbers
    }
    Graph kernel(stream, launches_, [&](std::int64_t i) { launch(i % sets_, stream, &report); });
    normproof_force_configuration(-1, 0, 0);
    const std::vector<double> times =
        sorted_times(kernel, request_.replays > 0 ? request_.replays : kReplays, stream);
    result.kernel_us = median(times);
    result.kernel_least_us = times.front();
    result.kernel_most_us = times.back();
    // Where the cache holds everything, nothing is evicted.
    if (request_.copy && request_.cold)
      result.traffic_us = std::min(
          result.traffic_us,
          least_traffic_us(normproof::bench::kPlainTrafficWays, normproof::bench::kTrafficWays, stream));
    return result;
  }

 private:
  static std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }
  static double median(const std::vector<double>& sorted) { return sorted[sorted.size() / 2]; }

  std::vector<double> sorted_times(Graph& graph, int replays, cudaStream_t stream) const {
    std::vector<double> times;
    for (int i = 0; i < replays + 1; ++i) {
      if (request_.interrupted)
        check(normproof::bench::enqueue_normal_eviction(data_, touched_bytes(), stream), "normal eviction");
      const double time = graph.replay();
      if (i > 0) times.push_back(time);  // the first warms up
    }
    std::sort(times.begin(), times.end());
    return times;
  }

  // With one set, a copy goes into the space of another.
  std::size_t touched_bytes() const {
    return stride_ * static_cast<std::size_t>(std::max<std::int64_t>(sets_, 2));
  }

  std::byte* set(std::int64_t index) const { return data_ + static_cast<std::size_t>(index) * stride_; }

  void launch(std::int64_t index, cudaStream_t stream, normproof_launch_report* report) const {
    std::byte* base = set(index);
    const normproof_tensor input = matrix(base, request_.dtype, request_.rows, request_.hidden);
    const normproof_tensor residual =
        matrix(base + matrix_bytes_, request_.dtype, request_.rows, request_.hidden);
    const normproof_tensor out =
        matrix(base + set_bytes_ - output_bytes_, request_.quantizes ? NORMPROOF_FP8_E4M3FN : request_.dtype,
               request_.rows, request_.hidden);
    const normproof_tensor scales =
        matrix(base + set_bytes_ - output_bytes_ + scales_offset_, NORMPROOF_FP32, request_.rows, 1);
    std::byte* weights = weight_ + static_cast<std::size_t>(index % weights_) * weight_stride_;
    const normproof_tensor weight = {weights, request_.dtype, 1, {request_.hidden, 0, 0, 0}, {1, 0, 0, 0}};
    const auto* scale = reinterpret_cast<const float*>(weights + scale_offset_);
    char text[512] = {};
    const normproof_message message{text, sizeof text};
    if (request_.function != nullptr) {
      const bool has_out = request_.quantizes != 0 || request_.adds_residual == 0;
      const normproof_measured_tensors tensors = {has_out ? &out : nullptr,
                                                  request_.scales_rows != 0 ? &scales : nullptr,
                                                  &input,
                                                  request_.adds_residual != 0 ? &residual : nullptr,
                                                  &weight,
                                                  request_.scales_rows != 0 ? nullptr : scale};
      if (request_.function(request_.context, &tensors, stream, message) != 0) throw std::runtime_error(text);
      return;
    }
    constexpr float kEpsilon = 1e-6f;
    normproof_status status = NORMPROOF_OK;
    if (request_.scales_rows && request_.adds_residual) {
      status = normproof_fused_add_rms_norm_dynamic_quant(&out, &scales, &input, &residual, &weight, kEpsilon,
                                                          nullptr, stream, report, message);
    } else if (request_.scales_rows) {
      status = normproof_rms_norm_dynamic_quant(&out, &scales, &input, &weight, kEpsilon, nullptr, stream,
                                                report, message);
    } else if (request_.quantizes && request_.adds_residual) {
      status = normproof_fused_add_rms_norm_static_fp8_quant(&out, &input, &residual, &weight, scale,
                                                             kEpsilon, nullptr, stream, report, message);
    } else if (request_.quantizes) {
      status = normproof_rms_norm_static_fp8_quant(&out, &input, &weight, scale, kEpsilon, nullptr, stream,
                                                   report, message);
    } else if (request_.adds_residual) {
      status = normproof_fused_add_rms_norm(&input, &residual, &weight, kEpsilon, nullptr, stream, report,
                                            message);
    } else {
      status = normproof_rms_norm(&out, &input, &weight, kEpsilon, nullptr, stream, report, message);
    }
    if (status != NORMPROOF_OK) throw std::runtime_error(text);
  }

  // The median of the fastest of the ways from `first` to before `end`.
  double least_traffic_us(int first, int end, cudaStream_t stream) const {
    double least = std::numeric_limits<double>::infinity();
    for (int way = first; way < end; ++way) {
      Graph moves(stream, launches_, [&](std::int64_t i) {
        std::byte* base = set(i % sets_);
        normproof::bench::Traffic traffic;
        traffic.input = base;
        traffic.residual = request_.adds_residual ? base + matrix_bytes_ : nullptr;
        const bool in_place = request_.adds_residual && !request_.quantizes;
        traffic.out = in_place ? base : base + set_bytes_ - output_bytes_;
        const std::int64_t bytes =
            request_.rows * request_.hidden * static_cast<std::int64_t>(size_of(request_.dtype));
        traffic.chunks = bytes / kChunkBytes;
        traffic.out_bytes =
            request_.quantizes ? kChunkBytes / static_cast<int>(size_of(request_.dtype)) : kChunkBytes;
        check(normproof::bench::enqueue_traffic(traffic, way, stream), "moving");
      });
      least = std::min(least, median(sorted_times(moves, kReplays, stream)));
    }
    return least;
  }

  // Half of the bytes that the kernel moves are read, half written: into a set that was last touched long
  // ago, or, where it matters that all places are touched that the kernel touches, within the set.
  void copy(std::int64_t index, cudaStream_t stream) const {
    const std::size_t bytes = moved_bytes_ / 2 / 16 * 16;
    const bool within = request_.hot_sets > 1 && 2 * bytes <= set_bytes_;
    const std::byte* from = set(index);
    std::byte* to = within ? set(index) + bytes : set(sets_ == 1 ? 1 : (index + sets_ / 2) % sets_);
    for (std::size_t done = 0; done < bytes; done += kLargestCopy) {
      check(cudaMemcpyAsync(to + done, from + done, std::min(kLargestCopy, bytes - done),
                            cudaMemcpyDeviceToDevice, stream),
            "copying");
    }
  }

  const normproof_measure_request& request_;
  std::size_t scales_offset_ = 0;  // within the output
  std::size_t matrix_bytes_ = 0, output_bytes_ = 0, set_bytes_ = 0, moved_bytes_ = 0;
  // Sets of tensors that launches go through in turn, and how far each is from the next.
  std::int64_t sets_ = 1, weights_ = 1, launches_ = 1;
  std::size_t stride_ = 0, weight_stride_ = 0, scale_offset_ = 0;  // the scale lies behind the weight
  std::byte *data_ = nullptr, *weight_ = nullptr;
};

void write(normproof_message message, const char* text) {
  if (message.data == nullptr || message.capacity == 0) return;
  const std::size_t length = std::min(std::strlen(text), message.capacity - 1);
  std::memcpy(message.data, text, length);
  message.data[length] = '\0';
}

}  // namespace

normproof_device_status normproof_measure(const normproof_measure_request* request,
                                          normproof_measure_result* result, normproof_message message) {
  try {
    *result = Measurement(*request).run();
    write(message, "");
    return NORMPROOF_DEVICE_OK;
  } catch (const OutOfMemory& error) {
    write(message, error.what());
    return NORMPROOF_DEVICE_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    write(message, error.what());
    return NORMPROOF_DEVICE_FAILED;
  }
}
