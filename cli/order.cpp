// `normproof order --target X`: in which order a kernel adds the squares of a row, from its outputs alone.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <thread>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/given_calls.h"
#include "cli/order_document.h"
#include "cli/order_survey.h"
#include "cli/output_files.h"
#include "cli/progress.h"
#include "corpus/atomic_file.h"
#include "corpus/dump.h"
#include "oracle/formats.h"
#include "properties/judging/report_text.h"
#include "properties/order/target_box.h"

namespace normproof {
namespace {

using order::CallShape;
using order::Kind;

struct OrderOptions {
  std::string target = "host", operation = "rms_norm", dtype = "bf16", quantized = "fp8_e4m3fn", demand, json,
              scale_ub;
  std::int32_t hidden = 4096;
  bool hidden_is_given = false, rows_are_given = false;
  std::vector<std::int64_t> rows = {64};
  bool aligned_only = false;
  std::uint64_t seed = 1;
  int threads = 1;
};

std::string subject_of(const CallShape& shape) {
  return fmt::format("{}{}, H {}", kind_text(shape), shape.weight_dtype ? ", all weights 1" : "",
                     shape.hidden_size) +
         upper_bound_text(order::case_of(shape, 0));
}

std::string place_of(const CallShape& shape) {
  return fmt::format("{} row{} per call, {}", shape.rows, shape.rows == 1 ? "" : "s",
                     shape.offset == 0 ? "aligned to 256 bytes" : "shifted by one element");
}

std::string fma_text(const order::Finding& finding, DType dtype) {
  if (finding.tree->precision == oracle::SumTree::Precision::fp64) return "not looked at in fp64";
  if (dtype != DType::fp32)
    return fmt::format("cannot show: a square of {} is exact in fp32, unless it underflows", name_of(dtype));
  if (!finding.fma_known) return "not told: no row shows it, or not every row has the same";
  return fmt::format("{} of {} leaves are added by an fma", finding.tree->fused_leaves(),
                     finding.tree->leaves);
}

std::string root_text(const order::RootFinding& root) {
  if (root.root == order::RootFinding::Root::not_looked_at)
    return root.rows == 0 ? "not looked at: the outputs are fp8 or scales, or the row is too short"
                          : "not told apart by these outputs";
  std::string text(order::name_of(root.root));
  if (!root.mean.empty() && root.mean != "either") text += ", mean = " + root.mean;
  if (root.mean == "either") text += ", mean = sum / H or sum * (1 / H), which are the same here";
  if (root.farthest_ulp > 0)
    text += fmt::format(", up to {} ulp from the root rounded once in {} rows", root.farthest_ulp, root.rows);
  return text;
}

std::string accumulator_text(const oracle::SumTree& tree) {
  using Accumulator = oracle::SumTree::Accumulator;
  const auto with_count = [&](std::string_view what) {
    return fmt::format("{}, in {} of {} additions", what, tree.compensated_additions(), tree.nodes.size());
  };
  switch (tree.accumulator) {
    case Accumulator::plain:
      return {};
    case Accumulator::kahan:
      return with_count("Kahan's, the last correction is dropped");
    case Accumulator::kahan_corrected:
      return with_count("Kahan's, the last correction is subtracted");
    case Accumulator::neumaier:
      return with_count("Neumaier's; of the first three numbers of a sum the order is not told");
  }
  return {};
}

void print(const OrderEntry& entry) {
  const order::Finding& finding = entry.finding;
  fmt::print("{}\n  {}\n", subject_of(entry.shape), place_of(entry.shape));
  fmt::print("  kind       {}{}\n", order::name_of(finding.kind),
             finding.reason.empty() ? "" : fmt::format(": {}", finding.reason));
  if (finding.tree) {
    fmt::print("  family     {}\n", finding.family.empty() ? "none of the known ones" : finding.family);
    fmt::print("  depth      {}\n", finding.tree->depth());
    if (finding.tree->is_compensated()) fmt::print("  correction {}\n", accumulator_text(*finding.tree));
    fmt::print("  fma        {}\n", fma_text(finding, entry.shape.dtype));
    fmt::print("  root       {}\n", root_text(finding.root));
    if (finding.kind != Kind::trivial) {
      fmt::print("  certified  by {} rows, which no other {} passes\n", finding.certificate_rows,
                 finding.tree->is_compensated() ? "tree of plain and such additions" : "binary tree");
      fmt::print("  reader     epsilon {}\n", oracle::value_text(DType::fp32, finding.epsilon_bits));
    }
  } else {
    fmt::print("  no order is certified\n");
  }
  fmt::print("  asked      {} rows, {} calls, {:.2f} s\n", finding.rows, finding.calls, finding.seconds);
}

class OrderCommand {
 public:
  explicit OrderCommand(const OrderOptions& options)
      : options_(options), target_(make_target(options.target)) {}

