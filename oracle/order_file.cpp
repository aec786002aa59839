#include "oracle/order_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>

#include "corpus/case_json.h"
#include "corpus/json_tree.h"
#include "corpus/limits.h"
#include "oracle/run_lengths.h"

namespace normproof::oracle {
namespace {

constexpr std::int64_t kMaximumNumber = std::int64_t{1} << 40;
constexpr std::size_t kMaximumRepeats = 8;

template <std::size_t kWidth>
std::string text_of(const std::vector<std::array<std::int64_t, kWidth>>& items) {
  std::vector<std::string> entries;
  for (const Run<kWidth>& run : run_lengths(items)) {
    std::vector<std::string> parts;
    for (const std::int64_t number : run.first) parts.push_back(std::to_string(number));
    for (const auto& repeat : run.repeats)
      parts.push_back(fmt::format("[{}, {}]", repeat.count, fmt::join(repeat.step, ", ")));
    entries.push_back(fmt::format("[{}]", fmt::join(parts, ", ")));
  }
  return fmt::format("[{}]", fmt::join(entries, ", "));
}

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
  throw CaseError(path, reason);
}

const JsonNode& member(const JsonNode& object, const std::string& path, std::string_view key) {
  if (object.kind != JsonNode::Kind::object) refuse(path, "expected an object, got " + shown(object));
  const JsonNode* found = find_key(object, key);
  if (found == nullptr) refuse(json_path(path, key), "missing");
  return *found;
}

std::int64_t whole(const JsonNode& node, const std::string& path, std::int64_t least, std::int64_t most) {
  std::int64_t number = 0;
  const char* end = node.text.data() + node.text.size();
  const auto [stop, error] = std::from_chars(node.text.data(), end, number);
  if (node.kind != JsonNode::Kind::number || error != std::errc() || stop != end || number < least ||
      number > most)
    refuse(path, fmt::format("a whole number from {} to {}, got {}", least, most, shown(node)));
  return number;
}

const std::string& text(const JsonNode& node, const std::string& path) {
  if (node.kind != JsonNode::Kind::string) refuse(path, "expected a string, got " + shown(node));
  return node.text;
}

const JsonNode& array(const JsonNode& node, const std::string& path) {
  if (node.kind != JsonNode::Kind::array) refuse(path, "expected an array, got " + shown(node));
  return node;
}

// Entries such as [first..., [count, step...], ...].
template <std::size_t kWidth>
std::vector<std::array<std::int64_t, kWidth>> read_runs(const JsonNode& list, const std::string& path,
                                                        std::size_t most) {
  std::vector<std::array<std::int64_t, kWidth>> items;
  for (std::size_t i = 0; i < array(list, path).items.size(); ++i) {
    const std::string at = json_path(path, i);
    const JsonNode& entry = array(list.items[i], at);
    if (entry.items.size() < kWidth || entry.items.size() > kWidth + kMaximumRepeats)
      refuse(at,
             fmt::format("{} numbers and at most {} runs, got {}", kWidth, kMaximumRepeats, shown(entry)));
    Run<kWidth> run;
    for (std::size_t k = 0; k < kWidth; ++k)
      run.first[k] = whole(entry.items[k], json_path(at, k), 0, kMaximumNumber);
    for (std::size_t k = kWidth; k < entry.items.size(); ++k) {
      const std::string run_path = json_path(at, k);
      const JsonNode& repeat = array(entry.items[k], run_path);
      if (repeat.items.size() != 1 + kWidth)
        refuse(run_path, fmt::format("a count and {} steps, got {}", kWidth, shown(repeat)));
      typename Run<kWidth>::Repeat read;
      read.count = whole(repeat.items[0], json_path(run_path, std::size_t{0}), 1, kMaximumTreeLeaves);
      for (std::size_t s = 0; s < kWidth; ++s)
        read.step[s] = whole(repeat.items[s + 1], json_path(run_path, s + 1), -kMaximumTreeLeaves * 2,
                             kMaximumTreeLeaves * 2);
      run.repeats.push_back(read);
    }
    try {
      expand(run, most, items);
    } catch (const std::invalid_argument& error) {
      refuse(at, error.what());
    }
  }
  return items;
}

constexpr std::array<std::string_view, 6> kTreeKeys = {"leaves", "precision",   "additions",
                                                       "fused",  "accumulator", "compensated"};

// By the number that stands for it.
constexpr std::array<SumTree::Running, 4> kRunning = {SumTree::Running::first, SumTree::Running::second,
                                                      SumTree::Running::value_of_first,
                                                      SumTree::Running::value_of_second};

// Which additions are compensated; empty where the tree does not say that any is.
std::vector<SumTree::Running> read_running(const JsonNode& node, const std::string& path,
                                           std::size_t additions) {
  std::vector<SumTree::Running> running(additions, SumTree::Running::none);
  const std::string at = json_path(path, "compensated");
  for (const auto& [addition, child] : read_runs<2>(member(node, path, "compensated"), at, additions)) {
    if (addition < 0 || addition >= static_cast<std::int64_t>(additions))
      refuse(at, fmt::format("there is no addition {} among {}", addition, additions));
    if (child < 0 || child >= static_cast<std::int64_t>(kRunning.size()))
      refuse(at,
             fmt::format("the running sum is the first (0, 2) or the second (1, 3) number, got {}", child));
    running[static_cast<std::size_t>(addition)] = kRunning[static_cast<std::size_t>(child)];
  }
  return running;
}

SumTree::Accumulator read_accumulator(const JsonNode& node, const std::string& path) {
  const JsonNode* named = find_key(node, "accumulator");
  if (named == nullptr) {
    if (find_key(node, "compensated") != nullptr)
      refuse(json_path(path, "accumulator"), "missing, where additions are compensated");
    return SumTree::Accumulator::plain;
  }
  const std::string at = json_path(path, "accumulator");
  const auto accumulator = accumulator_from_name(text(*named, at));
  if (!accumulator)
    refuse(at, fmt::format("plain, kahan, kahan_corrected or neumaier, got {}", shown(*named)));
  return *accumulator;
}

SumTree read_tree(const JsonNode& node, const std::string& path) {
  for (const std::string& key : node.keys) {
    if (std::ranges::find(kTreeKeys, key) == kTreeKeys.end())
      refuse(json_path(path, key), fmt::format("unknown key; a tree has {}", fmt::join(kTreeKeys, ", ")));
  }
  const auto leaves = static_cast<std::int32_t>(
      whole(member(node, path, "leaves"), json_path(path, "leaves"), 1, kMaximumTreeLeaves));
  const std::string& precision = text(member(node, path, "precision"), json_path(path, "precision"));
  if (precision != "fp32" && precision != "fp64")
    refuse(json_path(path, "precision"),
           fmt::format("fp32 or fp64, got {}", shown(*find_key(node, "precision"))));
  const std::string additions_path = json_path(path, "additions");
  const auto count = static_cast<std::size_t>(leaves);
  std::vector<SumTree::Node> nodes;
  for (const auto& [first, second] : read_runs<2>(member(node, path, "additions"), additions_path, count)) {
    const std::int64_t most = 2 * std::int64_t{leaves};
    if (first < 0 || second < 0 || first >= most || second >= most)
      refuse(additions_path,
             fmt::format("addition {} adds {} and {}, but numbers end at {}",
                         leaves + static_cast<std::int64_t>(nodes.size()), first, second, most - 1));
    nodes.push_back({static_cast<std::int32_t>(first), static_cast<std::int32_t>(second)});
  }
  std::vector<std::uint8_t> fused(count, 0);
  if (const JsonNode* list = find_key(node, "fused")) {
    const std::string fused_path = json_path(path, "fused");
    for (const auto& [leaf] : read_runs<1>(*list, fused_path, count)) {
      if (leaf < 0 || leaf >= leaves) refuse(fused_path, fmt::format("there is no element {}", leaf));
      fused[static_cast<std::size_t>(leaf)] = 1;
    }
  }
  const SumTree::Accumulator accumulator = read_accumulator(node, path);
  if (accumulator != SumTree::Accumulator::plain && precision != "fp32")
    refuse(json_path(path, "accumulator"),
           fmt::format("compensated sums are of fp32, got {}", shown(*find_key(node, "precision"))));
  try {
    if (accumulator != SumTree::Accumulator::plain) {
      auto running = read_running(node, path, nodes.size());
      return make_compensated_tree(leaves, std::move(nodes), std::move(running), accumulator,
                                   std::move(fused));
    }
    return make_tree(leaves, std::move(nodes), std::move(fused),
                     precision == "fp64" ? SumTree::Precision::fp64 : SumTree::Precision::fp32);
  } catch (const std::invalid_argument& error) {
    refuse(additions_path, error.what());
  }
}

std::optional<DType> read_dtype(const JsonNode& entry, const std::string& path, std::string_view key) {
  const JsonNode* node = find_key(entry, key);
  if (node == nullptr || node->kind == JsonNode::Kind::null) return std::nullopt;
  const auto dtype = dtype_from_name(text(*node, json_path(path, key)));
  if (!dtype) refuse(json_path(path, key), "no dtype: " + shown(*node));
  return dtype;
}

GivenOrder read_order(const JsonNode& entry, const std::string& path) {
  GivenOrder order;
  const std::string& operation = text(member(entry, path, "operation"), json_path(path, "operation"));
  const auto known_operation = operation_from_name(operation);
  if (!known_operation)
    refuse(json_path(path, "operation"), "no operation: " + shown(*find_key(entry, "operation")));
  order.operation = *known_operation;
  const std::string& dtype = text(member(entry, path, "dtype"), json_path(path, "dtype"));
  const auto known_dtype = dtype_from_name(dtype);
  if (!known_dtype || std::ranges::find(kActivationDTypes, *known_dtype) == kActivationDTypes.end())
    refuse(json_path(path, "dtype"), "bf16, fp16 or fp32, got " + shown(*find_key(entry, "dtype")));
  order.dtype = *known_dtype;
  order.hidden_size =
      whole(member(entry, path, "hidden_size"), json_path(path, "hidden_size"), 1, kMaximumTreeLeaves);
  if (const JsonNode* rows = find_key(entry, "rows"))
    order.rows = whole(*rows, json_path(path, "rows"), 1, kMaximumNumber);
  for (const auto& [key, of] : kOptionalDTypes) order.*of = read_dtype(entry, path, key);
  order.has_scale_ub = find_key(entry, "scale_ub") != nullptr;
  if (const JsonNode* family = find_key(entry, "family"))
    order.family = text(*family, json_path(path, "family"));
  if (const JsonNode* root = find_key(entry, "root")) {
    const std::string root_path = json_path(path, "root");
    order.rounds_root_once =
        text(member(*root, root_path, "code"), json_path(root_path, "code")) == "rounded_once";
  }
  const JsonNode& tree = member(entry, path, "tree");
  const std::string tree_path = json_path(path, "tree");
  order.tree = std::make_shared<const SumTree>(read_tree(tree, tree_path));
  if (order.tree->leaves != order.hidden_size)
    refuse(json_path(tree_path, "leaves"),
           fmt::format("is {}, but hidden_size is {}", order.tree->leaves, order.hidden_size));
  return order;
}

// Of fp32 rows only an order that knows which squares are added by an fma.
bool says_the_sum(const GivenOrder& order, const JsonNode* fma_known) {
  return order.dtype != DType::fp32 || order.hidden_size < 2 ||
         order.tree->precision == SumTree::Precision::fp64 || fma_known == nullptr ||
         fma_known->text == "true";
}

bool is_packed_and_aligned(const Case& test_case) {
  return !test_case.in_place &&
         std::ranges::all_of(kRoles, [&](Role role) { return test_case[role].layout == TensorLayout{}; });
}

bool is_same_call(const GivenOrder& order, const Case& test_case) {
  return order.rows == test_case.rows() && test_case.shape.size() == 2 && order.kind() == test_case.kind() &&
         test_case.launch == LaunchChoice{} && order.has_scale_ub == test_case.has_scale_ub();
}

}  // namespace

