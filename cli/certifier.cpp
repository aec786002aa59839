#include "cli/certifier.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/certified_parts.h"
#include "cli/commands.h"
#include "cli/given_calls.h"
#include "cli/order_survey.h"
#include "corpus/hash.h"
#include "oracle/certificate.h"
#include "oracle/known_sum.h"
#include "oracle/order_file.h"
#include "oracle/policy_rows.h"
#include "oracle/witness_judge.h"
#include "properties/detective/discriminate.h"
#include "properties/detective/identify.h"
#include "properties/detective/try_policies.h"
#include "properties/judging/report_text.h"

namespace normproof {
namespace {

constexpr std::int64_t kShownHidden = 512;  // at which policies are identified
constexpr std::int64_t kShortRow = 16;      // up to which outputs stand in the certificate

// The library's, or nothing where the target is none.
std::string digest_of_file(const std::string& target) {
  if (!std::filesystem::is_regular_file(target)) return {};
  std::ifstream stream(target, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(stream), {}};
  return fmt::format("{:016x}", fnv1a(content));
}

class Certifier {
 public:
  Certifier(Target& target, const CertifyOptions& options, Progress& progress)
      : target_(target), options_(options), progress_(progress) {}

  ExecutionCertificate run() {
    require_operation_with_bound();
    result_.target = options_.target;
    result_.target_digest = digest_of_file(options_.target);
    result_.version = NORMPROOF_VERSION;
    result_.compiler = __VERSION__;
    result_.seed = options_.seed;
    result_.scale_ub_bits = options_.scale_ub_bits;
    for (const Operation operation : all_operations())
      for (const DType dtype : kActivationDTypes)
        if (is_selected(operation, dtype)) look_at(operation, dtype);
    if (JudgedTarget* judged = target_.judged_target(); judged != nullptr && !options_.operation) {
      result_.judged = certify_judged(*judged, options_.judged_operation, options_.dtype, options_.quantized,
                                      options_.seed, progress_);
      for (const std::string& what : result_.judged.not_established) open(what);
    }
    if (result_.policies.empty() && result_.judged.policies.empty())
      throw TargetError(fmt::format("target {} takes none of the calls that were asked for", target_.name()));
    note_what_is_open();
    return std::move(result_);
  }

 private:
  // Calls of judged operations have bounds that are drawn.
  void require_operation_with_bound() {
    if (options_.scale_ub_bits == spec_of(Parameter::scale_ub).usual_bits) return;
    if (!options_.judged_operation.empty())
      throw UsageError(
          fmt::format("--scale-ub: calls of {} have bounds that are drawn", options_.judged_operation));
    if (options_.operation) require_scale_ub(*options_.operation);
    if (target_.judged_target() != nullptr && !options_.operation)
      open("judged operations with --scale-ub: their calls have bounds that are drawn");
  }

  bool is_selected(Operation operation, DType dtype) const {
    return options_.judged_operation.empty() && (!options_.operation || *options_.operation == operation) &&
           (!options_.dtype || *options_.dtype == dtype);
  }

  void look_at(Operation operation, DType dtype) {
    if (quantizes(operation) && !may_quantize_to(operation, options_.quantized)) {
      open(
          fmt::format("{} {}: makes no {}", name_of(operation), name_of(dtype), name_of(options_.quantized)));
      return;
    }
    std::vector<CallKind> kinds = call_kinds(operation, dtype, options_.quantized);
    std::erase_if(kinds, [this](const CallKind& kind) { return !is_taken(kind); });
    if (kinds.empty()) {
      open(fmt::format("{} {}: not taken by the target", name_of(operation), name_of(dtype)));
      return;
    }
    for (const CallKind& kind : kinds) identify_policies(kind);
    find_orders(kinds.front());
    for (const CallKind& kind : kinds) narrow_by_orders(kind);
    const oracle::Orders orders = known_orders();
    for (const CallKind& kind : kinds) run_inputs(kind, orders);
  }

  bool is_taken(const CallKind& kind) const {
    return target_.takes(
        fixed_inputs(kind, hidden_sizes(kind), rows_of(kind), options_.seed, options_.scale_ub_bits).front());
  }

