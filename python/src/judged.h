// Operations that are judged where outputs are given, for the extension module.
#pragma once

#include <nanobind/nanobind.h>

namespace normproof::python {

void bind_judged(nanobind::module_& module);

}  // namespace normproof::python
