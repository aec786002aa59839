// Every output bit is what the contract says, nothing else is written, and what must be refused is refused.
// 1. Decode the bytes to a case: operation, dtypes, shape, layout, epsilon, scale, data, launch, thread
// order.
// 2. Run it on the target between guard zones.
// 3. Judge the outputs with the exact oracle; abort on a violation.
#include <cstddef>
#include <cstdint>

#include "corpus/case_bytes.h"
#include "fuzz/harness.h"
#include "properties/run/evaluate.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace normproof;
  const Case test_case = case_from_bytes({data, size}, fuzz::fuzz_limits());
  const Evaluation evaluation = evaluate(test_case, fuzz::target());
  if (evaluation.violates()) fuzz::report_finding(test_case, describe(test_case, evaluation));
  return 0;
}
