#include "cli/judged_certificate.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/certified_parts.h"
#include "corpus/hash.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "oracle/judged/call_files.h"
#include "properties/judged/ask_policies.h"
#include "properties/judged/cases.h"
#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;
using oracle::judged::Call;
using oracle::judged::Policy;
using oracle::judged::Tensor;

constexpr std::int64_t kInputs = 8;               // of each kind of call
constexpr std::int64_t kStoredElements = 8 * 16;  // up to which a call stands in the certificate

std::vector<std::string> digests_of(const Tensor& tensor) {
  return slice_digests(tensor.bytes, tensor.dtype, tensor.shape.size() < 2 ? 1 : tensor.shape.front());
}

// Of all that goes in, and of what is asked for.
std::string digest_of_inputs(Call call) {
  call.name.clear();
  call.description.clear();
  const std::string text = call_to_json(judging::without_contents(std::move(call)), {});
  return fmt::format("{:016x}", fnv1a(text));
}

class JudgedCertifier {
 public:
  JudgedCertifier(JudgedTarget& target, std::uint64_t seed, Progress& progress)
      : target_(target), seed_(seed), progress_(progress) {}

  JudgedCertificate run(const std::string& operation, std::optional<DType> dtype, DType codes) {
    const auto* only = oracle::judged::find_judged_operation(operation);
    std::vector<judging::Combination> combinations = judging::combinations_of(target_, only, dtype);
    if (!target_.says_what_it_takes()) keep_codes(combinations, codes);
    for (const judging::Combination& each : combinations)
      if (!stop_is_requested()) look_at(each);
    std::vector<std::string_view> operations;
    for (const JudgedPolicyStatement& statement : result_.policies) {
      if (std::ranges::count(operations, statement.operation) > 0) continue;
      operations.push_back(statement.operation);
      result_.not_established.push_back(
          fmt::format("{}: the order of summation: its judges admit any", statement.operation));
    }
    return std::move(result_);
  }

 private:
  void look_at(const judging::Combination& combination) {
    const std::string call = to_string(combination);
    progress_.show(call, 0);
    const auto answer = judging::ask_policies(target_, combination, combination.policy, seed_);
    progress_.clear();
    if (!answer) {
      result_.not_established.push_back(fmt::format("{}: not taken by the target", call));
      return;
    }
    JudgedPolicyStatement statement{
        call, std::string(combination.operation->name), {}, 1 + answer->calls, {}};
    for (const Policy& policy : answer->left) statement.policies.push_back(to_string(policy));
    if (answer->status != RunResult::Status::completed)
      statement.reason = answer->message;
    else if (!answer->found.explained())
      statement.reason = "none of the known ones explains the outputs";
    else if (!answer->found.identified())
      statement.reason = "outputs with random statistics are explained as well";
    else if (!answer->followed())
      statement.reason = "those that explain one call do not explain the others";
    fmt::print("{}: {}\n", call,
               statement.policies.empty()
                   ? "no policy: " + statement.reason
                   : fmt::format("policy {}{}", statement.policies.front(),
                                 statement.policies.size() == 1
                                     ? ""
                                     : fmt::format(" or {} more that these calls do not tell apart",
                                                   statement.policies.size() - 1)));
    const bool known = !answer->left.empty();
    run_inputs(answer->asked, known ? answer->left.front() : combination.policy, known);
    result_.policies.push_back(std::move(statement));
  }

  void run_inputs(const judging::Combination& combination, const Policy& policy, bool known) {
    std::int64_t explained = 0, done = 0;
    for (std::int64_t index = 0; index < kInputs; ++index) {
      const std::optional<Call> call = judging::telling_call(combination, seed_, index);
      if (!call) continue;
      JudgedInputStatement statement{to_string(combination), fmt::format("input-{}", index),
                                     digest_of_inputs(*call)};
      statement.rows = call->at("x").shape.front();
      const JudgedRun run = target_.run_judged(*call, kCanary);
      if (run.status == RunResult::Status::not_taken) continue;
      if (run.status == RunResult::Status::completed) {
        take_outputs(run.call, policy, known, statement);
        explained += statement.explained == "policy" ? 1 : 0;
        ++done;
      } else {
        statement.status = run.status == RunResult::Status::failed ? "failed" : "refused";
        statement.message = run.message;
      }
      result_.inputs.push_back(std::move(statement));
    }
    fmt::print("{}: {} of {} fixed inputs are what its policy says\n", to_string(combination), explained,
               done);
    std::fflush(stdout);
  }

