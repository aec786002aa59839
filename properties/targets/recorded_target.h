// RecordedTarget: a target that remembers the calls that were made last, for bugs that depend on them.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "properties/targets/target.h"

namespace normproof {

class RecordedTarget final : public Target {
 public:
  explicit RecordedTarget(std::unique_ptr<Target> target) : target_(std::move(target)) {}

  // At most kMostCalls and kMostBytes of data, the last one last, in the order in which they were begun.
  std::vector<Case> recent() const;

  const std::string& name() const override { return target_->name(); }
  RunResult run(const Case& test_case, const CaseTensors& tensors) override;
  std::vector<RunResult> run_all(std::span<const RunRequest> requests) override;
  std::int64_t requests_at_once() const override { return target_->requests_at_once(); }
  bool is_foreign() const override { return target_->is_foreign(); }
  bool replays_graphs() const override { return target_->replays_graphs(); }
  bool takes(const Case& test_case) const override { return target_->takes(test_case); }
  CallLimits limits_of(Operation operation) const override { return target_->limits_of(operation); }
  JudgedTarget* judged_target() override { return target_->judged_target(); }
  bool prefers_long_cases() const override { return target_->prefers_long_cases(); }
  int calls_at_once_per_core() const override { return target_->calls_at_once_per_core(); }
  std::string closing_words() const override { return target_->closing_words(); }

 private:
  static constexpr std::size_t kMostCalls = 64;
  static constexpr std::size_t kMostBytes = std::size_t{4} << 20;

  void remember(const Case& test_case, const CaseTensors& tensors);

  std::unique_ptr<Target> target_;
  mutable std::mutex mutex_;  // guards what follows
  std::deque<Case> recent_;
  std::size_t bytes_ = 0;
};

}  // namespace normproof
