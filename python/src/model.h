// Dumps of a model's norms, and what two of them say of each other, as normproof._core has them.
#pragma once

#include <nanobind/nanobind.h>

namespace normproof::python {

void bind_model(nanobind::module_& module);

}  // namespace normproof::python
