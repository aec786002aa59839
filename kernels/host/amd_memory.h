// Buffers of AMD's GPUs: memory by a descriptor of four words, with its size. Elements of four bytes, or
// fewer, that begin beyond it are 0 when loaded, and are not stored; one that
// begins before the end is stored whole.
#ifndef NORMPROOF_KERNELS_HOST_AMD_MEMORY_H
#define NORMPROOF_KERNELS_HOST_AMD_MEMORY_H

#include <array>
#include <cstdint>

namespace normproof::host {

using BufferDescriptor = std::array<std::uint32_t, 4>;

void load_from_buffer(const BufferDescriptor& buffer, std::uint32_t offset, void* to, unsigned bytes);
void store_to_buffer(const BufferDescriptor& buffer, std::uint32_t offset, const void* from, unsigned bytes);

}  // namespace normproof::host

#endif