  // Sizes that were asked for; otherwise those inside the limits of the target, each once.
  std::vector<std::int64_t> hidden_sizes(const CallKind& kind) const {
    return asked_or_inside(kind, options_.hidden_sizes, options_.hidden_is_given, hidden_inside);
  }
  std::vector<std::int64_t> rows_of(const CallKind& kind) const {
    return asked_or_inside(kind, options_.rows, options_.rows_are_given, rows_inside);
  }
  std::vector<std::int64_t> asked_or_inside(const CallKind& kind, std::vector<std::int64_t> sizes, bool asked,
                                            std::int64_t (*inside)(const CallLimits&, std::int64_t)) const {
    if (asked) return sizes;
    for (std::int64_t& size : sizes) size = inside(target_.limits_of(kind.operation), size);
    sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
    return sizes;
  }

  void identify_policies(const CallKind& kind) {
    for (const std::int64_t offset : {0, 1}) {
      progress_.show("policies", 0);
      const CallLimits limits = target_.limits_of(kind.operation);
      DiscriminatingShape shape{kind, 32, kShownHidden};
      fit_to(limits, shape);
      shape.hidden_size = std::max<std::int64_t>(shape.hidden_size - offset, 1);
      PolicyStatement statement{kind, shape.hidden_size, offset, {}, {}};
      Case test_case = discriminating_case(shape, offset, limits, options_.seed);
      set_scale_ub(test_case, options_.scale_ub_bits);
      const CaseTensors tensors = materialize(test_case);
      const RunResult run = target_.run(test_case, tensors);
      if (run.status == RunResult::Status::completed) {
        take_survivors(test_case, tensors, run.outputs, statement);
      } else {
        statement.reason = run.message;
      }
      progress_.clear();
      fmt::print("{}: {}\n", call_text(kind, offset),
                 statement.policies.empty()
                     ? "no policy: " + statement.reason
                     : fmt::format("policy {}{}", fmt::join(statement.policies, " or "),
                                   statement.reason.empty() ? "" : ", " + statement.reason));
      std::fflush(stdout);
      result_.policies.push_back(std::move(statement));
    }
  }

  // Far below the outputs all codes are the last ones, whatever a kernel computes: that is no fault of it.
  static void require_telling_bound(const Case& test_case, const Identification& found) {
    if (!test_case.has_scale_ub() || !found.survivors.empty() || found.loose.empty()) return;
    throw UsageError(fmt::format(
        "--scale-ub: {} is so far below the outputs of {} that they do not tell one policy from another",
        test_case.value_of(Parameter::scale_ub), kind_text(test_case.kind())));
  }

  // Those that explain the rows, and that no trial case refutes.
  void take_survivors(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                      PolicyStatement& statement) {
    const Identification found = identify(test_case, tensors, outputs, {}, 32, options_.seed);
    std::vector<Case> trials = trial_cases(test_case, options_.seed);
    for (Case& trial : trials) set_scale_ub(trial, options_.scale_ub_bits);
    const auto refuted = refutations(target_, found.survivors, {}, trials);
    for (std::size_t i = 0; i < refuted.size(); ++i)
      if (!refuted[i]) statement.policies.push_back(to_string(found.survivors[i]));
    if (!statement.policies.empty()) return;
    require_telling_bound(test_case, found);
    statement.reason = "none of the known ones explains the outputs";
    if (found.survivors.empty()) return;
    // It follows the policy here and not there, which is a bug of the target.
    statement.policies.push_back(to_string(found.survivors.front()));
    statement.reason = "refuted by " + *refuted.front();
  }

  void find_orders(const CallKind& kind) {
    const auto note_each = [](const std::vector<std::int64_t>& all, std::vector<std::int64_t>& tried) {
      for (const std::int64_t each : all)
        if (std::ranges::find(tried, each) == tried.end()) tried.push_back(each);
    };
    const std::vector<std::int64_t> hidden_sizes = this->hidden_sizes(kind), rows = rows_of(kind);
    note_each(hidden_sizes, sizes_tried_);
    note_each(rows, rows_tried_);
    for (const std::int64_t hidden : hidden_sizes) {
      order::CallShape shape;
      shape.kind() = kind;
      shape.hidden_size = static_cast<std::int32_t>(hidden);
      if (has(kind.operation, Parameter::scale_ub)) shape.scale_ub_bits = options_.scale_ub_bits;
      OrderSurveyOptions options;
      options.rows = rows;
      options.seed = options_.seed;
      options.threads = options_.threads;
      try {
        shape = order::with_weight_it_takes(target_, shape);
        const OrderSurvey survey = survey_orders(target_, shape, options, progress_,
                                                 [&](const OrderEvent& event) { print(kind, event); });
        result_.orders.insert(result_.orders.end(), survey.entries.begin(), survey.entries.end());
      } catch (const TargetError& error) {
        progress_.clear();
        open(fmt::format("{} {} H {}: no order: {}", name_of(kind.operation), name_of(kind.dtype), hidden,
                         error.what()));
      }
    }
  }

