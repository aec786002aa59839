// `normproof check` takes any file: it is judged or refused with a reason, never a crash, never unbounded
// memory.
// 1. Read the bytes as a case file (they begin with '{') or as a dump.
// 2. What was read is written and read again, and must be the same.
// 3. Judge the outputs under a policy. The judge checks its own certificates by exact arithmetic and throws
// where they do not hold; and outputs that the canonical judge accepts have a witness.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "corpus/case_json.h"
#include "corpus/dump.h"
#include "fuzz/memory_file.h"
#include "oracle/canonical_judge.h"
#include "oracle/witness_judge.h"

namespace {

using namespace normproof;

constexpr std::int64_t kMaximumElements = 1 << 14;  // of a case that is judged

std::optional<Case> read_bytes(std::string_view content) {
  try {
    if (content.starts_with('{')) return case_from_json(content);
    return read_dump(fuzz::MemoryFile(content).path()).test_case;
  } catch (const CaseError&) {
    return std::nullopt;
  } catch (const SafetensorsError&) {
    return std::nullopt;
  }
}

[[noreturn]] void fail(const char* what, const Case& test_case) {
  fmt::print(stderr, "{}\n{}\n", what, case_to_json(test_case));
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto read = read_bytes({reinterpret_cast<const char*>(data), size});
  if (!read || !read->outputs || read->elements() > kMaximumElements) return 0;
  const Case& test_case = *read;
  if (!validate(test_case).empty()) fail("the reader accepted an invalid case", test_case);
  if (case_from_json(case_to_json(test_case)) != test_case) fail("the case changed on its way", test_case);

  const auto policies = oracle::all_policies(test_case);
  const oracle::Policy policy = policies[size % policies.size()];
  const CaseTensors tensors = materialize(test_case);
  const auto witness = oracle::judge_witness(test_case, tensors, *test_case.outputs, policy);
  const auto canonical = oracle::judge_canonical(test_case, tensors, *test_case.outputs, policy);
  if (canonical.conforms() && !witness.conforms()) fail("canonical outputs have no witness", test_case);
  return 0;
}
