// normproof._core.beside: codes of a fused kernel beside the unfused computation.
#pragma once

#include <nanobind/nanobind.h>

namespace normproof::python {

void bind_beside(nanobind::module_& module);

}  // namespace normproof::python
