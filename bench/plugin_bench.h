// Speed of a plug-in: somebody's kernel behind properties/plugin/normproof_plugin.h, called in this process.
// On the CPU beside memcpy of the same bytes; on a GPU by bench/measure.h, which calls what attach() names.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "bench/cuda_bench.h"
#include "properties/targets/worker/plugin_callee.h"

namespace normproof::bench {

class PluginBench {
 public:
  // Loads the library. Throws TargetError saying what is wrong with it.
  explicit PluginBench(const std::string& library);

  std::string name() const { return description_.name; }
  bool on_device() const { return description_.on_device; }
  // Whether it is made for the row's operation and dtype, with a weight of that dtype.
  bool takes(const Row& row) const;

  // In host memory: medians of rounds of calls and of copies, in turn. Nothing where the plug-in does not
  // take the call after all. Throws TargetError where it says that the call failed.
  std::optional<normproof_measure_result> measure(const Row& row);
  // In device memory: has the row's request call the plug-in. A call that it does not take or that fails
  // becomes the measurement's failure, with the plug-in's message.
  void attach(const Row& row, normproof_measure_request& request);

  // What a call of the row touches.
  static std::size_t bytes_of(const Row& row);

 private:
  worker::PluginDescription description_;
  std::unique_ptr<worker::Callee> callee_;
};

}  // namespace normproof::bench