std::string to_json(const SumTree& tree) {
  std::vector<std::array<std::int64_t, 2>> additions;
  for (const SumTree::Node& node : tree.nodes) additions.push_back({node.first, node.second});
  std::vector<std::array<std::int64_t, 1>> fused;
  for (std::int32_t leaf = 0; leaf < tree.leaves; ++leaf)
    if (tree.is_fused(leaf)) fused.push_back({leaf});
  std::string compensated;
  if (tree.is_compensated()) {
    std::vector<std::array<std::int64_t, 2>> running;
    for (std::size_t k = 0; k < tree.running.size(); ++k) {
      if (tree.running[k] != SumTree::Running::none)
        running.push_back(
            {static_cast<std::int64_t>(k), std::ranges::find(kRunning, tree.running[k]) - kRunning.begin()});
    }
    compensated = fmt::format(R"(, "accumulator": "{}", "compensated": {})", name_of(tree.accumulator),
                              text_of(running));
  }
  return fmt::format(R"({{"leaves": {}, "precision": "{}", "additions": {}, "fused": {}{}}})", tree.leaves,
                     tree.precision == SumTree::Precision::fp64 ? "fp64" : "fp32", text_of(additions),
                     text_of(fused), compensated);
}

Policy with_order(Policy policy, const GivenOrder& order) {
  if (order.rounds_root_once && policy.inverse_root.ulp_bound == InverseRootModel{}.ulp_bound)
    policy.inverse_root.ulp_bound = 0;
  policy.inverse_root.order = order.tree;
  return policy;
}

