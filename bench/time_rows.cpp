// Times the kernels of the libbench_cuda.so that it is linked to, one row of standard input after the other:
// "adds_residual quantizes dtype rows hidden", numbers as in measure.h. Prints the microseconds of each. It
// knows no more of measure.h than what every version of it has, so that compare_builds.py can compile it
// against each.
#include <cstdio>

#include "bench/measure.h"

int main() {
  int adds = 0, quantizes = 0, dtype = 0;
  long long rows = 0, hidden = 0;
  constexpr long long kColdRows =
      1024;  // as `normproof bench` has it: from here on the cache does not hold what is read
  while (std::scanf("%d %d %d %lld %lld", &adds, &quantizes, &dtype, &rows, &hidden) == 5) {
    normproof_measure_request request{};
    request.adds_residual = adds;
    request.quantizes = quantizes;
    request.dtype = static_cast<normproof_dtype>(dtype);
    request.rows = rows;
    request.hidden = hidden;
    request.cold = rows >= kColdRows;
    request.shape = -1;
    normproof_measure_result result{};
    char text[512] = {};
    if (normproof_measure(&request, &result, {text, sizeof text}) != NORMPROOF_DEVICE_OK) {
      std::fprintf(stderr, "%lld rows of %lld: %s\n", rows, hidden, text);
      return 3;
    }
    std::printf("%.4f\n", result.kernel_us);
    std::fflush(stdout);
  }
  return 0;
}
