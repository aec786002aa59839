// A target that computes the right thing and then spoils it, for tests that a checker notices.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "properties/targets/target.h"

namespace normproof {

class WrongTarget final : public Target {
 public:
  using Run = std::function<RunResult(Target& right, const Case&, const CaseTensors&)>;
  explicit WrongTarget(Run run) : run_(std::move(run)) {}
  const std::string& name() const override { return name_; }
  RunResult run(const Case& test_case, const CaseTensors& tensors) override {
    return run_(*right_, test_case, tensors);
  }

 private:
  std::string name_ = "wrong";
  std::unique_ptr<Target> right_ = make_target("host");
  Run run_;
};

// Spoils outputs after a completed run of the production kernels.
inline std::unique_ptr<Target> spoiled(std::function<void(const Case&, RunResult&)> spoil) {
  return std::make_unique<WrongTarget>(
      [spoil = std::move(spoil)](Target& right, const Case& test_case, const CaseTensors& tensors) {
        RunResult result = right.run(test_case, tensors);
        if (result.status == RunResult::Status::completed && test_case.rows() > 0) spoil(test_case, result);
        return result;
      });
}

}  // namespace normproof
