// Registrations, TORCH_LIBRARY and PYBIND11_MODULE: they are collected, so that an adapter can say what a
// source offers.
#pragma once

#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include <normproof_torch/tensor.h>

namespace normproof_torch {

struct RegisteredOperation {
  std::string library;  // of TORCH_LIBRARY, or the module's name
  std::string name;     // or a whole schema: "rms_norm(Tensor! out, ...) -> ()"
  std::string type;     // of the function, as the compiler spells it; empty where only a schema was given
};
inline std::vector<RegisteredOperation>& registered_operations() {
  static std::vector<RegisteredOperation> operations;
  return operations;
}

// m in TORCH_LIBRARY(name, m) { m.def(...); m.impl(...); } and in PYBIND11_MODULE.
class Library {
 public:
  explicit Library(std::string name) : name_(std::move(name)) {}
  template <class... Rest>
  Library& def(const char* schema, const Rest&... rest) {
    add(schema, rest...);
    return *this;
  }
  template <class First, class... Rest>
  Library& impl(const char* name, const First& first, const Rest&... rest) {
    add(name, first, rest...);
    return *this;
  }
  // m.doc() = "..."; m.attr("name") = value;
  struct Ignored {
    template <class T>
    Ignored& operator=(const T&) {
      return *this;
    }
  };
  Ignored doc() const { return {}; }
  Ignored attr(const char*) const { return {}; }
  template <class... Rest>
  Library& class_(const Rest&...) {
    return *this;
  }

 private:
  template <class... Rest>
  void add(const char* name, [[maybe_unused]] const Rest&... rest) {
    std::string type;
    ((type = std::is_function_v<std::remove_pointer_t<Rest>> ? typeid(Rest).name() : type), ...);
    registered_operations().push_back({name_, name, type});
  }
  std::string name_;
};

struct Registration {
  Registration(const char* name, void (*fill)(Library&)) {
    Library library(name);
    fill(library);
  }
};

}  // namespace normproof_torch

namespace torch {
using Library = normproof_torch::Library;
// Wraps a function for m.impl: the function itself here.
template <class Function>
Function wrap_pybind_function(Function function) {
  return function;
}
template <class Function>
Function dispatch(c10::DeviceType, Function function) {
  return function;
}
}  // namespace torch
namespace pybind11 {
using module_ = normproof_torch::Library;
struct gil_scoped_release {};
struct gil_scoped_acquire {};
template <class... Guards>
struct call_guard {};
struct arg {
  explicit arg(const char*) {}
  template <class T>
  arg& operator=(const T&) {
    return *this;
  }
  arg& none(bool = true) { return *this; }
};
}  // namespace pybind11
namespace py = pybind11;

#define NORMPROOF_TORCH_PASTE_(a, b) a##b
#define NORMPROOF_TORCH_PASTE(a, b) NORMPROOF_TORCH_PASTE_(a, b)
#define NORMPROOF_TORCH_LIBRARY(name, m, number)                                                       \
  static void NORMPROOF_TORCH_PASTE(normproof_fill_, number)(::normproof_torch::Library&);             \
  static const ::normproof_torch::Registration NORMPROOF_TORCH_PASTE(normproof_registration_, number)( \
      #name, &NORMPROOF_TORCH_PASTE(normproof_fill_, number));                                         \
  static void NORMPROOF_TORCH_PASTE(normproof_fill_, number)([[maybe_unused]] ::normproof_torch::Library & m)
#define TORCH_LIBRARY(name, m) NORMPROOF_TORCH_LIBRARY(name, m, __COUNTER__)
#define TORCH_LIBRARY_FRAGMENT(name, m) NORMPROOF_TORCH_LIBRARY(name, m, __COUNTER__)
#define TORCH_LIBRARY_IMPL(name, key, m) NORMPROOF_TORCH_LIBRARY(name, m, __COUNTER__)
#define STABLE_TORCH_LIBRARY(name, m) NORMPROOF_TORCH_LIBRARY(name, m, __COUNTER__)
#define STABLE_TORCH_LIBRARY_FRAGMENT(name, m) NORMPROOF_TORCH_LIBRARY(name, m, __COUNTER__)
#define STABLE_TORCH_LIBRARY_IMPL(name, key, m) NORMPROOF_TORCH_LIBRARY(name, m, __COUNTER__)
#define TORCH_BOX(function) (function)
#define PYBIND11_MODULE(name, m, ...) NORMPROOF_TORCH_LIBRARY(name, m, __COUNTER__)
#ifndef TORCH_EXTENSION_NAME
#define TORCH_EXTENSION_NAME extension
#endif
