// Judged operations: what a policy gives in the canonical order conforms to it, and what was changed is
// explained by other statistics or refused with a certificate that exact arithmetic confirms.
// 1. Bytes choose operation, dtypes, policy and the seed of a small call.
// 2. Its canonical outputs conform, whatever policy it is, and files keep them.
// 3. One output is changed. The judge decides, and its certificate (which it checks by integers, and throws
// where
//    they disagree) names something that is there.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "oracle/judged/call_files.h"
#include "oracle/row_kernels.h"
#include "properties/judged/cases.h"

namespace {

using namespace normproof;
using judging::Call;
using judging::Policy;
using oracle::judged::JudgedOperation;

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  std::uint64_t next(std::size_t count) {
    std::uint64_t value = 0;
    for (; count > 0; --count) value = value << 8 | (at_ < size_ ? data_[at_++] : 0u);
    return value;
  }
  std::uint64_t below(std::uint64_t bound) { return next(2) % bound; }

 private:
  const std::uint8_t* data_;
  std::size_t size_, at_ = 0;
};

[[noreturn]] void fail(const char* what, const Call& call, const Policy& policy) {
  fmt::print(stderr, "{}\n{}\n", what, call_to_json(call, to_string(policy)));
  std::abort();
}

Call drawn_call(Bytes& bytes) {
  const auto operations = oracle::judged::judged_operations();
  judging::CaseDemand demand;
  demand.operation = operations[bytes.below(operations.size())];
  demand.dtype = kActivationDTypes[bytes.below(kActivationDTypes.size())];
  const auto some = [&]() -> std::optional<DType> {
    const std::uint64_t kind = bytes.below(3);
    if (kind == 0) return std::nullopt;
    return kind == 1 ? demand.dtype : DType::fp32;
  };
  demand.weight = some();
  demand.bias = demand.weight ? some() : std::nullopt;
  demand.rotation = bytes.below(2) == 0 ? demand.dtype : DType::fp32;
  demand.with_optional = bytes.below(2) == 0;
  demand.max_rows = 2;
  demand.max_hidden = 24;
  return judging::random_call(demand, bytes.next(4), 0);
}

// With the outputs of the policy. Codes have the dtype that the bytes choose.
Call honest_call(Call call, const Policy& policy, Bytes& bytes) {
  std::vector<std::string> outputs;
  for (const auto& spec : call.operation->tensors) {
    if (spec.direction != Direction::out) continue;
    // Of numbers for each row the canonical outputs are not all of one part.
    const bool is_filled = call.operation->fill != nullptr;
    if (spec.extent == oracle::judged::Extent::row && !is_filled) continue;
    if (spec.extent == oracle::judged::Extent::codes)
      call.tensors[std::string(spec.name)] = {spec.dtypes[bytes.below(spec.dtypes.size())], {}, {}};
    outputs.emplace_back(spec.name);
  }
  return judging::with_canonical_outputs(std::move(call), policy, outputs);
}

std::string changed_output(Call& call, Bytes& bytes) {
  std::vector<std::string> outputs;
  for (const auto& spec : call.operation->tensors)
    if (const auto* tensor = call.find(spec.name); spec.direction == Direction::out && tensor != nullptr)
      if (!tensor->bytes.empty()) outputs.emplace_back(spec.name);
  if (outputs.empty()) return {};
  const std::string name = outputs[bytes.below(outputs.size())];
  std::vector<std::byte>& of = call.tensors.at(name).bytes;
  of[bytes.next(2) % of.size()] ^= std::byte{static_cast<std::uint8_t>(1u << bytes.below(8))};
  return name;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const oracle::StandardFloatEnvironment environment;
  Bytes bytes(data, size);
  const Call inputs = drawn_call(bytes);
  const JudgedOperation& operation = *inputs.operation;
  const auto policies = all_policies(inputs, parse_policy(operation, "native"));
  const Policy policy = policies.at(bytes.below(policies.size()));
  if (!operation.misfit(inputs, policy).empty()) return 0;
  Call call = honest_call(inputs, policy, bytes);
  if (!operation.misfit(call, policy).empty()) return 0;
  const judging::JudgeOptions options{1, 2, false};
  if (!judging::judge(call, policy, options).conforms())
    fail("canonical outputs do not conform", call, policy);
  const Call kept = oracle::judged::call_from_json(call_to_json(call, {}), {}, true).call;
  for (const auto& [name, tensor] : call.tensors)
    if (kept.at(name).bytes != tensor.bytes || kept.at(name).shape != tensor.shape)
      fail("the call changed on its way", call, policy);

  const std::string changed = changed_output(call, bytes);
  const judging::Judgement judgement = judging::judge(call, policy, options);
  if (judgement.conforms()) return 0;
  for (const judging::Violation& violation : judgement.first_violations) {
    if (violation.text().empty()) fail("a violation says nothing", call, policy);
    if (violation.row < 0 || violation.row >= std::max<std::int64_t>(call.rows(), 1))
      fail("a violation is of a row that is not there", call, policy);
  }
  if (judgement.first_violations.empty()) fail("a violation without a certificate", call, policy);
  return 0;
}