std::string to_text(const GivenOrder& order) {
  std::string text = order.family.empty() ? fmt::format("an order of depth {}", order.tree->depth())
                                          : fmt::format("the order \"{}\"", order.family);
  if (order.rows > 0) text += fmt::format(", certified at {} rows per call", order.rows);
  return text;
}

const GivenOrder* Orders::find(const Case& test_case, Match match) const {
  if (!is_packed_and_aligned(test_case)) return nullptr;
  const GivenOrder* found = nullptr;
  const GivenOrder* of_these_rows = nullptr;
  bool differ = false;
  for (const GivenOrder& order : orders_) {
    if (order.operation != test_case.operation || order.dtype != test_case.dtype ||
        order.hidden_size != test_case.hidden_size())
      continue;
    if (match == Match::same_call && !is_same_call(order, test_case)) continue;
    differ = differ || (found != nullptr && *found->tree != *order.tree);
    if (found == nullptr) found = &order;
    if (of_these_rows == nullptr && order.rows == test_case.rows()) of_these_rows = &order;
  }
  return differ ? of_these_rows : found;
}

std::string Orders::contents() const {
  std::vector<std::string> parts;
  for (const GivenOrder& order : orders_) {
    std::string part =
        fmt::format("{} {} H {}", name_of(order.operation), name_of(order.dtype), order.hidden_size);
    if (std::ranges::find(parts, part) == parts.end()) parts.push_back(std::move(part));
  }
  return parts.empty() ? "none" : fmt::format("{}", fmt::join(parts, ", "));
}

