// `normproof check` takes any file of a judged operation: it is judged or refused with a reason, never a
// crash, never a judge that throws.
// 1. Read the bytes as a call in JSON (they begin with '{') or as a dump.
// 2. What was read is written as JSON and read again, and must be the same.
// 3. Judge the outputs by the file's policy, else by native, and by one more. The judge checks its
// certificates by exact arithmetic and throws where they do not hold.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "corpus/case_json.h"
#include "corpus/safetensors.h"
#include "fuzz/memory_file.h"
#include "oracle/judged/call_files.h"
#include "oracle/row_kernels.h"
#include "properties/judged/judge.h"

namespace {

using namespace normproof;
using oracle::judged::StoredCall;

constexpr std::int64_t kMaximumElements = 1 << 10;  // of a call that is judged

std::optional<StoredCall> read_bytes(std::string_view content) {
  try {
    if (content.starts_with('{')) return oracle::judged::call_from_json(content, {}, true);
    return oracle::judged::read_call_if_judged(fuzz::MemoryFile(content).path(), {}, true);
  } catch (const CaseError&) {
    return std::nullopt;
  } catch (const SafetensorsError&) {
    return std::nullopt;
  }
}

std::optional<judging::Policy> policy_of(const StoredCall& stored) {
  try {
    return parse_policy(*stored.call.operation, stored.policy.value_or("native"));
  } catch (const std::invalid_argument&) {
    return std::nullopt;
  }
}

void judge_by(const judging::Call& call, const judging::Policy& policy) {
  if (!call.operation->misfit(call, policy).empty()) return;
  const judging::Judgement judgement = judging::judge(call, policy, {1, 2, true});
  if (judging::to_text(judgement, policy).empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto stored = read_bytes({reinterpret_cast<const char*>(data), size});
  if (!stored || stored->call.at("x").elements() > kMaximumElements) return 0;
  const oracle::StandardFloatEnvironment environment;
  const judging::Call& call = stored->call;
  const std::string text = call_to_json(call, stored->policy);
  if (call_to_json(oracle::judged::call_from_json(text, {}, true).call, stored->policy) != text) {
    fmt::print(stderr, "the call changed on its way\n{}\n", text);
    std::abort();
  }
  const auto policy = policy_of(*stored);
  if (!policy) return 0;
  judge_by(call, *policy);
  const auto policies = all_policies(call, *policy);
  if (!policies.empty()) judge_by(call, policies[size % policies.size()]);
  return 0;
}
