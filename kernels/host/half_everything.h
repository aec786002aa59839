// All that CUDA has for one 16-bit type, once for each: the includer has defined NORMPROOF_HALF and its
// relatives, which end here. No guard.
#include "kernels/host/half_type.h"

#include "kernels/host/half_conversions.h"

#include "kernels/host/half_arithmetic.h"

#include "kernels/host/half_math.h"

#undef NORMPROOF_HALF
#undef NORMPROOF_HALF2
#undef NORMPROOF_HALF_RAW
#undef NORMPROOF_HALF_RAW_HAS_DATA
#undef NORMPROOF_HALF2_RAW
#undef NORMPROOF_OTHER_HALF
#undef NORMPROOF_HALF_FORMAT
#undef NORMPROOF_HALF_NAMED
#undef NORMPROOF_HALF_PAIR_OF_ONE
#undef NORMPROOF_HALF_NO_CONVERSIONS
#undef NORMPROOF_HALF_NO_OPERATORS
#undef NORMPROOF_HALF2_NO_OPERATORS
