// The whole investigation of one black box: reader, kind, tree, certificate, fma, root.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "properties/order/certify.h"

namespace normproof::order {

enum class Kind : std::uint8_t {
  trivial,      // fewer than three elements: there is one order
  fp32_tree,    // a binary tree of fp32 additions
  fp64_tree,    // the same in fp64, the sum rounded to fp32
  compensated,  // a tree of fp32 additions some of which keep a correction: Kahan's sums, Neumaier's
  wide,         // wider than fp32, or compensated in another way; the order is not recovered
  fused_adder,  // some additions take more than two numbers at once, as matrix units do
  mixed,        // some additions are wider than others: fp32 lanes joined in fp64, for instance
  varies,       // one and the same question has different answers
  other,        // answers that fit none of these
  no_reader,    // no epsilon makes one ulp of the sum visible
};
std::string_view name_of(Kind kind);  // "binary fp32 tree"
std::string_view code_of(Kind kind);  // "fp32_tree", for JSON

// How r comes from m, from outputs that tell the candidates apart.
struct RootFinding {
  enum class Root : std::uint8_t { not_looked_at, rounded_once, quotient, divides, other };
  Root root = Root::not_looked_at;
  std::string mean;  // "sum / H", "sum * (1 / H)" or "either": where the root has a name
  std::int64_t rows = 0;
  std::int64_t farthest_ulp = -1;  // where r itself can be read: from the root rounded once; else -1
};
std::string_view name_of(RootFinding::Root root);
std::string_view code_of(RootFinding::Root root);  // for JSON

struct Finding {
  Kind kind = Kind::no_reader;
  std::string reason;                       // in words: what was seen
  std::array<std::int64_t, 4> histogram{};  // of triples, by how many of their three questions survive
  std::optional<SumTree> tree;              // only with its certificate
  bool fma_known = false;                   // whether tree->fused was looked at
  std::string family;                       // empty: none that is known
  bool negative_epsilon = false;            // of the reader
  std::uint32_t epsilon_bits = 0;
  RootFinding root;
  std::int64_t certificate_rows = 0;
  std::int64_t rows = 0, calls = 0;
  double seconds = 0;
  bool certified() const { return tree.has_value(); }
};

struct DetectOptions {
  std::uint64_t seed = 1;
  bool look_for_families = true;  // before the order is recovered from nothing
  bool look_at_root = true;
  std::function<void(const char* stage, double share)> progress;
};

// Never gives a tree whose certificate the box has not passed. Throws NoAnswer where the box answers nothing.
Finding detect(BlackBox& box, const DetectOptions& options = {});

// Whether the box has this very tree: a reader of its own, the certificate, and the fma flags where the box
// shows them. `why` says what refutes it. Throws NoAnswer.
bool has_tree(BlackBox& box, const SumTree& tree, std::uint64_t seed, std::string& why);

}  // namespace normproof::order
