// Uses headers and functions of the installed oracle and kernels.
#include "kernels/normproof_kernels.h"
#include "oracle/policy.h"

int main() {
  const bool parsed =
      normproof::oracle::parse_policy("weight=fp32").weight == normproof::oracle::WeightPolicy::fp32;
  return parsed && &normproof_rms_norm != nullptr ? 0 : 1;
}
