// The functions that run the norm family's operations, by the file that they stand in. Each checks its call,
// chooses a kernel and launches it.
#pragma once

#include "kernels/family/named_call.h"
