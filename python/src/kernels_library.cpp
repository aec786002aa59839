#include "python/src/kernels_library.h"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "oracle/row_kernels.h"
#include "properties/targets/kernel_target.h"

namespace nb = nanobind;

namespace normproof::python {
namespace {

constexpr Py_ssize_t kMaximumRank = 4;

std::string text_of(nb::handle object) { return nb::str(object).c_str(); }

// A tensor argument of a call; one that is None is passed on as missing.
struct Argument {
  const char* name = "";
  nb::handle object;
  normproof_tensor tensor{};
  bool present = false;
  const normproof_tensor* get() const { return present ? &tensor : nullptr; }
};

// Reads tensors by what torch.Tensor says of itself: data_ptr(), dtype, shape, stride(), get_device().
class TensorReader {
 public:
  // The dtypes that are known, each with its normproof_dtype.
  explicit TensorReader(nb::dict dtypes) : dtypes_(std::move(dtypes)) {}

  Argument read(const char* name, nb::handle object) const {
    Argument argument{.name = name, .object = object};
    if (object.is_none()) return argument;
    argument.present = true;
    normproof_tensor& tensor = argument.tensor;
    tensor.data = reinterpret_cast<void*>(nb::cast<std::uintptr_t>(object.attr(data_ptr_)()));
    tensor.dtype = dtype_of(object);
    const nb::object shape = object.attr(shape_), strides = object.attr(stride_)();
    if (!PyTuple_Check(shape.ptr()) || !PyTuple_Check(strides.ptr()))
      throw nb::type_error((std::string(name) + ": shape and stride() must be tuples").c_str());
    const Py_ssize_t rank = PyTuple_Size(shape.ptr());
    if (rank > kMaximumRank || PyTuple_Size(strides.ptr()) != rank) {
      throw std::invalid_argument(std::string(name) + ": expected at most " + std::to_string(kMaximumRank) +
                                  " dimensions, got " + std::to_string(rank));
    }
    tensor.rank = static_cast<std::int32_t>(rank);
    for (Py_ssize_t dim = 0; dim < rank; ++dim) {
      tensor.sizes[dim] = PyLong_AsLongLong(PyTuple_GetItem(shape.ptr(), dim));
      tensor.strides[dim] = PyLong_AsLongLong(PyTuple_GetItem(strides.ptr(), dim));
    }
    if (PyErr_Occurred()) throw nb::python_error();
    return argument;
  }

  // Throws where tensors lie on different devices; the second names the one that all must be on.
  void require_same_device(std::initializer_list<const Argument*> arguments) const {
    const Argument& x = **(arguments.begin() + 1);
    const int device = device_of(x);
    for (const Argument* other : arguments) {
      if (!other->present || other == &x || device_of(*other) == device) continue;
      throw std::invalid_argument(std::string(other->name) + ": expected a tensor on " +
                                  text_of(x.object.attr("device")) + ", the device of " + x.name + ", got " +
                                  text_of(other->object.attr("device")));
    }
  }

 private:
  int device_of(const Argument& argument) const { return nb::cast<int>(argument.object.attr(get_device_)()); }

  normproof_dtype dtype_of(nb::handle object) const {
    const nb::object dtype = object.attr(dtype_);
    if (PyObject* number = PyDict_GetItemWithError(dtypes_.ptr(), dtype.ptr()))
      return static_cast<normproof_dtype>(nb::cast<int>(nb::handle(number)));
    if (PyErr_Occurred()) throw nb::python_error();
    std::string known;
    for (const auto [each, number] : dtypes_) known += (known.empty() ? "" : ", ") + text_of(each);
    throw nb::type_error(("normproof: expected " + known + ", got " + text_of(dtype)).c_str());
  }

  nb::dict dtypes_;
  nb::str data_ptr_{"data_ptr"}, dtype_{"dtype"}, shape_{"shape"}, stride_{"stride"},
      get_device_{"get_device"};
};

class KernelsLibrary {
 public:
  // The path of a build for a device; empty: the kernels in this module, on the CPU.
  KernelsLibrary(const std::string& path, nb::dict dtypes)
      : functions_(path.empty() ? linked_kernels() : load_kernels(path)), reader_(std::move(dtypes)) {}

