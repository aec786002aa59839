#include "bench/measure.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <vector>

#include "bench/device_values.h"
#include "bench/measured_call.h"

namespace {

using normproof::bench::aligned;
using normproof::bench::check;
using normproof::bench::DeviceMemory;
using normproof::bench::kAlignment;
using normproof::bench::MeasuredCall;

constexpr int kReplays = 9;
constexpr double kGraphMicroseconds = 400;  // of work in a graph, so that its own start does not count
constexpr std::size_t kLongCopy = std::size_t{8} << 20;  // bytes read and written
constexpr std::int64_t kLeastLaunches = 6, kMostLaunches = 600;
constexpr double kBytesPerMicrosecond = 4.0e6;  // a guess, for the number of launches only
// How long a few lines take depends on where they lie: on an H200, whose L2 cache has two halves, calls of
// one token took 0.83 us in one place and 0.98 in another. So these have several places, far apart.
constexpr std::int64_t kPlaces = 32;
constexpr std::size_t kPlaceStride = 1037 * kAlignment;  // odd, so that places differ in all bits above
// One copy of 512 MiB was seen to run at two thirds of the speed of two of 256
// MiB; the limit is what is possible.
constexpr std::size_t kLargestCopy = std::size_t{256} << 20;

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

class Measurement {
 public:
  Measurement(const normproof_measure_request& request, const MeasuredCall& call, bool by_name)
      : request_(request), call_(call), by_name_(by_name), moved_bytes_(call.moved_bytes()) {
    // A copy of half of what is moved stays within a set.
    set_bytes_ = std::max(call.set_bytes(), aligned(moved_bytes_ / 2));
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
    data_ = buffers.reserve(touched_bytes());
    static int filled_values = -1;
    static std::size_t filled_bytes = 0;
    const std::size_t bytes = stride_ * static_cast<std::size_t>(sets_);
    // Every row anew: what another one has written is not the kind of number that its kernel meets.
    const int values = call_.values();
    const bool same_values = values >= 0 && values == filled_values;
    if (!same_values || bytes > filled_bytes || request_.copy) call_.fill_sets(data_, stride_, sets_);
    filled_bytes = same_values ? std::max(filled_bytes, bytes) : bytes;
    filled_values = values;
    weight_stride_ = std::max(call_.weight_bytes(), kPlaceStride);
    weight_ = weight_buffers.reserve(weight_stride_ * static_cast<std::size_t>(weights_));
    for (std::int64_t i = 0; i < weights_; ++i)
      call_.fill_weights(weight_ + static_cast<std::size_t>(i) * weight_stride_);
    static cudaStream_t stream = [] {
      cudaStream_t made = nullptr;
      check(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "stream");
      return made;
    }();

    normproof_measure_result result{};
    normproof_force_configuration(request_.shape, request_.threads, request_.dependent);
    normproof_launch_report report{};
    launch(0, stream, &report);  // loads the kernel, which a capture must not do
    result.shape = by_name_ ? -1 : normproof_last_shape(&result.dependent);
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
    const bool has_traffic = request_.copy && call_.traffic(data_).has_value();
    if (has_traffic) {
      result.traffic_us = least_traffic_us(0, normproof::bench::kPlainTrafficWays, stream);
      filled_bytes = 0;  // it leaves other numbers
    }
    if (by_name_ && request_.copy) {  // tensors of several kinds, which a copy may have mixed up
      call_.fill_sets(data_, stride_, sets_);
      check(cudaDeviceSynchronize(), "filling");
    }
    Graph kernel(stream, launches_, [&](std::int64_t i) { launch(i % sets_, stream, &report); });
    normproof_force_configuration(-1, 0, 0);
    const std::vector<double> times =
        sorted_times(kernel, request_.replays > 0 ? request_.replays : kReplays, stream);
    result.kernel_us = median(times);
    result.kernel_least_us = times.front();
    result.kernel_most_us = times.back();
    // Where the cache holds everything, nothing is evicted.
    if (has_traffic && request_.cold)
      result.traffic_us = std::min(
          result.traffic_us,
          least_traffic_us(normproof::bench::kPlainTrafficWays, normproof::bench::kTrafficWays, stream));
    return result;
  }

 private:
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
    call_.enqueue(set(index), weight_ + static_cast<std::size_t>(index % weights_) * weight_stride_, stream,
                  report);
  }

  // The median of the fastest of the ways from `first` to before `end`.
  double least_traffic_us(int first, int end, cudaStream_t stream) const {
    double least = std::numeric_limits<double>::infinity();
    for (int way = first; way < end; ++way) {
      Graph moves(stream, launches_, [&](std::int64_t i) {
        check(normproof::bench::enqueue_traffic(*call_.traffic(set(i % sets_)), way, stream), "moving");
      });
      least = std::min(least, median(sorted_times(moves, kReplays, stream)));
    }
    return least;
  }

  // Half of the bytes that the kernel moves are read, half written: into a set that was last touched long
  // ago, or, where it matters that all places are touched that the kernel touches, within the set.
  void copy(std::int64_t index, cudaStream_t stream) const {
    // A long copy of a size that is no multiple of 4 KiB takes up to half as long again (H200).
    const std::size_t unit = moved_bytes_ > kLongCopy ? std::size_t{1} << 16 : 16;
    const std::size_t bytes = moved_bytes_ / 2 / unit * unit;
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
  const MeasuredCall& call_;
  const bool by_name_;
  std::size_t moved_bytes_ = 0, set_bytes_ = 0;
  // Sets of tensors that launches go through in turn, and how far each is from the next.
  std::int64_t sets_ = 1, weights_ = 1, launches_ = 1;
  std::size_t stride_ = 0, weight_stride_ = 0;
  std::byte *data_ = nullptr, *weight_ = nullptr;
};

void write(normproof_message message, const char* text) {
  if (message.data == nullptr || message.capacity == 0) return;
  const std::size_t length = std::min(std::strlen(text), message.capacity - 1);
  std::memcpy(message.data, text, length);
  message.data[length] = '\0';
}

// What `measured` returns, or why it could not be had.
normproof_device_status measure(const std::function<normproof_measure_result()>& measured,
                                normproof_measure_result* result, normproof_message message) {
  try {
    *result = measured();
    write(message, "");
    return NORMPROOF_DEVICE_OK;
  } catch (const normproof::bench::OutOfMemory& error) {
    write(message, error.what());
    return NORMPROOF_DEVICE_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    write(message, error.what());
    return NORMPROOF_DEVICE_FAILED;
  }
}

}  // namespace

normproof_device_status normproof_measure(const normproof_measure_request* request,
                                          normproof_measure_result* result, normproof_message message) {
  return measure(
      [&] {
        const auto call = normproof::bench::norm_call(*request);
        return Measurement(*request, *call, false).run();
      },
      result, message);
}

normproof_device_status normproof_measure_named(const normproof_measure_request* request,
                                                const normproof_measured_call* named,
                                                normproof_measure_result* result, normproof_message message) {
  return measure(
      [&] {
        normproof_measure_request how = *request;
        how.shape = -1;  // no configuration of the operations that have numbers for them
        how.threads = how.dependent = 0;
        const auto call = normproof::bench::named_call(*named);
        return Measurement(how, *call, true).run();
      },
      result, message);
}
