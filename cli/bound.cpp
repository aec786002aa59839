// `normproof bound`: the largest difference that two conforming kernels can show.
#include "properties/bound/bound.h"
#include "corpus/json.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/given_calls.h"
#include "cli/kind_json.h"
#include "cli/output_files.h"
#include "cli/policy_list.h"
#include "corpus/atomic_file.h"
#include "corpus/case_json.h"
#include "corpus/dump.h"
#include "corpus/json_text.h"
#include "properties/bound/attain.h"
#include "properties/bound/boundless.h"
#include "properties/bound/intervals.h"
#include "properties/judging/report_text.h"

namespace normproof {
namespace {

using bound::Bound;
using bound::Example;
using bound::PairBound;
using bound::Question;
using Json = nlohmann::ordered_json;

struct BoundOptions {
  std::string operation, dtype = "bf16", weight = "same", quantized = "fp8_e4m3fn", policies = "native";
  std::string order, epsilon, scale_ub, case_file, json, examples;
  std::int64_t hidden = 4096;
  std::optional<std::int64_t> sum_depth;
  std::optional<int> inverse_root_ulp;
  double largest_weight = Question().largest_weight;
  bool search = true;
};

// "apart" as people say it of the dtype.
std::string apart_text(const Question& question, std::int64_t apart) {
  if (question.has_codes()) return fmt::format("{} code{}", apart, apart == 1 ? "" : "s");
  return fmt::format("{} ulp", apart);
}

std::string element_text(const Question& question, const Outputs& outputs, std::int64_t column) {
  const DType dtype = question.output_dtype();
  const std::uint32_t bits = load_bits(outputs[Role::out], dtype, column);
  return fmt::format("{} ({})", oracle::value_text(dtype, bits), oracle::hex_bits(dtype, bits));
}

std::string pair_text(const Question& question, const PairBound& pair) {
  return fmt::format("{} against {}", to_string(question.policies[pair.first]),
                     to_string(question.policies[pair.second]));
}

std::string assert_close_line(const Question& question, const Bound& all) {
  return fmt::format("assert_close(a{0}, b{0}, rtol={1}, atol={2})", question.has_codes() ? ".float()" : "",
                     bound::rounded_up(all.rtol()), bound::rounded_up(all.atol()));
}

Json json_of(const Question& question, const Example& example) {
  const DType dtype = question.output_dtype();
  const auto side = [&](const bound::HonestKernel& kernel, const Outputs& outputs) {
    const std::uint32_t bits = load_bits(outputs[Role::out], dtype, example.column);
    return Json{{"kernel", to_text(kernel)},
                {"bits", oracle::hex_bits(dtype, bits)},
                {"value", oracle::value_text(dtype, bits)}};
  };
  return {{"column", example.column},
          {"apart", example.apart},
          {"first", side(example.first, example.first_outputs)},
          {"second", side(example.second, example.second_outputs)}};
}

class BoundCommand {
 public:
  explicit BoundCommand(const BoundOptions& options) : options_(options) { read_question(); }

  int run() {
    fmt::print("normproof bound: {}, H {}{}\n", kind_text(question_), question_.hidden_size,
               upper_bound_text(case_of(question_)));
    const Bound all = computed();
    if (!all.exists()) {
      fmt::print("no bound exists: {}\n", all.no_bound);
    } else {
      print(all);
    }
    print_examples();
    if (!options_.case_file.empty()) print_intervals();
    return exit_code_after_writing(
        all.exists() ? kAllGood : kViolationFound,
        {{options_.json, [&] { write_text_atomically(options_.json, json_text(document_, 2) + "\n"); }}});
  }

