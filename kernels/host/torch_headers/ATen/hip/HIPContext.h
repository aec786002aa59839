// Stands in for torch: see normproof_torch/.
#pragma once
#include <normproof_torch/hip.h>
