// The reader of case files takes any bytes: a case or an error with a path, never a crash, never unbounded
// memory. What it accepts is valid, and written and read again it is the same case.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "corpus/case_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace normproof;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Case test_case;
  try {
    test_case = case_from_json(text);
  } catch (const CaseError&) {
    return 0;
  }
  const auto reasons = validate(test_case);
  if (!reasons.empty()) {
    fmt::print(stderr, "the reader accepted an invalid case: {}\n", reasons.front());
    std::abort();
  }
  const std::string written = case_to_json(test_case);
  if (case_from_json(written) != test_case) {
    fmt::print(stderr, "a case changed when it was written and read again:\n{}\n", written);
    std::abort();
  }
  return 0;
}