 private:
  void read_question() {
    const DType dtype = dtype_from_name(options_.dtype).value();
    std::optional<DType> weight;
    if (options_.weight == "same") weight = dtype;
    if (options_.weight == "fp32") weight = DType::fp32;
    const Operation operation = operation_from_name(options_.operation).value();
    question_.kind() = call_kind(operation, dtype, weight, codes_for(operation, options_.quantized));
    question_.hidden_size = options_.hidden;
    question_.scale_ub_bits = scale_ub_for(operation, options_.scale_ub);
    question_.largest_weight = options_.largest_weight;
    if (!options_.epsilon.empty()) {
      question_.epsilon_bits = fp32_bits_from_text(options_.epsilon);
      if (!question_.epsilon_bits)
        throw UsageError(fmt::format(
            "--epsilon: expected an fp32 number such as 1e-6 or 0x358637bd, got '{}'", options_.epsilon));
    }
    question_.policies = policies_from_list(options_.policies, "--policies");
    for (oracle::Policy& policy : question_.policies) {
      if (options_.sum_depth) policy.inverse_root.sum_depth = options_.sum_depth;
      if (!options_.order.empty()) policy = with_order(policy);
      if (options_.inverse_root_ulp) policy.inverse_root.ulp_bound = *options_.inverse_root_ulp;
    }
  }

  oracle::Policy with_order(const oracle::Policy& policy) const {
    const auto orders = orders_for(options_.order, policy);
    const oracle::GivenOrder* order = orders->find(case_of(question_));
    if (order == nullptr)
      throw UsageError(fmt::format("--order {}: has no order for {} {} H {}; it has: {}", options_.order,
                                   options_.operation, options_.dtype, options_.hidden, orders->contents()));
    return oracle::with_order(policy, *order);
  }

  Bound computed() {
    try {
      Bound all = bound_of(question_);
      document_ = {{"normproof_bound", 1}, {"version", NORMPROOF_VERSION}};
      document_.update(json_of(question_.kind()));
      document_["hidden_size"] = question_.hidden_size;
      add_scale_ub(question_.scale_ub_bits, document_);
      document_["exists"] = all.exists();
      if (!all.exists()) document_["reason"] = all.no_bound;
      return all;
    } catch (const std::invalid_argument& error) {
      throw UsageError(error.what());
    }
  }

  void print(const Bound& all) {
    Json pairs = Json::array();
    for (const PairBound& pair : all.pairs) {
      fmt::print("  {}: at most {} apart, rtol {}, r within {:.3g}\n", pair_text(question_, pair),
                 apart_text(question_, pair.apart), bound::rounded_up(pair.rtol), pair.root_ratio - 1);
      if (question_.has_codes())
        fmt::print("    before it is quantized: {} ulp, rtol {}\n", pair.apart_before,
                   bound::rounded_up(pair.rtol_before));
      if (quantizes_by_row(question_.operation))
        fmt::print("    the rows' scales: at most {} numbers of fp32 apart, rtol {}\n", pair.scale_apart,
                   bound::rounded_up(pair.scale_rtol));
      if (question_.has(Role::residual))
        fmt::print("    {}: {} ulp\n", name_of(normalized_tensor(question_.operation)), pair.residual_apart);
      Json entry = {{"first", to_string(question_.policies[pair.first])},
                    {"second", to_string(question_.policies[pair.second])},
                    {"apart", pair.apart},
                    {"rtol", pair.rtol},
                    {"atol", pair.atol},
                    {"root_ratio", pair.root_ratio},
                    {"residual_apart", pair.residual_apart}};
      if (quantizes_by_row(question_.operation)) {
        entry["scale_apart"] = pair.scale_apart;
        entry["scale_rtol"] = pair.scale_rtol;
      }
      if (options_.search && pair.apart > 0) show_attained(pair, entry);
      pairs.push_back(std::move(entry));
    }
    fmt::print("{}\n", assert_close_line(question_, all));
    document_["apart"] = all.apart();
    document_["rtol"] = all.rtol();
    document_["atol"] = all.atol();
    document_["pairs"] = std::move(pairs);
    document_["conditions"] = bound::conditions(question_);
    fmt::print("holds where:\n");
    for (const std::string& condition : bound::conditions(question_)) fmt::print("  {}\n", condition);
  }

