// What the headers of torch stand in for, all of it: each of them includes this.
#pragma once

#include <normproof_torch/check.h>
#include <normproof_torch/cuda.h>
#include <normproof_torch/dispatch.h>
#include <normproof_torch/library.h>
#include <normproof_torch/scalar_types.h>
#include <normproof_torch/tensor.h>
