// normproof._core.bound and intervals: what conforming kernels may give.
#pragma once

#include <nanobind/nanobind.h>

namespace normproof::python {

void bind_bound(nanobind::module_& module);

}  // namespace normproof::python
