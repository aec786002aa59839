#include "cli/identify_judged.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "properties/judged/ask_policies.h"
#include "properties/judging/in_parallel.h"
#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

using judging::PolicyAnswer;
using oracle::judged::Policy;

// What of the policies is no matter of statistics, which the outputs do not show.
std::vector<Policy> rivals_of(const PolicyAnswer& answer) {
  std::vector<Policy> rivals;
  for (const Policy& each : answer.left) {
    Policy policy = with_statistics_of(answer.left.front(), each);
    if (!(policy == answer.left.front()) && std::ranges::count(rivals, policy) == 0)
      rivals.push_back(std::move(policy));
  }
  return rivals;
}

std::string rivals_text(const PolicyAnswer& answer) {
  constexpr std::size_t kMostNamed = 2;
  const std::vector<Policy> rivals = rivals_of(answer);
  std::string text;
  for (const Policy& rival : std::span(rivals).first(std::min(rivals.size(), kMostNamed)))
    text += fmt::format(" or {}", to_string(rival));
  if (rivals.size() > kMostNamed) text += fmt::format(" or {} more", rivals.size() - kMostNamed);
  return text.empty() ? "" : fmt::format(" ({})", text.substr(1));
}

class Interrogation {
 public:
  Interrogation(JudgedTarget& target, const JudgedQuestions& questions, Progress& progress)
      : target_(target), questions_(questions), progress_(progress) {}

  JudgedAnswers run() {
    const auto* only = oracle::judged::find_judged_operation(questions_.operation);
    const std::optional<DType> dtype =
        questions_.dtype.empty() ? std::nullopt : dtype_from_name(questions_.dtype);
    std::vector<judging::Combination> combinations = judging::combinations_of(target_, only, dtype);
    if (questions_.codes && !target_.says_what_it_takes()) keep_codes(combinations, *questions_.codes);
    std::erase_if(combinations, [&](const judging::Combination& each) {
      const std::string_view weight = each.weight ? name_of(*each.weight) : "none";
      return !questions_.weight.empty() && questions_.weight != weight;
    });
    std::vector<std::optional<PolicyAnswer>> answers(combinations.size());
    std::vector<char> asked(combinations.size());
    const auto ask_one = [&](std::int64_t index) {
      if (stop_is_requested()) return;
      const auto at = static_cast<std::size_t>(index);
      answers[at] = ask(combinations[at]);
      asked[at] = true;
    };
    const auto tell_one = [&](std::int64_t index) {
      const auto at = static_cast<std::size_t>(index);
      if (asked[at]) tell(combinations[at], answers[at]);
      progress_.show("identifying",
                     static_cast<double>(index + 1) / static_cast<double>(combinations.size()));
    };
    in_parallel_in_order(static_cast<std::int64_t>(combinations.size()), questions_.threads, ask_one,
                         tell_one);
    progress_.clear();
    compare();
    return std::move(answers_);
  }

 private:
  // On any thread.
  std::optional<PolicyAnswer> ask(const judging::Combination& combination) const {
    Policy model = combination.policy;
    const auto set = [&](std::string_view name, std::optional<std::int64_t> value) {
      for (std::size_t i = 0; i < model.bounds.size(); ++i)
        if (value && model.operation->bounds[i].name == name) model.bounds[i] = value;
    };
    set("inverse_root_ulp", questions_.inverse_root_ulp);
    set("sum_depth", questions_.sum_depth);
    return judging::ask_policies(target_, combination, model, questions_.seed);
  }

  void tell(const judging::Combination& combination, const std::optional<PolicyAnswer>& answer) {
    ++answers_.asked;
    const std::string call = to_string(combination);
    progress_.clear();
    if (!answer) {
      ++answers_.not_taken;
      return;
    }
    if (answer->status != RunResult::Status::completed) {
      ++answers_.failed;
      note(call, "failed: " + answer->message, false, {});
      return;
    }
    if (!answer->memory_violations.empty()) {
      ++answers_.damaging;
      note(call, answer->memory_violations.front(), false, {});
    }
    if (answer->followed()) {
      identified_.push_back({combination, *answer});
      report(call, *answer);
      return;
    }
    ++answers_.unexplained;
    const bool refuted = answer->found.identified();
    note(call, "none of the known policies", false,
         refuted ? fmt::format("  {} and others explain one call and not all of {} more\n",
                               to_string(answer->found.best), answer->calls)
                 : to_text(answer->found));
  }

  void report(const std::string& call, const PolicyAnswer& answer) {
    const Policy& best = answer.left.front();
    const std::vector<std::string> names = judging::names_of(best, answer.call);
    const std::string policy = to_string(best) + rivals_text(answer);
    std::vector<std::string> explain;
    for (const Policy& each : answer.left) explain.push_back(to_string(each));
    note(call, policy, true, {},
         {{"policy", to_string(best)},
          {"explain_every_call", explain},
          {"known_as", names},
          {"calls", 1 + answer.calls},
          {"drawn_to_tell_apart", answer.telling}});
    if (!names.empty()) fmt::print("    known as {}\n", fmt::join(names, ", "));
  }

  void note(const std::string& call, const std::string& answer, bool identified, const std::string& details,
            ResultJson more = ResultJson::object()) {
    fmt::print("  {:<60} {}\n{}", call, answer, details);
    std::fflush(stdout);
    answers_.calls.push_back({call, answer, identified, details});
    ResultJson entry = {{"call", call}, {"answer", answer}, {"identified", identified}};
    entry.update(more);
    answers_.json.push_back(std::move(entry));
  }

  // Axis by axis: a value that is left in every call of the operation that has the axis.
  void compare() {
    for (const auto* operation : target_.judged_operations()) {
      for (std::size_t axis = 0; axis < operation->axes.size(); ++axis) {
        std::vector<bool> common(operation->axes[axis].values.size(), true);
        std::string lines;
        for (const auto& [combination, answer] : identified_) {
          if (combination.operation != operation || !has_axis(answer.call, operation->axes[axis])) continue;
          for (std::size_t value = 0; value < common.size(); ++value)
            common[value] = common[value] && std::ranges::any_of(answer.left, [&](const Policy& policy) {
                              return policy.values[axis] == value;
                            });
          lines += fmt::format("    {} {}\n", to_string(combination),
                               operation->axes[axis].values[answer.left.front().values[axis]].name);
        }
        if (lines.empty() || std::ranges::count(common, true) > 0) continue;
        answers_.one_policy = false;
        fmt::print("no one policy: axis {} of {} has no value that fits every call\n{}",
                   operation->axes[axis].name, operation->name, lines);
      }
    }
  }

  JudgedTarget& target_;
  const JudgedQuestions& questions_;
  Progress& progress_;
  JudgedAnswers answers_;
  std::vector<std::pair<judging::Combination, PolicyAnswer>> identified_;
};

}  // namespace

JudgedAnswers identify_judged(JudgedTarget& target, const JudgedQuestions& questions, Progress& progress) {
  return Interrogation(target, questions, progress).run();
}

}  // namespace normproof
