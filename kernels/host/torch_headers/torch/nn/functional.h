// Stands in for torch. Its functions that compute are not here.
#pragma once
#include <torch/all.h>
