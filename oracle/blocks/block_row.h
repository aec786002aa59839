// The judge of rows that are normalized and quantized block by block: which inverse RMS r, if any, explains
// every code and every scale of a row bit for bit (block_search.h), in whatever order the squares were summed
// (admissible.h). There is no tolerance.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "oracle/beside.h"
#include "oracle/blocks/block_codes.h"
#include "oracle/blocks/block_scale.h"
#include "oracle/blocks/block_search.h"
#include "oracle/fast_row.h"

namespace normproof::oracle {

struct BlockSetup {
  Formula formula;                 // of y, and of how int8 and fp8 end
  std::optional<DType> quantized;  // nothing: e2m1
  BlockScaleSettings scale;
  std::int64_t block = 128;  // elements; the last block of a row has what is left
  std::int64_t blocks() const { return (formula.hidden_size + block - 1) / block; }
};

// What came out with a row.
struct BlockOutputs {
  std::vector<std::uint32_t> scales;      // one for each block, as bits of their storage
  std::vector<std::uint8_t> codes;        // one for each element
  std::span<const std::byte> normalized;  // y in T, packed; empty where it did not come out
};

// Units of a row that no admissible r explains together.
struct BlockRefutation {
  struct Unit {
    std::int64_t block = 0;
    std::optional<BlockElement> element;  // nothing: the block's scale
    RootIntervals roots;                  // all r that explain it, admissible or not
  };
  std::vector<Unit> units;
  Admissible admissible;
  RootInterval others;  // r that explain the whole row and are not admissible; empty: there are none
};

// What admissible r give the elements of a row with the scales that are stored.
struct BlockReach {
  std::vector<CodeSet> codes;  // of each element; none where the scale of its block is not legal
  std::vector<bool> legal;     // of each block: an admissible r gives its scale
};

class BlockRow {
 public:
  // `weight`: packed, empty without one.
  BlockRow(const BlockSetup& setup, std::span<const std::byte> weight);

  // The row to look at from now on: hidden_size packed elements each; `residual` is nullptr without one.
  void load(const std::byte* input, const std::byte* residual);

  bool conforms(const BlockOutputs& outputs);
  // Of outputs that do not conform. Throws std::logic_error where exact arithmetic does not confirm it.
  BlockRefutation refutation(const BlockOutputs& outputs);
  // All r, admissible or not, that explain the row.
  RootIntervals explaining(const BlockOutputs& outputs);
  const Admissible& admissible();
  BlockReach reachable(const BlockOutputs& outputs);

  // What the policy makes of the row with this r; without `normalized`.
  BlockOutputs outputs(float r);
  std::vector<std::byte> normalized(float r);  // packed in T
  float canonical_root() const { return fast_.canonical_scale().inverse_root; }

  const BlockSetup& setup() const { return setup_; }
  const BlockScaleRule& scale_rule() const { return scale_; }
  const BlockCodes& codes() const { return codes_; }
  std::span<const std::byte> residual_out() const { return fast_.residual_out(); }

 private:
  class Fast;
  class Exact;
  using Elements = std::vector<BlockElement>;

  std::int64_t begin(std::int64_t block) const { return block * setup_.block; }
  std::int64_t end(std::int64_t block) const {
    return std::min(begin(block) + setup_.block, setup_.formula.hidden_size);
  }
  void aim_at(const BlockOutputs& outputs);
  // Of a stored scale; kept in `place` where the scales are too many to remember.
  const std::vector<BlockFactor>& factors_of(std::uint32_t stored, std::vector<BlockFactor>& place);
  RootIntervals row_roots(RootIntervals live);
  RootIntervals block_roots(std::int64_t block, const RootInterval& range, Elements* deciding);
  // Whether all r of the range explain the block, as far as both ends tell at a glance.
  bool holds_throughout(std::int64_t block, const RootInterval& range);
  void evaluate_ends(std::int64_t block, const RootInterval& range);
  RootInterval code_roots(std::int64_t block, const BlockFactor& factor, RootInterval range,
                          Elements* deciding);
  RootInterval normalized_roots(std::int64_t block, RootInterval range, Elements* deciding);
  RootInterval narrowed(const Elements& differing, const BlockFactor& factor, RootInterval range,
                        Elements* deciding);
  bool row_of_nan();
  bool add_reached(std::int64_t block, const BlockFactor& factor, const RootInterval& range,
                   std::vector<CodeSet>& codes);
  SumParts exact_operands(std::int64_t column) const;
  void require_exact_operands() const;
  void add_units_against_nan(std::vector<BlockRefutation::Unit>& units);
  template <typename Source>
  bool refutes(Source& source, const std::vector<BlockRefutation::Unit>& units);
  std::vector<BlockRefutation::Unit> deciding_units();

  BlockSetup setup_;
  BlockScaleRule scale_;
  BlockCodes codes_;
  FastRow fast_;
  AdmissibleModel model_;
  std::vector<std::byte> weight_;
  std::span<const std::byte> input_, residual_;  // of the row
  std::optional<Admissible> admissible_;
  const BlockOutputs* got_ = nullptr;
  std::vector<const std::vector<BlockFactor>*> factors_;          // of each block's scale
  std::vector<std::vector<BlockFactor>> of_block_;                // where scales are fp32
  std::vector<std::optional<std::vector<BlockFactor>>> of_byte_;  // of each byte that was a scale
  std::vector<float> y_low_, y_high_;
  std::vector<std::uint8_t> codes_low_, codes_high_;
};

}  // namespace normproof::oracle
