// See cuda_profiler_api.h.
#pragma once
#include <cuda_profiler_api.h>
