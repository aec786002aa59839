// An invalid call of the C interface is refused, names what is wrong, and writes nothing.
// 1. Decode the bytes to a case and lay it out as a valid call.
// 2. Spoil one or two arguments in ways that the input's hash chooses.
// 3. Call: the refusal must be that of a spoiled argument, and every byte must be as it was.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "corpus/random.h"
#include "fuzz/harness.h"
#include "properties/invalid/invalid_call.h"

namespace normproof::fuzz {

const CaseLimits& case_limits() {
  static const CaseLimits limits = small_valid_cases();
  return limits;
}

namespace {

bool same(const normproof_tensor& a, const normproof_tensor& b) {
  return a.data == b.data && a.dtype == b.dtype && a.rank == b.rank && std::ranges::equal(a.sizes, b.sizes) &&
         std::ranges::equal(a.strides, b.strides);
}

void check(const Case& test_case, Random random) {
  const KernelFunctions* functions = functions_of(target());
  if (functions == nullptr || test_case.rows() == 0) return;
  static GuardedCall::Memory memory;
  const CaseTensors tensors = materialize(test_case);
  GuardedCall call(test_case, tensors, memory);
  const normproof_tensor valid_out = call.description(Role::out);
  std::vector<Refusal> wanted;
  std::string ways;
  const InvalidArgument* first = nullptr;
  for (std::uint64_t count = random.chance(1, 4) ? 2 : 1; count > 0; --count) {
    const InvalidArgument& way = random.pick(invalid_arguments());
    if (&way == first) continue;  // twice the same may be valid again: one byte further and one more
    first = &way;
    const auto refusal = way.spoil(call, test_case);
    if (!refusal) continue;
    wanted.push_back(*refusal);
    ways += fmt::format("{}{}", ways.empty() ? "" : ", then ", way.name);
  }
  if (wanted.empty()) return;
  // One may undo the other: a row more, a row less.
  const auto about_out = [](const Refusal& refusal) { return refusal.argument == "out"; };
  if (wanted.size() > 1 && std::ranges::all_of(wanted, about_out) && call.argument(Role::out) != nullptr &&
      same(call.description(Role::out), valid_out)) {
    return;
  }
  const normproof_status status = call.invoke(*functions);
  std::string problem;
  for (const Refusal& refusal : wanted) {
    problem = problem_of_refusal(refusal, status, call);
    if (problem.empty()) return;
    // Of two spoiled arguments only the first that is looked at is named; which
    // one it is the interface may choose.
    if (wanted.size() > 1 && status != NORMPROOF_OK && call.memory_violations(true).empty()) return;
  }
  report_finding(test_case, fmt::format("invalid call ({}): {}\n  status {}, message \"{}\"", ways, problem,
                                        static_cast<int>(status), call.message()));
}

}  // namespace
}  // namespace normproof::fuzz

int normproof::fuzz::check_case(const Case& test_case, std::uint64_t seed) {
  check(test_case, Random(seed));
  return 0;
}
