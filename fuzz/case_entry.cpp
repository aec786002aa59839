// The engine's entry for harnesses whose input is a case in binary form: past what a campaign knows already.
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "corpus/call_limits.h"
#include "corpus/case_bytes.h"
#include "corpus/case_json.h"
#include "fuzz/harness.h"

namespace normproof::fuzz {

Case case_of(std::span<const std::uint8_t> input) {
  Case test_case = case_from_bytes(input, case_limits());
  fit_to(target().limits_of(test_case.operation), test_case);
  give_values(test_case);
  note_input([&] { return case_to_json(test_case); });
  return test_case;
}

}  // namespace normproof::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace normproof;
  using Clock = std::chrono::steady_clock;
  static fuzz::KnownTally known;
  const auto begin = Clock::now();
  const Case test_case = fuzz::case_of({data, size});
  if (fuzz::is_left_out(test_case)) {
    known.add_left_out();
    return 0;
  }
  try {
    return fuzz::check_case(test_case, fuzz::seed_of({data, size}));
  } catch (const fuzz::KnownViolation&) {
    known.add_violation(std::chrono::duration<double>(Clock::now() - begin).count());
    return 0;
  }
}
