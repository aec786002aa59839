// `normproof drift`: how a one-ulp difference grows through a stack of layers.
#include "properties/drift/drift.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <thread>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/exit_codes.h"
#include "cli/html_report.h"
#include "cli/output_files.h"
#include "cli/progress.h"
#include "corpus/atomic_file.h"

namespace normproof {
namespace {

struct DriftOptions {
  drift::Model model;
  std::string policy, target, gradient_policy, dtype = "bf16", json, svg, html;
  int threads = 1;
};

HtmlReport page_of(const std::string& subject, const std::vector<drift::LayerDrift>& layers) {
  HtmlReport report;
  report.title = "Drift of " + subject;
  report.verdict = "against policy native";
  HtmlSection plots{"Layer by layer"}, text = text_section("In numbers", "", true, kept_output());
  plots.html = drift::to_svg(subject, layers);
  report.sections = {std::move(plots), std::move(text)};
  return report;
}

// What the second run does otherwise, and its name.
struct Other {
  drift::Subject subject;
  std::unique_ptr<Target> target;
  std::string name;
};

template <class Parse>
auto parse(const char* option, const Parse& parse_policy) {
  try {
    return parse_policy();
  } catch (const std::invalid_argument& error) {
    throw UsageError(fmt::format("{}: {}", option, error.what()));
  }
}

Other other_of(const DriftOptions& options) {
  const bool both = !options.policy.empty() && !options.target.empty();
  if (both || (options.policy.empty() && options.target.empty() && options.gradient_policy.empty())) {
    throw UsageError(
        fmt::format("drift takes either --policy or --target, or --gradient-policy alone, got {}",
                    both ? "both" : "none of them"));
  }
  Other other;
  if (!options.target.empty()) {
    other.target = make_target(options.target);
    other.subject.target = other.target.get();
    other.name = "target " + options.target;
  } else if (!options.policy.empty()) {
    other.subject.policy = parse("--policy", [&] { return oracle::parse_policy(options.policy); });
    other.name = "policy " + options.policy;
  }
  if (!options.gradient_policy.empty()) {
    const auto* operation = oracle::judged::find_judged_operation("rms_norm_backward");
    other.subject.gradient = parse("--gradient-policy", [&] {
      return oracle::judged::parse_policy(*operation, options.gradient_policy);
    });
    other.name += (other.name.empty() ? "gradient policy " : ", gradient policy ") + options.gradient_policy;
  }
  return other;
}

int run(DriftOptions& options) {
  if (!options.html.empty()) keep_output();
  const Other other = other_of(options);
  const std::string& name = other.name;
  drift::Model& model = options.model;
  model.dtype = dtype_from_name(options.dtype).value();
  fmt::print("{} against policy native: {} pre-norm residual layers, {} tokens, H {}, {}, seed {}\n", name,
             model.layers, model.tokens, model.hidden_size, options.dtype, model.seed);
  fmt::print(
      "random weights: this shows how rounding differences spread; it does not predict the effect on a "
      "trained model\n");
  std::fflush(stdout);
  Progress progress;
  const auto layers = drift::measure(model, other.subject, options.threads, [&](std::int64_t done) {
    progress.show("layers", static_cast<double>(done) / static_cast<double>(model.layers));
  });
  progress.clear();
  fmt::print("{}", drift::to_text(layers));
  return exit_code_after_writing(
      kAllGood,
      {{options.json, [&] { write_text_atomically(options.json, drift::to_json(model, name, layers)); }},
       {options.svg, [&] { write_text_atomically(options.svg, drift::to_svg(name, layers)); }},
       {options.html, [&] { write_html(options.html, page_of(name, layers)); }}});
}

}  // namespace

Action add_drift(CLI::App& command) {
  const auto options = std::make_shared<DriftOptions>();
  options->threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  drift::Model& model = options->model;
  command.add_option("--policy", options->policy,
                     "The other norm is this rounding policy, for instance flashinfer");
  command.add_option("--target", options->target,
                     "The other norm is this target; `normproof list` names them");
  command.add_option(
      "--gradient-policy", options->gradient_policy,
      "Run a backward pass too; the other one's norms have this policy of rms_norm_backward, for "
      "instance native or contraction=none");
  command.add_option("--dtype", options->dtype, "The dtype of activations and weights")
      ->check(CLI::IsMember({"bf16", "fp16", "fp32"}))
      ->capture_default_str();
  command.add_option("--hidden,--hidden-size", model.hidden_size, "H")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{16384}))
      ->capture_default_str();
  command.add_option("--layers", model.layers, "Layers")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1000}))
      ->capture_default_str();
  command.add_option("--tokens", model.tokens, "Tokens, the rows of each norm")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{16384}))
      ->capture_default_str();
  command.add_option("--vocabulary", model.vocabulary, "Columns of the projection whose arg-max is compared")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 18))
      ->capture_default_str();
  command.add_option("--seed", model.seed, "Seed of weights and inputs")->capture_default_str();
  command.add_option("--json", options->json, "Write the figures to this file");
  command.add_option("--svg", options->svg, "Write a plot to this file");
  command.add_option("--html", options->html, "Write a page with plots and figures to this file");
  command.add_option("--jobs,--threads", options->threads, "Threads for the matrix products")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  return [options] { return run(*options); };
}

}  // namespace normproof
