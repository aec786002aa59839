// A target that gives what the canonical order of summation gives, by its policies, and one that spoils that.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "properties/judged/canonical.h"
#include "properties/judged/verification_call.h"

namespace normproof::judging {

class CanonicalTarget : public JudgedTarget {
 public:
  std::vector<const oracle::judged::JudgedOperation*> judged_operations() const override {
    const auto all = oracle::judged::judged_operations();
    return {all.begin(), all.end()};
  }
  JudgedTakes judged_takes() const override {
    return {{kActivationDTypes.begin(), kActivationDTypes.end()},
            true,
            true,
            true,
            codes,
            takes_everything,
            takes_everything,
            takes_everything,
            takes_everything,
            takes_everything};
  }
  CallLimits judged_limits(const oracle::judged::JudgedOperation&) const override { return limits; }

  JudgedRun run_judged(const Call& asked, std::byte fill) override {
    JudgedRun run{RunResult::Status::completed, {}, without_contents(asked), {}};
    run.call = as_canonical(std::move(run.call), parse_policy(*asked.operation, policy));
    if (const auto left = run.call.tensors.find(unwritten); left != run.call.tensors.end())
      std::ranges::fill(left->second.bytes, fill);
    return run;
  }

  CallLimits limits;
  std::string policy = "native";  // an operation's that has it
  bool takes_everything = true;   // else only what every target takes
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
