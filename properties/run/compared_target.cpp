#include "properties/run/compared_target.h"

#include <fmt/format.h>

#include <atomic>
#include <utility>

#include "oracle/formats.h"
#include "properties/run/kernel_target.h"

namespace normproof {
namespace {

// Describes the first element that differs, any NaN being equal to any other, or returns an empty string.
std::string first_difference(Role role, const Case& test_case, const Target& first,
                             const std::vector<std::byte>& one, const Target& second,
                             const std::vector<std::byte>& other) {
  if (one == other) return {};
  const std::string_view tensor = name_of(role);
  const DType dtype = test_case.dtype_of(role);
  const std::int64_t columns = test_case.columns_of(role);
  if (one.size() != other.size())
    return fmt::format("{}: {} bytes on {}, {} on {}", tensor, one.size(), first.name(), other.size(),
                       second.name());
  const std::int64_t elements = static_cast<std::int64_t>(one.size() / size_of(dtype));
  for (std::int64_t i = 0; i < elements; ++i) {
    const std::uint32_t a = load_bits(one, dtype, i), b = load_bits(other, dtype, i);
    if (a == b || (oracle::is_nan(dtype, a) && oracle::is_nan(dtype, b))) continue;
    return fmt::format("{}[row {}, column {}]: {} on {}, {} on {}", tensor, i / columns, i % columns,
                       oracle::hex_bits(dtype, a), first.name(), oracle::hex_bits(dtype, b), second.name());
  }
  return {};
}

class ComparedTarget final : public CallableTarget {
 public:
  ComparedTarget(std::unique_ptr<Target> first, std::unique_ptr<Target> second)
      : first_(std::move(first)), second_(std::move(second)), name_(first_->name() + "+" + second_->name()) {}
  const std::string& name() const override { return name_; }

  RunResult run(const Case& test_case, const CaseTensors& tensors) override {
    RunResult result = first_->run(test_case, tensors);
    if (result.status == RunResult::Status::not_taken) return result;
    RunResult other = second_->run(test_case, tensors);
    if (other.status == RunResult::Status::not_taken) return other;
    if (result.status == RunResult::Status::failed) return result;
    if (result.status != other.status) {
      result.disagreement =
          fmt::format("{} and {} do not agree on whether to carry the call out: \"{}\", \"{}\"",
                      first_->name(), second_->name(), result.message, other.message);
    } else if (result.status == RunResult::Status::completed) {
      for (const Role role : kRoles) {
        if (!test_case.has_output(role)) continue;
        if (result.disagreement.empty())
          result.disagreement =
              first_difference(role, test_case, *first_, result.outputs[role], *second_, other.outputs[role]);
        elements_ += test_case.elements_of(role);
      }
    }
    ++cases_;
    if (!result.disagreement.empty()) ++disagreements_;
    return result;
  }

  normproof_status invoke(GuardedCall& call) override {
    auto* callable = dynamic_cast<CallableTarget*>(first_.get());
    if (callable == nullptr) throw TargetError(fmt::format("target {} has no C interface", first_->name()));
    return callable->invoke(call);
  }

  bool is_foreign() const override { return first_->is_foreign(); }
  bool replays_graphs() const override { return first_->replays_graphs() && second_->replays_graphs(); }
  bool takes(const Case& test_case) const override {
    return first_->takes(test_case) && second_->takes(test_case);
  }
  CallLimits limits_of(Operation operation) const override { return first_->limits_of(operation); }
  bool prefers_long_cases() const override {
    return first_->prefers_long_cases() && second_->prefers_long_cases();
  }
  int calls_at_once_per_core() const override { return first_->calls_at_once_per_core(); }
  std::string closing_words() const override {
    return first_->closing_words() + second_->closing_words() +
           fmt::format("{} against {}: {} elements of {} cases compared bit for bit, {} cases differ\n",
                       first_->name(), second_->name(), elements_.load(), cases_.load(),
                       disagreements_.load());
  }

 private:
  std::unique_ptr<Target> first_, second_;
  std::string name_;
  std::atomic<std::int64_t> cases_{0}, elements_{0}, disagreements_{0};
};

}  // namespace

std::unique_ptr<Target> make_compared_target(std::unique_ptr<Target> first, std::unique_ptr<Target> second) {
  return std::make_unique<ComparedTarget>(std::move(first), std::move(second));
}

}  // namespace normproof