  static void take_outputs(const Call& call, const Policy& policy, bool known,
                           JudgedInputStatement& statement) {
    statement.status = "completed";
    for (const auto& spec : call.operation->tensors)
      if (const Tensor* tensor = call.find(spec.name); spec.direction == Direction::out && tensor != nullptr)
        statement.digests.emplace_back(spec.name, digests_of(*tensor));
    const bool fits = call.operation->misfit(call, policy).empty();
    statement.explained = "no";
    if (!known || !fits) {
      statement.message = "its policy is not known";
    } else {
      const judging::Judgement judgement = judging::judge(call, policy, {1, 1, false});
      if (judgement.conforms())
        statement.explained = "policy";
      else
        statement.message = judgement.first_violations.front().text();
    }
    if (call.at("x").elements() <= kStoredElements)
      statement.document = call_to_json(call, to_string(policy));
  }

  JudgedTarget& target_;
  const std::uint64_t seed_;
  Progress& progress_;
  JudgedCertificate result_;
};

std::int64_t differing_rows(const JudgedInputStatement& one, const JudgedInputStatement& other) {
  std::int64_t most = 0;
  for (std::size_t k = 0; k < one.digests.size(); ++k) {
    std::int64_t here = 0;
    for (std::size_t row = 0; row < one.digests[k].second.size(); ++row)
      here += one.digests[k].second[row] != other.digests[k].second[row] ? 1 : 0;
    most = std::max(most, here);
  }
  return most;
}

bool same_outputs(const JudgedInputStatement& one, const JudgedInputStatement& other) {
  return std::ranges::equal(one.digests, other.digests, [](const auto& a, const auto& b) {
    return a.first == b.first && a.second.size() == b.second.size();
  });
}

}  // namespace

bool JudgedCertificate::explained() const {
  return std::ranges::all_of(policies, [](const auto& each) { return each.reason.empty(); }) &&
         std::ranges::all_of(inputs, [](const auto& each) { return each.explained == "policy"; });
}

JudgedCertificate certify_judged(JudgedTarget& target, const std::string& operation,
                                 std::optional<DType> dtype, DType codes, std::uint64_t seed,
                                 Progress& progress) {
  return JudgedCertifier(target, seed, progress).run(operation, dtype, codes);
}

void add_judged(const JudgedCertificate& certificate, Json& document) {
  Json policies = Json::array(), inputs = Json::array();
  for (const JudgedPolicyStatement& each : certificate.policies) {
    policies.push_back({{"call", each.call},
                        {"operation", each.operation},
                        {"policies", each.policies},
                        {"calls", each.calls}});
    if (!each.reason.empty()) policies.back()["reason"] = each.reason;
  }
  for (const JudgedInputStatement& each : certificate.inputs) {
    Json outputs = Json::object();
    for (const auto& [tensor, digests] : each.digests) outputs[tensor] = digests;
    inputs.push_back({{"call", each.call},
                      {"name", each.name},
                      {"inputs", each.inputs},
                      {"rows", each.rows},
                      {"status", each.status},
                      {"explained", each.explained},
                      {"outputs", std::move(outputs)}});
    if (!each.message.empty()) inputs.back()["message"] = each.message;
    if (!each.document.empty()) inputs.back()["document"] = Json::parse(each.document);
  }
  document["judged_policies"] = std::move(policies);
  document["judged_inputs"] = std::move(inputs);
}

