// Operations that normalize and quantize block by block, as rows of the table: what their calls, their
// policies and their judges have in common. block_quant_rows.cpp has the rows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "oracle/blocks/block_row.h"
#include "oracle/blocks/scale_layout.h"
#include "oracle/judged/operation.h"

namespace normproof::oracle::judged {

enum class BlockFamily : std::uint8_t { block, mx, nvfp4 };
// By what the table says of the operation.
BlockFamily family_of(const JudgedOperation& operation);
// Elements of a block; nothing where the call says it.
std::optional<std::int64_t> block_of(BlockFamily family);

// The floors of fp32 scales by their names: those of the policy table, and what blocks have besides.
struct NamedFloor {
  std::string_view name;
  ScaleFloorRow row;
};
const NamedFloor& floor_by_name(std::string_view name);

// Elements of a block, and where its scale lies; the reason where the tensors leave no choice.
struct BlockShape {
  std::int64_t block = 0;
  ScaleLayout layout;
  std::string objection;  // "scales: ..."; empty: there is none
};
// `policy`: nullptr for what the tensors alone say.
BlockShape block_shape_of(const Call& call, const Policy* policy);

// Whether the operation has blocks, and the shape of scales says how long they are.
bool shape_says_block(const JudgedOperation& operation, const Policy& policy);

// What the policy says of codes and scales; also of operations that have no blocks.
oracle::Policy quantization_policy(const Policy& policy);
// How a scale in fp32 is made of a maximum.
ScaleRecipe recipe_of(const Call& call, const Policy& policy, const Value& range, DType quantized);

BlockSetup block_setup_of(const Call& call, const Policy& policy);

// Codes and scales of a row, wherever the call's tensors hold them. The call must outlive it.
class BlockReader {
 public:
  BlockReader(const Call& call, const Policy& policy)
      : call_(call),
        high_first_(policy.follows("nibbles", "high_first")),
        layout_(block_shape_of(call, &policy).layout) {}
  BlockOutputs row(std::int64_t row) const;
  const ScaleLayout& layout() const { return layout_; }
  bool high_first() const { return high_first_; }

 private:
  const Call& call_;
  bool high_first_;
  ScaleLayout layout_;
};

// For the rows of the table.
std::string block_objection(const Call& call);
std::string block_policy_objection(const Policy& policy);
std::string block_misfit(const Call& call, const Policy& policy);
std::vector<Part> block_parts(const Call& call, const Policy& policy);
std::vector<std::string> block_not_looked_at(const Call& call);
std::vector<ColumnGroup> block_columns(const Call& call, const Policy& policy);
void fill_blocks(Call& call, const Policy& policy, std::span<const std::string> outputs);
Tensor slice_of_blocks(const Call& call, std::string_view tensor, std::span<const std::int64_t> rows,
                       const Policy* policy);
BlockLayouts layouts_of_scales(const Call& call, const Policy& policy);

}  // namespace normproof::oracle::judged
