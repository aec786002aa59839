#include "python/src/kernels_library.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "properties/run/kernel_target.h"

namespace nb = nanobind;

namespace normproof::python {
namespace {

using Sizes = std::vector<std::int64_t>;

// A tensor of up to four dimensions at an address, 0 for none.
class Argument {
 public:
  Argument(std::uintptr_t address, int dtype, const Sizes& sizes, const Sizes& strides) {
    if (sizes.size() > 4 || sizes.size() != strides.size())
      throw std::invalid_argument("a tensor has 1 to 4 dimensions and as many strides, got " +
                                  std::to_string(sizes.size()) + " and " + std::to_string(strides.size()));
    tensor_.data = reinterpret_cast<void*>(address);
    tensor_.dtype = static_cast<normproof_dtype>(dtype);
    tensor_.rank = static_cast<std::int32_t>(sizes.size());
    std::copy(sizes.begin(), sizes.end(), tensor_.sizes);
    std::copy(strides.begin(), strides.end(), tensor_.strides);
    present_ = !sizes.empty();
  }
  const normproof_tensor* get() const { return present_ ? &tensor_ : nullptr; }

 private:
  normproof_tensor tensor_{};
  bool present_ = false;
};

class KernelsLibrary {
 public:
  // The path of a build for a device; empty: the kernels in this module, on the CPU.
  explicit KernelsLibrary(const std::string& path)
      : functions_(path.empty() ? linked_kernels() : load_kernels(path)) {}

  void rms_norm(const Argument& out, const Argument& x, const Argument& weight, float epsilon,
                std::uintptr_t stream) const {
    call(
        [&](auto... common) {
          return functions_.rms_norm(out.get(), x.get(), weight.get(), epsilon, common...);
        },
        stream);
  }
  void fused_add_rms_norm(const Argument& x, const Argument& residual, const Argument& weight, float epsilon,
                          std::uintptr_t stream) const {
    call(
        [&](auto... common) {
          return functions_.fused_add_rms_norm(x.get(), residual.get(), weight.get(), epsilon, common...);
        },
        stream);
  }
  void rms_norm_static_fp8_quant(const Argument& out, const Argument& x, const Argument& weight,
                                 std::uintptr_t scale, float epsilon, std::uintptr_t stream) const {
    call(
        [&](auto... common) {
          return functions_.rms_norm_static_fp8_quant(
              out.get(), x.get(), weight.get(), reinterpret_cast<const float*>(scale), epsilon, common...);
        },
        stream);
  }
  void fused_add_rms_norm_static_fp8_quant(const Argument& out, const Argument& x, const Argument& residual,
                                           const Argument& weight, std::uintptr_t scale, float epsilon,
                                           std::uintptr_t stream) const {
    call(
        [&](auto... common) {
          return functions_.fused_add_rms_norm_static_fp8_quant(
              out.get(), x.get(), residual.get(), weight.get(), reinterpret_cast<const float*>(scale),
              epsilon, common...);
        },
        stream);
  }

 private:
  // Refused arguments are the caller's fault, a failed launch is not.
  template <class Function>
  static void call(Function function, std::uintptr_t stream) {
    std::array<char, 512> text{};
    const normproof_message message{text.data(), text.size()};
    const normproof_launch* automatic = nullptr;
    normproof_launch_report* no_report = nullptr;
    const normproof_status status =
        function(automatic, reinterpret_cast<normproof_stream>(stream), no_report, message);
    if (status == NORMPROOF_LAUNCH_FAILED) throw std::runtime_error(text.data());
    if (status != NORMPROOF_OK) throw std::invalid_argument(text.data());
  }

  KernelFunctions functions_;
};

}  // namespace

void bind_kernels_library(nb::module_& module) {
  nb::class_<Argument>(module, "Argument")
      .def(nb::init<std::uintptr_t, int, const Sizes&, const Sizes&>(), nb::arg("address"), nb::arg("dtype"),
           nb::arg("sizes"), nb::arg("strides"));
  nb::class_<KernelsLibrary>(module, "KernelsLibrary")
      .def(nb::init<const std::string&>(), nb::arg("path"))
      .def("rms_norm", &KernelsLibrary::rms_norm)
      .def("fused_add_rms_norm", &KernelsLibrary::fused_add_rms_norm)
      .def("rms_norm_static_fp8_quant", &KernelsLibrary::rms_norm_static_fp8_quant)
      .def("fused_add_rms_norm_static_fp8_quant", &KernelsLibrary::fused_add_rms_norm_static_fp8_quant);
}

}  // namespace normproof::python
