// Orders of summation as JSON: what `normproof order --json` writes and `--order` reads.
//
// {"normproof_order": 1, "orders": [{"operation": "rms_norm", "dtype": "bf16", "hidden_size": 16, "rows": 64,
//   "tree": {"leaves": 16, "precision": "fp32", "additions": [[0, 1], [16, 2, [14, 1, 1]]], "fused": []}}]}
//
// Elements have the numbers 0 to leaves - 1, additions the numbers from there on. An entry of "additions" is
// the two numbers that are added, and runs of it: [14, 1, 1] stands for 14 additions, each with both numbers
// 1 greater than the one before. Another run repeats all of that. "fused" lists the elements that are added
// by an fma, with runs of one step. "scale_ub": the upper bound of scales of the calls. Other keys of an
// entry are for people.
//
// A tree with compensated additions has two keys more: "accumulator" ("kahan", "kahan_corrected" or
// "neumaier", oracle/sum_tree.h) and "compensated", entries [addition, running] with runs: the addition's
// place in the list, and which of its two numbers is the running sum, 0 or 1.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"
#include "oracle/policy.h"
#include "oracle/sum_tree.h"

namespace normproof::oracle {

// The tree as a JSON object, on one line.
std::string to_json(const SumTree& tree);

// One order and the calls for which it stands.
struct GivenOrder : CallKind {
  std::int64_t hidden_size = 0;
  std::int64_t rows = 0;          // of the calls by which it was certified, as the weight and Q
  bool has_scale_ub = false;      // these calls had an upper bound of scales
  std::string family;             // empty: none is named
  bool rounds_root_once = false;  // r is fl(1 / sqrt(m)), rounded once
  std::shared_ptr<const SumTree> tree;
};

// The policy with that order. Where the kernel is known to round r once and the policy says nothing else than
// usual of it, no other r is admitted.
Policy with_order(Policy policy, const GivenOrder& order);
// "the order of serial, certified at 64 rows per call"
std::string to_text(const GivenOrder& order);

class Orders {
 public:
  explicit Orders(std::vector<GivenOrder> orders, std::string name = {})
      : orders_(std::move(orders)), name_(std::move(name)) {}

  // Whether an order stands for calls that were not looked at when it was certified.
  enum class Match : std::uint8_t {
    same_length,  // of the same operation, dtype and hidden size, as somebody claims; rows decide where
                  // orders differ
    same_call  // only calls of the very same shape, weight and output dtype, launched automatically, with or
               // without an upper bound of scales as they were
  };
  // The order for the case, if the file has one. Kernels choose another path for other layouts: a case whose
  // tensors do not lie packed and aligned has none.
  const GivenOrder* find(const Case& test_case, Match match = Match::same_length) const;
  const std::vector<GivenOrder>& all() const { return orders_; }
  const std::string& name() const { return name_; }  // of the file
  // "rms_norm bf16 H 4096, rms_norm bf16 H 8192"
  std::string contents() const;

 private:
  std::vector<GivenOrder> orders_;
  std::string name_;
};

// Entries without a tree are passed over. Throws CaseError (case_json.h) with the
// JSON path and the offending value.
Orders orders_from_json(std::string_view text, std::string name = {});
// Throws CaseError naming the file, and std::system_error where it cannot be read.
Orders read_orders(const std::filesystem::path& file);

}  // namespace normproof::oracle
