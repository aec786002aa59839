// A row of outputs against the only bits that it may have.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "oracle/verdict.h"

namespace normproof::oracle {

struct ComparedRow {
  Role tensor = Role::out;
  DType dtype = DType::bf16;
  std::int64_t row = 0;
  std::span<const std::byte> got, wanted;  // packed
};

// How many elements differ. Of them at most `listed` are in `first`, each confirmed by `exact`, which gives
// the bits that exact arithmetic wants; throws std::logic_error where these are others.
std::int64_t compare_row(const ComparedRow& compared, std::size_t listed, std::vector<Mismatch>& first,
                         const std::function<std::uint64_t(const Mismatch&)>& exact);

}  // namespace normproof::oracle