Orders orders_from_json(std::string_view json, std::string name) {
  if (json.size() > kMaximumCaseTextBytes)
    refuse("$", fmt::format("at most {} bytes of text, got {}", kMaximumCaseTextBytes, json.size()));
  const JsonNode document = parse_json(json);
  const std::string root = "$";
  whole(member(document, root, "normproof_order"), json_path(root, "normproof_order"), 1, 1);
  const std::string path = json_path(root, "orders");
  std::vector<GivenOrder> orders;
  const JsonNode& list = array(member(document, root, "orders"), path);
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    const std::string at = json_path(path, i);
    if (list.items[i].kind != JsonNode::Kind::object)
      refuse(at, "expected an object, got " + shown(list.items[i]));
    const JsonNode* tree = find_key(list.items[i], "tree");
    if (tree == nullptr || tree->kind == JsonNode::Kind::null) continue;
    const JsonNode* offset = find_key(list.items[i], "offset");
    if (offset != nullptr && whole(*offset, json_path(at, "offset"), 0, kMaximumNumber) != 0) continue;
    GivenOrder order = read_order(list.items[i], at);
    if (says_the_sum(order, find_key(list.items[i], "fma_known"))) orders.push_back(std::move(order));
  }
  return Orders(std::move(orders), std::move(name));
}

Orders read_orders(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string json{std::istreambuf_iterator<char>(stream), {}};
  if (!stream.is_open() || stream.bad())
    throw std::system_error(errno != 0 ? errno : EIO, std::generic_category(), file.string());
  try {
    return orders_from_json(json, file.string());
  } catch (const CaseError& error) {
    throw CaseError(file, error);
  }
}

}  // namespace normproof::oracle
