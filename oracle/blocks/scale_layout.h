// Where the scale of a block lies in a tensor of scales.
#pragma once

#include <cstdint>
#include <vector>

namespace normproof::oracle {

// The scale of block b of row i is element
//   row_major      i * blocks + b
//   column_major   b * stride + i, stride >= rows: the rest of a column is padding (TMA)
//   swizzled       tiles of 128 rows and 4 blocks, 512 elements each: within a tile i, b lies at
//                  (i mod 32) * 16 + i / 32 * 4 + b; tiles of one block of rows one after the other. Rows and
//                  blocks are padded to whole tiles.
struct ScaleLayout {
  enum class Kind : std::uint8_t { row_major, column_major, swizzled } kind = Kind::row_major;
  std::int64_t rows = 0;
  std::int64_t blocks = 0;
  std::int64_t stride = 0;  // of column_major

  static constexpr std::int64_t kTileRows = 128, kTileBlocks = 4;
  std::int64_t tiles_of_blocks() const { return (blocks + kTileBlocks - 1) / kTileBlocks; }
  std::int64_t tiles_of_rows() const { return (rows + kTileRows - 1) / kTileRows; }

  std::int64_t index(std::int64_t row, std::int64_t block) const {
    switch (kind) {
      case Kind::row_major:
        return row * blocks + block;
      case Kind::column_major:
        return block * stride + row;
      case Kind::swizzled:
        break;
    }
    const std::int64_t tile = row / kTileRows * tiles_of_blocks() + block / kTileBlocks;
    return tile * kTileRows * kTileBlocks + row % 32 * 16 + row % kTileRows / 32 * 4 + block % kTileBlocks;
  }
  std::vector<std::int64_t> shape() const {
    switch (kind) {
      case Kind::row_major:
        return {rows, blocks};
      case Kind::column_major:
        return {blocks, stride};
      case Kind::swizzled:
        break;
    }
    return {tiles_of_rows() * kTileRows, tiles_of_blocks() * kTileBlocks};
  }
};

}  // namespace normproof::oracle
