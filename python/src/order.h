// normproof._core.find_order: the order of summation of a Python function.
#pragma once

#include <nanobind/nanobind.h>

namespace normproof::python {

void bind_order(nanobind::module_& module);

}  // namespace normproof::python