  void rms_norm(nb::handle out, nb::handle x, nb::handle weight, double epsilon,
                std::uintptr_t stream) const {
    const Argument out_read = reader_.read("out", out), x_read = reader_.read("x", x),
                   weight_read = reader_.read("weight", weight);
    reader_.require_same_device({&out_read, &x_read, &weight_read});
    call(
        [&](auto... common) {
          return functions_.rms_norm(out_read.get(), x_read.get(), weight_read.get(),
                                     static_cast<float>(epsilon), common...);
        },
        stream);
  }
  void fused_add_rms_norm(nb::handle x, nb::handle residual, nb::handle weight, double epsilon,
                          std::uintptr_t stream) const {
    const Argument x_read = reader_.read("x", x), residual_read = reader_.read("residual", residual),
                   weight_read = reader_.read("weight", weight);
    reader_.require_same_device({&residual_read, &x_read, &weight_read});
    call(
        [&](auto... common) {
          return functions_.fused_add_rms_norm(x_read.get(), residual_read.get(), weight_read.get(),
                                               static_cast<float>(epsilon), common...);
        },
        stream);
  }
  void rms_norm_static_fp8_quant(nb::handle out, nb::handle x, nb::handle weight, nb::handle scale,
                                 double epsilon, std::uintptr_t stream) const {
    const Argument out_read = reader_.read("out", out), x_read = reader_.read("x", x),
                   weight_read = reader_.read("weight", weight), scale_read = read_number("scale", scale);
    reader_.require_same_device({&out_read, &x_read, &weight_read, &scale_read});
    call(
        [&](auto... common) {
          return functions_.rms_norm_static_fp8_quant(out_read.get(), x_read.get(), weight_read.get(),
                                                      static_cast<const float*>(scale_read.tensor.data),
                                                      static_cast<float>(epsilon), common...);
        },
        stream);
  }
  void fused_add_rms_norm_static_fp8_quant(nb::handle out, nb::handle x, nb::handle residual,
                                           nb::handle weight, nb::handle scale, double epsilon,
                                           std::uintptr_t stream) const {
    const Argument out_read = reader_.read("out", out), x_read = reader_.read("x", x),
                   residual_read = reader_.read("residual", residual),
                   weight_read = reader_.read("weight", weight), scale_read = read_number("scale", scale);
    reader_.require_same_device({&out_read, &x_read, &residual_read, &weight_read, &scale_read});
    call(
        [&](auto... common) {
          return functions_.fused_add_rms_norm_static_fp8_quant(
              out_read.get(), x_read.get(), residual_read.get(), weight_read.get(),
              static_cast<const float*>(scale_read.tensor.data), static_cast<float>(epsilon), common...);
        },
        stream);
  }

  // Any operation, its tensors by name.
  void call_operation(const std::string& name, nb::dict tensors, double epsilon,
                      std::uintptr_t stream) const {
    const auto operation = operation_from_name(name);
    if (!operation) throw std::invalid_argument("operation: there is no " + name);
    std::vector<Argument> arguments;
    std::vector<Role> roles;
    for (const TensorSpec& tensor : spec_of(*operation).tensors) {
      if (tensor.aliasing == Aliasing::always) continue;
      const char* key = tensor.role == Role::input ? "x" : name_of(tensor.role).data();
      arguments.push_back(!tensors.contains(key)         ? Argument{.name = key, .object = {}}
                          : tensor.extent == Extent::one ? read_number(key, tensors[key])
                                                         : reader_.read(key, tensors[key]));
      roles.push_back(tensor.role);
    }
    const auto input = std::ranges::find(roles, Role::input) - roles.begin();
    KernelCall kernel_call;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      reader_.require_same_device({&arguments[i], &arguments[static_cast<std::size_t>(input)]});
      kernel_call.tensors[roles[i]] = arguments[i].get();
    }
    kernel_call.epsilon = static_cast<float>(epsilon);
    call(
        [&](const normproof_launch*, normproof_stream where, normproof_launch_report*,
            normproof_message message) {
          kernel_call.stream = where;
          kernel_call.message = message;
          return call_kernel(functions_, *operation, kernel_call);
        },
        stream);
  }

 private:
  Argument read_number(const char* name, nb::handle object) const {
    const Argument argument = reader_.read(name, object);
    if (!argument.present) return argument;
    const normproof_tensor& tensor = argument.tensor;
    if (tensor.dtype != NORMPROOF_FP32 ||
        std::any_of(tensor.sizes, tensor.sizes + tensor.rank, [](std::int64_t size) { return size != 1; })) {
      throw std::invalid_argument(std::string(name) + ": expected one float32 number, got " +
                                  text_of(object.attr("shape")) + " of " + text_of(object.attr("dtype")));
    }
    return argument;
  }

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
  TensorReader reader_;
};

}  // namespace

void bind_kernels_library(nb::module_& module) {
  // An epsilon is rounded, and the kernels compute, in no other environment than a GPU has.
  constexpr nb::call_guard<oracle::StandardFloatEnvironment> standard_floats;
  nb::class_<KernelsLibrary>(module, "KernelsLibrary")
      .def(nb::init<const std::string&, nb::dict>(), nb::arg("path"), nb::arg("dtypes"))
      .def("rms_norm", &KernelsLibrary::rms_norm, nb::arg("out"), nb::arg("x"), nb::arg("weight").none(),
           nb::arg("epsilon"), nb::arg("stream"), standard_floats)
      .def("fused_add_rms_norm", &KernelsLibrary::fused_add_rms_norm, nb::arg("x"), nb::arg("residual"),
           nb::arg("weight").none(), nb::arg("epsilon"), nb::arg("stream"), standard_floats)
      .def("rms_norm_static_fp8_quant", &KernelsLibrary::rms_norm_static_fp8_quant, nb::arg("out"),
           nb::arg("x"), nb::arg("weight").none(), nb::arg("scale"), nb::arg("epsilon"), nb::arg("stream"),
           standard_floats)
      .def("fused_add_rms_norm_static_fp8_quant", &KernelsLibrary::fused_add_rms_norm_static_fp8_quant,
           nb::arg("out"), nb::arg("x"), nb::arg("residual"), nb::arg("weight").none(), nb::arg("scale"),
           nb::arg("epsilon"), nb::arg("stream"), standard_floats)
      .def("call", &KernelsLibrary::call_operation, nb::arg("operation"), nb::arg("tensors"),
           nb::arg("epsilon"), nb::arg("stream"), standard_floats);
}

}  // namespace normproof::python