  int run() {
    const Operation operation = operation_from_name(options_.operation).value();
    CallShape shape{call_kind(operation, dtype_from_name(options_.dtype).value(), std::nullopt,
                              codes_for(operation, options_.quantized)),
                    options_.hidden, options_.rows.front()};
    // What was not asked for gives way to the limits that the target declares.
    const CallLimits limits = target_->limits_of(operation);
    if (!options_.hidden_is_given)
      shape.hidden_size = static_cast<std::int32_t>(hidden_inside(limits, options_.hidden));
    if (!options_.rows_are_given)
      shape.rows = static_cast<decltype(shape.rows)>(rows_inside(limits, shape.rows));
    shape.scale_ub_bits = scale_ub_for(operation, options_.scale_ub);
    shape = order::with_weight_it_takes(*target_, shape);
    fmt::print("normproof order: target {}, seed {}\n", target_->name(), options_.seed);
    std::fflush(stdout);
    OrderSurveyOptions survey_options;
    survey_options.rows = options_.rows_are_given ? options_.rows : decltype(options_.rows){shape.rows};
    survey_options.aligned_only = options_.aligned_only;
    survey_options.seed = options_.seed;
    survey_options.threads = options_.threads;
    const OrderSurvey survey = survey_orders(*target_, shape, survey_options, progress_, tell);
    if (survey.entries.front().finding.tree) print_unseen(shape);
    fmt::print("{}", target_->closing_words());
    const bool certified = std::ranges::all_of(
        survey.entries, [](const OrderEntry& entry) { return entry.finding.certified(); });
    const bool broken = options_.demand == "one-order" && survey.changes;
    const int exit_code = certified && !broken ? kAllGood : kViolationFound;
    return exit_code_after_writing(
        exit_code, {{options_.json, [&] {
                       write_text_atomically(options_.json,
                                             order_document(options_.target, options_.seed, survey.entries));
                     }}});
  }

 private:
  static void tell(const OrderEvent& event) {
    switch (event.kind) {
      case OrderEvent::Kind::found:
        print(*event.entry);
        std::fflush(stdout);
        return;
      case OrderEvent::Kind::same:
        fmt::print("{}: the same order, certified\n", place_of(event.shape));
        return;
      case OrderEvent::Kind::differs:
        fmt::print("{}: not the order above ({})\n", place_of(event.shape), event.why);
        return;
      case OrderEvent::Kind::no_answer:
        fmt::print("{}: no answer: {}\n", place_of(event.shape), event.why);
        return;
    }
  }

  void print_unseen(const CallShape& shape) const {
    std::string unseen = "other lengths of rows";
    if (options_.rows.size() == 1) unseen += ", other numbers of rows (--rows-per-call 1,2,16,64,256,1024)";
    if (options_.aligned_only) unseen += ", other alignments";
    unseen += ", other operations and dtypes (--op, --dtype), values that are NaN, infinite or underflow";
    if (shape.dtype != DType::fp32) unseen += ", fma";
    fmt::print("not looked at: {}\n", unseen);
  }

  const OrderOptions& options_;
  std::unique_ptr<Target> target_;
  Progress progress_;
};

}  // namespace

Action add_order(CLI::App& command) {
  const auto options = std::make_shared<OrderOptions>();
  options->threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  command
      .add_option("--target", options->target,
                  "Whose order is asked for; `normproof list` names the targets, and any plug-in is one: "
                  "./libmine.so")
      ->capture_default_str();
  std::vector<std::string> operations;
  for (const Operation operation : all_operations()) operations.emplace_back(name_of(operation));
  command.add_option("--op", options->operation, "The operation")
      ->check(is_run_by_targets())
      ->capture_default_str();
  command
      .add_option("--dtype", options->dtype,
                  "The activation dtype; fp32 shows which squares are added by an fma")
      ->check(CLI::IsMember({"bf16", "fp16", "fp32"}))
      ->capture_default_str();
  command
      .add_option("--quantized", options->quantized,
                  "The output dtype of what quantizes; int8 where each row gets a scale")
      ->check(names_codes())
      ->capture_default_str();
  command.add_option(
      "--scale-ub", options->scale_ub,
      "Give each call this upper bound of scales, with which a kernel may add otherwise; it must lie "
      "above the outputs, which are up to the root of the hidden size");
  command.add_option("--hidden,--hidden-size", options->hidden, "The hidden size")
      ->each([options](const std::string&) { options->hidden_is_given = true; })
      ->check(CLI::Range(std::int64_t{1}, oracle::kMaximumTreeLeaves))
      ->capture_default_str();
  command
      .add_option(
          "--rows-per-call", options->rows,
          "The number of rows of a call; with more numbers, as 64,1,2,16,256,1024, the order found at the "
          "first is looked for at the others")
      ->each([options](const std::string&) { options->rows_are_given = true; })
      ->delimiter(',')
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{65536}))
      ->capture_default_str();
  command.add_flag("--aligned-only", options->aligned_only,
                   "Do not look at tensors that are shifted by one element");
  command
      .add_option("--demand", options->demand,
                  "one-order: a violation where the order changes with the rows of a call or the alignment")
      ->check(CLI::IsMember({"one-order"}));
  command.add_option("--json", options->json, "Write the orders to this file, for --order of other commands");
  command.add_option("--seed", options->seed, "Seed of the questions")->capture_default_str();
  command.add_option("--jobs,--threads", options->threads, "Threads that call the target")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  return [options] { return OrderCommand(*options).run(); };
}

}  // namespace normproof