JudgedCertificate judged_certificate_of(const ResultFields& document) {
  JudgedCertificate certificate;
  if (!document.has("judged_policies")) return certificate;
  for (const ResultFields& row : document.rows("judged_policies"))
    certificate.policies.push_back({row.text("call"), row.text("operation"), row.texts("policies"),
                                    row.count("calls"), row.has("reason") ? row.text("reason") : ""});
  for (const ResultFields& row : document.rows("judged_inputs")) {
    JudgedInputStatement input{row.text("call"),      row.text("name"),
                               row.text("inputs"),    row.text("status"),
                               row.text("explained"), row.has("message") ? row.text("message") : "",
                               row.count("rows")};
    const ResultFields outputs = row.fields("outputs");
    for (const auto& [tensor, digests] : row.at("outputs").items())
      input.digests.emplace_back(tensor, outputs.texts(tensor.c_str()));
    certificate.inputs.push_back(std::move(input));
  }
  return certificate;
}

JudgedComparison compare_judged(const JudgedCertificate& first, const std::string& first_name,
                                const JudgedCertificate& second, const std::string& second_name) {
  JudgedComparison result;
  const auto find = [](const JudgedCertificate& in, const std::string& call) {
    const auto found = std::ranges::find(in.policies, call, &JudgedPolicyStatement::call);
    return found == in.policies.end() ? nullptr : &*found;
  };
  const auto add = [&](std::string_view cause, const std::string& call, const std::string& text) {
    const bool known = std::ranges::any_of(result.differences, [&](const JudgedDifference& each) {
      return each.cause == cause && each.text.starts_with(call + ":");
    });
    if (!known) result.differences.push_back({std::string(cause), call + ": " + text});
  };
  for (const JudgedPolicyStatement& one : first.policies) {
    const JudgedPolicyStatement* other = find(second, one.call);
    if (other == nullptr) {
      result.not_compared.push_back(fmt::format("{}: {} says nothing of it", one.call, second_name));
      continue;
    }
    if (common_policy(one.policies, other->policies) || (one.policies.empty() && other->policies.empty()))
      continue;
    const auto text = [](const JudgedPolicyStatement& of) {
      return of.policies.empty() ? std::string("none that is known") : of.policies.front();
    };
    add("policy", one.call,
        fmt::format("{} follows {}, {} {}", first_name, text(one), second_name, text(*other)));
  }
  for (const JudgedPolicyStatement& other : second.policies)
    if (find(first, other.call) == nullptr)
      result.not_compared.push_back(fmt::format("{}: {} says nothing of it", other.call, first_name));
  for (const JudgedInputStatement& one : first.inputs) {
    const auto other = std::ranges::find_if(second.inputs, [&](const JudgedInputStatement& each) {
      return each.call == one.call && each.name == one.name && each.inputs == one.inputs;
    });
    if (other == second.inputs.end()) continue;
    if (one.status != other->status || !same_outputs(one, *other)) {
      add("bug", one.call,
          fmt::format("{}: {} {}, {} {}", one.name, first_name, one.status, second_name, other->status));
      continue;
    }
    if (one.status != "completed") continue;
    ++result.inputs;
    result.rows += one.rows;
    const std::int64_t rows = differing_rows(one, *other);
    if (rows == 0) continue;
    ++result.different_inputs;
    result.different_rows += rows;
    const bool first_wrong = one.explained == "no", second_wrong = other->explained == "no";
    const bool by_policy = std::ranges::any_of(result.differences, [&](const JudgedDifference& each) {
      return each.cause == "policy" && each.text.starts_with(one.call + ":");
    });
    if (first_wrong || second_wrong) {
      const auto& wrong = first_wrong ? one : *other;
      add("bug", one.call,
          fmt::format("{}: other bits; {} does not do what its policy says: {}", one.name,
                      first_wrong ? first_name : second_name,
                      wrong.message.substr(0, wrong.message.find('\n'))));
    } else if (!by_policy) {
      add("unknown", one.call,
          fmt::format("{}: other bits; both do what their policies say, in orders or with "
                      "roots that were not established",
                      one.name));
    }
  }
  return result;
}

}  // namespace normproof
