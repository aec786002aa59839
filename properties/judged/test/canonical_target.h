// A target that gives what the canonical order of summation gives, by its policies, and one that spoils that.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "oracle/row_kernels.h"
#include "properties/judged/verification_call.h"

namespace normproof::judging {

class CanonicalTarget : public JudgedTarget {
 public:
  std::vector<const oracle::judged::JudgedOperation*> judged_operations() const override {
    const auto all = oracle::judged::judged_operations();
    return {all.begin(), all.end()};
  }
  JudgedTakes judged_takes() const override {
    return {{kActivationDTypes.begin(), kActivationDTypes.end()}, true, true, true, codes};
  }
  CallLimits judged_limits(const oracle::judged::JudgedOperation&) const override { return limits; }

  JudgedRun run_judged(const Call& asked, std::byte fill) override {
    const oracle::StandardFloatEnvironment environment;
    const Policy policy = parse_policy(*asked.operation, "native");
    JudgedRun run{RunResult::Status::completed, {}, without_contents(asked), {}};
    std::vector<std::string> names;
    for (const auto& spec : asked.operation->tensors) {
      if (spec.direction != Direction::out || !asked.has(spec.name)) continue;
      std::ranges::fill(run.call.tensors.find(spec.name)->second.bytes, fill);
      if (spec.name != unwritten) names.emplace_back(spec.name);
    }
    if (asked.operation->fill != nullptr) {
      asked.operation->fill(run.call, policy, names);
      return run;
    }
    const Call filled = run.call;
    for (const auto& part : asked.operation->parts(filled, policy)) {
      const auto judge = part.judge();
      std::vector<std::byte> bytes;
      for (std::int64_t unit = 0; unit < part.units; ++unit) {
        const std::vector<std::byte> of_unit = judge->canonical(unit);
        bytes.insert(bytes.end(), of_unit.begin(), of_unit.end());
        for (const auto& unknown : judge->unknowns(unit)) {
          const auto found = run.call.tensors.find(unknown.name);
          const auto* spec = find_tensor(*asked.operation, unknown.name);
          if (spec == nullptr || spec->direction != Direction::out || found == run.call.tensors.end())
            continue;
          store_bits(found->second.bytes, found->second.dtype, unit, unknown.bits);
        }
      }
      if (part.tensor != unwritten) run.call.tensors.find(part.tensor)->second.bytes = std::move(bytes);
    }
    return run;
  }

  CallLimits limits;
  std::string_view unwritten;
  std::vector<DType> codes = {DType::fp8_e4m3fn, DType::int8, DType::uint8};
};

// Before: what it reads in place of the call. After: what it makes of the outputs.
class SpoiledTarget final : public CanonicalTarget {
 public:
  JudgedRun run_judged(const Call& asked, std::byte fill) override {
    Call read = asked;
    if (before) before(read);
    JudgedRun run = CanonicalTarget::run_judged(read, fill);
    Call seen = asked;
    for (const auto& spec : asked.operation->tensors)
      if (const auto found = run.call.tensors.find(spec.name);
          spec.direction == Direction::out && found != run.call.tensors.end())
        seen.tensors[std::string(spec.name)] = std::move(found->second);
    if (after) after(seen);
    run.call = std::move(seen);
    return run;
  }

  std::function<void(Call&)> before, after;
};

}  // namespace normproof::judging
