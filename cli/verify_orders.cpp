#include "cli/verify_orders.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <thread>

#include "cli/order_document.h"
#include "cli/progress.h"
#include "cli/shard.h"
#include "corpus/atomic_file.h"
#include "corpus/hash.h"
#include "corpus/random.h"

namespace normproof {
namespace {

constexpr std::int32_t kHiddenSize = 4096;  // at which --order auto certifies
constexpr std::array<std::string_view, 6> kClasses = {"model_rows", "normal",      "spike",
                                                      "large",      "bit_classes", "near_ties"};
constexpr int kCasesOfClass = 3;

bool is_selected(const VerifyOptions& options, Operation operation, DType dtype) {
  return (!options.operation || *options.operation == operation) &&
         (!options.dtype || *options.dtype == dtype);
}

// The order of one operation and dtype; nothing where the target does not take it or gives no answer.
std::optional<OrderEntry> certified(Target& target, Operation operation, DType dtype, std::uint64_t seed) {
  order::CallShape shape{call_kind(operation, dtype, std::nullopt), kHiddenSize};
  try {
    shape = order::with_weight_it_takes(target, shape);
    const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    const auto box = order::make_target_box(target, shape, threads);
    order::DetectOptions options;
    options.seed = seed;
    return OrderEntry{shape, order::detect(*box, options)};
  } catch (const TargetError&) {
    return std::nullopt;
  } catch (const order::NoAnswer& error) {
    fmt::print("  {} {}: no answer: {}\n", name_of(operation), name_of(dtype), error.what());
    return std::nullopt;
  }
}

}  // namespace

std::string certified_orders(const VerifyOptions& options) {
  const auto target = make_target(options.target);
  Progress progress;
  std::vector<OrderEntry> entries;
  bool any = false;
  fmt::print("orders of summation at H {}:\n", kHiddenSize);
  for (const Operation operation : all_operations()) {
    for (const DType dtype : kActivationDTypes) {
      if (!is_selected(options, operation, dtype)) continue;
      progress.show("orders", 0);
      auto entry = certified(*target, operation, dtype, options.seed);
      progress.clear();
      if (!entry) continue;
      const order::Finding& finding = entry->finding;
      fmt::print("  {} {}: {}\n", name_of(operation), name_of(dtype),
                 !finding.tree
                     ? fmt::format("none certified, {} {}", order::name_of(finding.kind), finding.reason)
                 : finding.family.empty() ? fmt::format("a {} of depth {}, certified",
                                                        order::name_of(finding.kind), finding.tree->depth())
                                          : fmt::format("{}, certified", finding.family));
      std::fflush(stdout);
      any = any || finding.tree.has_value();
      entries.push_back(std::move(*entry));
    }
  }
  if (!any) return {};
  const std::filesystem::path folder = folder_of_shard(options.findings, options.shard);
  const std::filesystem::path file = folder / "order.json";
  std::filesystem::create_directories(folder);
  write_text_atomically(file, order_document(options.target, options.seed, entries));
  return file.string();
}

std::vector<Case> cases_of_orders(const oracle::Orders& orders, const Target& target,
                                  const VerifyOptions& options) {
  std::vector<Case> cases;
  for (std::size_t i = 0; i < orders.all().size(); ++i) {
    const oracle::GivenOrder& given = orders.all()[i];
    if (!is_selected(options, given.operation, given.dtype)) continue;
    Random random = Random(options.seed).split(i);
    for (const std::string_view values : kClasses) {
      for (int k = 0; k < kCasesOfClass; ++k) {
        const order::CallShape shape{given.kind(), static_cast<std::int32_t>(given.hidden_size),
                                     std::max<std::int64_t>(given.rows, 1)};
        Case test_case = order::case_of(shape, 0x3727c5ac);  // epsilon 1e-5
        if (!target.takes(test_case)) continue;
        const auto recipe = [&](std::string_view name) {
          TensorData data;
          data.recipe = Recipe{std::string(name), random.below(std::uint64_t{1} << 32)};
          return data;
        };
        for (const Role role : test_case.inputs_with_rows()) test_case[role].data = recipe(values);
        if (test_case.weight_dtype) test_case[Role::weight].data = recipe("model_weights");
        cases.push_back(std::move(test_case));
      }
    }
  }
  return cases;
}

std::string digest_of(const oracle::Orders& orders) {
  std::string text;
  for (const oracle::GivenOrder& order : orders.all()) {
    text += fmt::format("{} {} {}", name_of(order.operation), name_of(order.dtype), order.rows);
    for (const OptionalDType& field : kOptionalDTypes)
      text += fmt::format(" {}", order.*field.of ? name_of(*(order.*field.of)) : "none");
    text += fmt::format(" {} {}\n", order.rounds_root_once, oracle::to_json(*order.tree));
  }
  return fmt::format("{:016x}", fnv1a(text));
}

std::string orders_text(const oracle::Orders& orders) {
  return fmt::format(
      "judged by the orders in {}: calls of the shapes and dtypes by which they were certified ({}); all "
      "other cases by "
      "any order of summation\n",
      orders.name(), orders.contents());
}

}  // namespace normproof