  void show_attained(const PairBound& pair, Json& entry) {
    const bound::Attainment found = attain(question_, pair);
    const bool is_attained = found.by_apart && found.by_apart->apart == pair.apart;
    const std::int64_t best = found.by_apart ? found.by_apart->apart : 0;
    entry["attained"] = is_attained;
    entry["best_found"] = best;
    if (!found.by_apart) {
      fmt::print("    not attained: best found 0 of {}\n", apart_text(question_, pair.apart));
      return;
    }
    const Example& example = found.shown();
    entry["best_rtol"] = found.by_rtol->ratio - 1;
    entry["example"] = json_of(question_, example);
    fmt::print("    {}: {} and {} in column {}\n",
               is_attained ? "attained"
                           : fmt::format("not attained: best found {} of {}", best,
                                         apart_text(question_, pair.apart)),
               element_text(question_, example.first_outputs, example.column),
               element_text(question_, example.second_outputs, example.column), example.column);
    if (found.by_rtol->ratio - 1 < pair.rtol * (1 - 1e-9))
      fmt::print("    of rtol {} best found {:.3g}\n", bound::rounded_up(pair.rtol),
                 found.by_rtol->ratio - 1);
    fmt::print("      {}\n      {}\n", to_text(example.first), to_text(example.second));
    if (!question_.has_codes() && is_beyond(example, 1e-2))
      fmt::print("      assert_close(rtol=1e-2, atol=1e-2) rejects one of these two right kernels\n");
    write_example(example, fmt::format("attained-{}-{}", pair.first, pair.second));
  }

  bool is_beyond(const Example& example, double tolerance) const {
    const auto value = [&](const Outputs& outputs) {
      return to_double(
          oracle::decode(question_.dtype, load_bits(outputs[Role::out], question_.dtype, example.column)));
    };
    const double a = value(example.first_outputs), b = value(example.second_outputs);
    return std::abs(a - b) > tolerance + tolerance * std::min(std::abs(a), std::abs(b));
  }

  void print_examples() {
    if (!options_.search) return;
    const auto examples = boundless_examples(question_);
    if (examples.empty()) return;
    fmt::print("no bound exists where\n");
    Json list = Json::array();
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const bound::Boundless& one = examples[i];
      fmt::print("  {}: {}; for instance {} and {}\n", one.condition, one.reason,
                 element_text(question_, one.example.first_outputs, one.example.column),
                 element_text(question_, one.example.second_outputs, one.example.column));
      Json entry = json_of(question_, one.example);
      entry["condition"] = one.condition;
      entry["reason"] = one.reason;
      list.push_back(std::move(entry));
      write_example(one.example, fmt::format("no-bound-{}", i + 1));
    }
    document_["no_bound_where"] = std::move(list);
  }

  // Two case files with outputs, for `normproof check`.
  void write_example(const Example& example, const std::string& name) const {
    if (options_.examples.empty()) return;
    std::filesystem::create_directories(options_.examples);
    for (const bool first : {true, false}) {
      Case test_case = example.test_case;
      test_case.name = name + (first ? "-first" : "-second");
      test_case.description = to_text(first ? example.first : example.second);
      test_case.outputs = first ? example.first_outputs : example.second_outputs;
      const auto file = std::filesystem::path(options_.examples) / (test_case.name + ".json");
      write_case(file, test_case);
      const std::string policy = to_string((first ? example.first : example.second).policy);
      fmt::print("      {} check {} --policy {}\n", program_name(), shell_quoted_file(file.string()),
                 shell_quoted(policy));
    }
  }