  // A certified tree of fp32 additions is no compensated or wider sum, and a root
  // whose formula was found no other.
  void narrow_by_orders(const CallKind& kind) {
    for (PolicyStatement& statement : result_.policies) {
      if (statement.kind != kind) continue;
      std::vector<std::string> left;
      for (const std::string& name : statement.policies) {
        const oracle::Policy policy = oracle::parse_policy(name);
        if (std::ranges::none_of(result_.orders, [&](const OrderEntry& entry) {
              return contradicts(entry, statement, policy);
            }))
          left.push_back(name);
      }
      if (!left.empty()) statement.policies = std::move(left);
    }
  }

  static bool contradicts(const OrderEntry& entry, const PolicyStatement& statement,
                          const oracle::Policy& policy) {
    const order::Finding& finding = entry.finding;
    if (entry.shape.operation != statement.kind.operation || entry.shape.dtype != statement.kind.dtype ||
        entry.shape.offset != statement.offset || !finding.tree || finding.kind == order::Kind::trivial)
      return false;
    const bool is_fp64 = finding.kind == order::Kind::fp64_tree;
    const auto wanted = is_fp64 ? oracle::VariancePolicy::fp64 : oracle::VariancePolicy::fp32;
    if (policy.variance != wanted) return true;
    const bool divides = oracle::row_of(policy.root).divides;
    using Root = order::RootFinding::Root;
    return (finding.root.root == Root::divides && !divides) ||
           ((finding.root.root == Root::rounded_once || finding.root.root == Root::quotient) && divides);
  }

  void print(const CallKind& kind, const OrderEvent& event) {
    const std::string call = fmt::format(
        "{} {} H {}, {} row{}, {}", name_of(kind.operation), name_of(kind.dtype), event.shape.hidden_size,
        event.shape.rows, event.shape.rows == 1 ? "" : "s", event.shape.offset == 0 ? "aligned" : "shifted");
    if (event.kind == OrderEvent::Kind::no_answer) open(fmt::format("{}: no order: {}", call, event.why));
    if (event.entry == nullptr) return;
    const order::Finding& finding = event.entry->finding;
    if (event.kind == OrderEvent::Kind::same) {
      fmt::print("{}: the same order, certified\n", call);
    } else if (finding.tree) {
      fmt::print("{}: {}, depth {}, certified\n", call,
                 finding.family.empty() ? "no known order" : finding.family, finding.tree->depth());
    } else {
      fmt::print("{}: {}\n", call, order::name_of(finding.kind));
      open(fmt::format("{}: the order is not certified: {} {}", call, order::name_of(finding.kind),
                       finding.reason));
    }
    if (finding.tree && !finding.fma_known)
      open(fmt::format("{}: whether squares are added by an fma", call));
    std::fflush(stdout);
  }

  // The policy of aligned calls, or of shifted ones.
  const PolicyStatement* policy_of(const CallKind& kind, std::int64_t offset) const {
    for (const PolicyStatement& statement : result_.policies)
      if (statement.kind == kind && statement.offset == offset && !statement.policies.empty())
        return &statement;
    return nullptr;
  }

