// The C face of forced configurations.
#include "kernels/configurations.h"
#include "kernels/device/normproof_device.h"

namespace kernels = normproof::kernels;

void normproof_force_configuration(int32_t shape, int32_t threads, int32_t dependent) {
  const kernels::WantedConfiguration wanted{static_cast<kernels::ShapeKind>(shape), threads, dependent != 0};
  kernels::force_configuration(shape < 0 ? nullptr : &wanted);
}

const char* normproof_shape_name(int32_t shape) {
  for (const char* const* name = kernels::shape_names(); *name != nullptr && shape >= 0; ++name, --shape) {
    if (shape == 0) return *name;
  }
  return nullptr;
}

int32_t normproof_last_shape(int32_t* dependent) {
  const kernels::Configuration last = kernels::last_configuration();
  if (dependent != nullptr) *dependent = last.dependent ? 1 : 0;
  return static_cast<int32_t>(last.shape);
}
