#include "properties/targets/compared_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "oracle/formats.h"
#include "properties/targets/judged_target.h"
#include "properties/targets/kernel_target.h"

namespace normproof {
namespace {

using oracle::judged::Call;
using oracle::judged::Tensor;

// The first of two packed tensors' elements that differs, any NaN being equal to any other.
std::optional<std::int64_t> first_differing(DType dtype, const std::vector<std::byte>& one,
                                            const std::vector<std::byte>& other) {
  if (one == other) return std::nullopt;
  const auto elements = static_cast<std::int64_t>(one.size() / size_of(dtype));
  for (std::int64_t i = 0; i < elements; ++i)
    if (!oracle::same(dtype, load_bits(one, dtype, i), load_bits(other, dtype, i))) return i;
  return std::nullopt;
}

// Describes the first element that differs, or returns an empty string.
std::string first_difference(Role role, const Case& test_case, const Target& first,
                             const std::vector<std::byte>& one, const Target& second,
                             const std::vector<std::byte>& other) {
  const std::string_view tensor = name_of(role);
  const DType dtype = test_case.dtype_of(role);
  const std::int64_t columns = test_case.columns_of(role);
  if (one.size() != other.size())
    return fmt::format("{}: {} bytes on {}, {} on {}", tensor, one.size(), first.name(), other.size(),
                       second.name());
  const auto i = first_differing(dtype, one, other);
  if (!i) return {};
  return fmt::format("{}[row {}, column {}]: {} on {}, {} on {}", tensor, *i / columns, *i % columns,
                     oracle::hex_bits(dtype, load_bits(one, dtype, *i)), first.name(),
                     oracle::hex_bits(dtype, load_bits(other, dtype, *i)), second.name());
}

// The same of an output of a judged operation.
std::string first_difference(std::string_view name, const Tensor& one, const Tensor& other,
                             const Target& first, const Target& second) {
  const auto i = first_differing(one.dtype, one.bytes, other.bytes);
  if (!i) return {};
  return fmt::format("{}[element {}]: {} on {}, {} on {}", name, *i,
                     oracle::hex_bits(one.dtype, load_bits(one.bytes, one.dtype, *i)), first.name(),
                     oracle::hex_bits(other.dtype, load_bits(other.bytes, other.dtype, *i)), second.name());
}

// Judged operations that both have.
class ComparedJudgedTarget final : public JudgedTarget {
 public:
  ComparedJudgedTarget(const Target& both, Target& first, Target& second)
      : both_(both), first_(first), second_(second) {}

  std::vector<const oracle::judged::JudgedOperation*> judged_operations() const override {
    std::vector<const oracle::judged::JudgedOperation*> both;
    for (const auto* operation : one().judged_operations())
      if (std::ranges::count(other().judged_operations(), operation) > 0) both.push_back(operation);
    return both;
  }
  JudgedTakes judged_takes() const override { return one().judged_takes(); }
  bool says_what_it_takes() const override { return one().says_what_it_takes(); }
  bool is_canonical() const override { return one().is_canonical() && both_.judging().canonical; }
  CallLimits judged_limits(const oracle::judged::JudgedOperation& operation) const override {
    return one().judged_limits(operation);
  }
  JudgedRun run_judged(const Call& call, std::byte fill) override {
    JudgedRun result = one().run_judged(call, fill);
    if (result.status == RunResult::Status::not_taken) return result;
    JudgedRun second = other().run_judged(call, fill);
    if (second.status == RunResult::Status::not_taken) return second;
    if (result.status == RunResult::Status::failed) return result;
    if (result.status != second.status) {
      result.disagreement =
          fmt::format("{} and {} do not agree on whether to carry the call out: \"{}\", \"{}\"",
                      first_.name(), second_.name(), result.message, second.message);
    } else if (result.status == RunResult::Status::completed) {
      for (const auto& spec : call.operation->tensors) {
        if (spec.direction != Direction::out || !call.has(spec.name)) continue;
        if (result.disagreement.empty())
          result.disagreement = first_difference(spec.name, result.call.at(spec.name),
                                                 second.call.at(spec.name), first_, second_);
        elements_ += call.at(spec.name).elements();
      }
    }
    ++calls_;
    if (!result.disagreement.empty()) ++disagreements_;
    return result;
  }

  std::string closing_words() const {
    std::string text;
    if (calls_ > 0)
      text =
          fmt::format("{} against {}: {} elements of {} judged calls compared bit for bit, {} calls differ\n",
                      first_.name(), second_.name(), elements_.load(), calls_.load(), disagreements_.load());
    for (Target* target : {&first_, &second_}) {
      Target& partner = target == &first_ ? second_ : first_;
      const JudgedTarget* own = target->judged_target();
      if (own == nullptr) continue;
      for (const auto* operation : own->judged_operations())
        if (std::ranges::count(judged_operations_of(partner), operation) == 0)
          text += fmt::format("not looked at: {}, which {} does not have\n", operation->name, partner.name());
    }
    return text;
  }
  bool has_both() const { return first_.judged_target() != nullptr && second_.judged_target() != nullptr; }

 private:
  static std::vector<const oracle::judged::JudgedOperation*> judged_operations_of(Target& target) {
    const JudgedTarget* judged = target.judged_target();
    return judged == nullptr ? std::vector<const oracle::judged::JudgedOperation*>()
                             : judged->judged_operations();
  }
  JudgedTarget& one() const { return *first_.judged_target(); }
  JudgedTarget& other() const { return *second_.judged_target(); }

  const Target& both_;
  Target& first_;
  Target& second_;
  std::atomic<std::int64_t> calls_{0}, elements_{0}, disagreements_{0};
};

class ComparedTarget final : public CallableTarget {
 public:
  ComparedTarget(std::unique_ptr<Target> first, std::unique_ptr<Target> second)
      : first_(std::move(first)), second_(std::move(second)), name_(first_->name() + "+" + second_->name()) {}
  const std::string& name() const override { return name_; }
  JudgedTarget* judged_target() override { return judged_.has_both() ? &judged_ : nullptr; }

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
                       disagreements_.load()) +
           judged_.closing_words();
  }

 private:
  std::unique_ptr<Target> first_, second_;
  ComparedJudgedTarget judged_{*this, *first_, *second_};
  std::string name_;
  std::atomic<std::int64_t> cases_{0}, elements_{0}, disagreements_{0};
};

}  // namespace

std::unique_ptr<Target> make_compared_target(std::unique_ptr<Target> first, std::unique_ptr<Target> second) {
  return std::make_unique<ComparedTarget>(std::move(first), std::move(second));
}

}  // namespace normproof