  void run_inputs(const CallKind& kind, const oracle::Orders& orders) {
    std::int64_t explained = 0, done = 0;
    for (const Case& test_case :
         fixed_inputs(kind, hidden_sizes(kind), rows_of(kind), options_.seed, options_.scale_ub_bits)) {
      progress_.show("inputs", 0);
      InputStatement statement{test_case, "completed", {}, {}, {}};
      const CaseTensors tensors = materialize(test_case);
      const RunResult run = target_.run(test_case, tensors);
      if (run.status == RunResult::Status::completed) {
        take_outputs(tensors, run.outputs, orders, statement);
        explained += statement.explained != "no";
        ++done;
      } else {
        statement.status = run.status == RunResult::Status::failed ? "failed" : "refused";
        statement.message = run.message;
        open(fmt::format("{}, input {}: {}", kind_text(kind), test_case.name, run.message));
      }
      result_.inputs.push_back(std::move(statement));
    }
    progress_.clear();
    fmt::print("{}: {} of {} fixed inputs are what its policy and order say\n", kind_text(kind), explained,
               done);
    std::fflush(stdout);
  }

  void take_outputs(const CaseTensors& tensors, const Outputs& outputs, const oracle::Orders& orders,
                    InputStatement& statement) {
    Case& test_case = statement.test_case;
    for (const Role role : kRoles)
      if (test_case.has_output(role))
        statement.digests.emplace_back(
            role, slice_digests(outputs[role], test_case.dtype_of(role), test_case.rows()));
    explain(tensors, outputs, orders, statement);
    if (test_case.hidden_size() <= kShortRow) test_case.outputs = outputs;
  }

  void explain(const CaseTensors& tensors, const Outputs& outputs, const oracle::Orders& orders,
               InputStatement& statement) const {
    const Case& test_case = statement.test_case;
    const PolicyStatement* known = policy_of(test_case.kind(), test_case[Role::input].layout.offset);
    statement.explained = "no";
    if (known == nullptr) {
      statement.message = "its policy is not known";
      return;
    }
    oracle::Policy policy = oracle::parse_policy(known->policies.front());
    const oracle::GivenOrder* order = orders.find(test_case, oracle::Orders::Match::same_length);
    if (order != nullptr && oracle::objection_to_order(*order->tree, policy).empty()) {
      policy = oracle::with_order(policy, *order);
    } else {
      order = nullptr;
    }
    const auto verdict = oracle::judge_witness(test_case, tensors, outputs, policy);
    if (verdict.conforms()) {
      statement.explained = order != nullptr ? "order" : "policy";
    } else if (!verdict.first_violations.empty()) {
      statement.message = to_text(verdict.first_violations.front(), oracle::formula_of(test_case, policy));
    } else {
      const Role tensor = verdict.first_residual_mismatches.front().tensor;
      statement.message = fmt::format("{} is not what the policy says", name_of(tensor));
    }
  }

  // Certified ones, as --order reads them.
  oracle::Orders known_orders() const {
    return oracle::orders_from_json(order_document(options_.target, options_.seed, result_.orders));
  }

  void open(const std::string& what) {
    if (std::ranges::find(result_.not_established, what) == result_.not_established.end())
      result_.not_established.push_back(what);
  }

  void note_what_is_open() {
    for (const PolicyStatement& statement : result_.policies) {
      const std::string call = call_text(statement.kind, statement.offset);
      if (!statement.reason.empty()) open(fmt::format("{}: the policy: {}", call, statement.reason));
      if (statement.policies.size() > 1)
        open(fmt::format("{}: which of {} it is", call, fmt::join(statement.policies, ", ")));
    }
    for (const OrderEntry& entry : result_.orders)
      if (entry.finding.tree && entry.finding.root.root == order::RootFinding::Root::other)
        open(fmt::format("{} {} H {}: which root, of m that were not looked at",
                         name_of(entry.shape.operation), name_of(entry.shape.dtype),
                         entry.shape.hidden_size));
    if (!result_.policies.empty())
      open(fmt::format(
          "orders at other lengths than {}, other numbers of rows than {}, other alignments than 0 and 1 "
          "element",
          fmt::join(sizes_tried_, ", "), fmt::join(rows_tried_, ", ")));
    open("bits of other inputs than the fixed ones, and whether repeated or concurrent calls give the same");
  }

  Target& target_;
  const CertifyOptions& options_;
  Progress& progress_;
  ExecutionCertificate result_;
  std::vector<std::int64_t> sizes_tried_, rows_tried_;  // by find_orders()
};

}  // namespace

ExecutionCertificate certify(Target& target, const CertifyOptions& options, Progress& progress) {
  return Certifier(target, options, progress).run();
}

}  // namespace normproof
