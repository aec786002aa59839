// The kernels on tensors where they lie, without a copy: what torch's ops call. Nothing here knows torch.
#pragma once

#include <nanobind/nanobind.h>

namespace normproof::python {

// Adds the class KernelsLibrary to the module.
void bind_kernels_library(nanobind::module_& module);

}  // namespace normproof::python