  void print_intervals() {
    const Case test_case = read_case(options_.case_file);
    const CaseTensors tensors = materialize(test_case);
    bound::Intervals found;
    try {
      found = bound::output_intervals(test_case, tensors, question_.policies);
    } catch (const std::invalid_argument& error) {
      throw CaseError(options_.case_file, CaseError("$", error.what()));
    }
    fmt::print(
        "{}: of {} elements {} have one value in every conforming kernel, {} have two, {} may be NaN; "
        "widest: {} "
        "numbers, row {}, column {}\n",
        options_.case_file, found.elements, found.single, found.neighbours, found.unbounded, found.widest + 1,
        found.widest_row, found.widest_column);
    const DType dtype = test_case.output_dtype();
    Json low = Json::array(), high = Json::array();
    for (std::int64_t i = 0; i < found.elements; ++i) {
      low.push_back(oracle::hex_bits(dtype, load_bits(found.low[Role::out], dtype, i)));
      high.push_back(oracle::hex_bits(dtype, load_bits(found.high[Role::out], dtype, i)));
    }
    document_["intervals"] = {
        {"case", options_.case_file}, {"shape", test_case.shape}, {"low", low}, {"high", high}};
  }

  const BoundOptions& options_;
  Question question_;
  Json document_;
};

void add_kernel_options(CLI::App& command, BoundOptions& options) {
  command
      .add_option(
          "--policies", options.policies,
          "The rounding policies that the two kernels may follow, separated by commas, the axes of one by +: "
          "native,weight=fp32+sum=fp32")
      ->capture_default_str();
  command
      .add_option("--sum-depth", options.sum_depth,
                  "The longest chain of additions in either kernel; default: any order of summation")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24));
  add_order_option(command, options.order);
  command
      .add_option("--inverse-root-ulp", options.inverse_root_ulp,
                  "How many numbers the inverse root may be off; default: 2, or 0 where --order says so")
      ->check(CLI::Range(0, 1 << 20));
  command.add_option("--epsilon", options.epsilon, "Only this epsilon; default: any that is not negative");
  command
      .add_option("--max-weight", options.largest_weight,
                  "The largest magnitude of a weight; atol grows with it")
      ->check(CLI::Range(0.0, 1e30))
      ->capture_default_str();
}

}  // namespace

Action add_bound(CLI::App& command) {
  const auto options = std::make_shared<BoundOptions>();
  std::vector<std::string> operations;
  for (const Operation operation : all_operations()) operations.emplace_back(name_of(operation));
  command.add_option("operation", options->operation, "The operation of the two kernels")
      ->required()
      ->check(is_run_by_targets());
  command.add_option("--dtype", options->dtype, "The activation dtype")
      ->check(CLI::IsMember({"bf16", "fp16", "fp32"}))
      ->capture_default_str();
  command.add_option("--hidden,--hidden-size", options->hidden, "The hidden size")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 20))
      ->capture_default_str();
  command
      .add_option("--weight", options->weight, "The weight's dtype: that of the activations, fp32, or none")
      ->check(CLI::IsMember({"same", "fp32", "none"}))
      ->capture_default_str();
  command
      .add_option("--quantized", options->quantized,
                  "The output dtype of what quantizes; int8 where each row gets a scale")
      ->check(names_codes())
      ->capture_default_str();
  command.add_option("--scale-ub", options->scale_ub,
                     "The upper bound of scales of both calls, where each row gets a scale; default: none");
  add_kernel_options(command, *options);
  command
      .add_option(
          "--case", options->case_file,
          "For the inputs of this case file: between which numbers each output lies (--json writes them)")
      ->check(CLI::ExistingFile);
  command.add_option(
      "--output,--examples", options->examples,
      "Write the inputs that attain the bound, with the outputs of both kernels, to this folder");
  command.add_flag("!--no-search", options->search, "Do not look for inputs that attain the bound");
  command.add_option("--json", options->json, "Write the bound to this file");
  return [options] { return BoundCommand(*options).run(); };
}

}  // namespace normproof
