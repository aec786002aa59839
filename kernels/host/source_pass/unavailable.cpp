#include "kernels/host/source_pass/unavailable.h"

#include <array>
#include <cstddef>

namespace normproof::source_pass {
namespace {

constexpr std::string_view kGrid =
    "blocks run one after the other on the CPU, so a grid cannot wait for them all";

constexpr std::string_view kSecondKernel = "end the kernel there and launch a second one";

constexpr std::array kUnavailable = {
    Unavailable{"tex1D* tex2D* tex3D*", "textures cannot be read on the CPU",
                "read global memory by a pointer, __ldg(p)"},
    Unavailable{"surf1D* surf2D* surf3D*", "surfaces cannot be read on the CPU",
                "read and write global memory by a pointer"},
    Unavailable{"cudaTextureObject_t", "textures cannot be had on the CPU", "hand a pointer over", false},
    Unavailable{"this_grid this_multi_grid grid_group cudaLaunchCooperativeKernel", kGrid, kSecondKernel,
                false},
    Unavailable{"this_cluster cluster_group",
                "blocks run one after the other on the CPU, so a cluster cannot wait for them all",
                "let one block do it, or launch a second kernel", false},
    Unavailable{"__clusterDim __clusterDimIsSpecified __clusterGridDimInClusters __clusterIdx "
                "__clusterRelativeBlockIdx __clusterRelativeBlockRank __clusterSizeInBlocks "
                "__cluster_barrier_arrive __cluster_barrier_arrive_relaxed __cluster_barrier_wait "
                "__cluster_map_shared_multicast __cluster_map_shared_rank __cluster_query_shared_rank "
                "__isClusterShared",
                "blocks run one after the other on the CPU, so there are no clusters",
                "let one block do it, or launch a second kernel"},
    Unavailable{"coalesced_threads", "which threads run together is no fact on the CPU",
                "take a tile, tiled_partition<32>(this_thread_block()), or a mask that the kernel knows",
                false},
    Unavailable{"__shfl __shfl_up __shfl_down __shfl_xor __any __all __ballot", "CUDA 13 has it no more",
                "take the one with _sync and a mask"},
    Unavailable{"__brkpt", "there is no debugger of the device on the CPU", ""},
    Unavailable{"__prof_trigger __pm0 __pm1 __pm2 __pm3", "there are no profiler counters on the CPU", ""},
    Unavailable{"__isGlobal __isShared __isConstant __isLocal __isGridConstant __isCtaShared "
                "__cvta_generic_to_constant __cvta_constant_to_generic __cvta_generic_to_local "
                "__cvta_local_to_generic __cvta_generic_to_grid_constant __cvta_grid_constant_to_generic",
                "all memory is one address space on the CPU", "take the pointer as it is"},
    Unavailable{"__barrier_sync_count", "a barrier of some of a block's threads is not here",
                "take __syncthreads(), or bar.sync with a number of threads in inline PTX"},
    Unavailable{"cyl_bessel_i0* cyl_bessel_i1* erfcinv* erfcx* erfinv* normcdfinv*",
                "the C++ library does not have it, and no norm needs it", "hand its value over"},
    Unavailable{"__u128Atomic*", "it is not here", "take atomicCAS and atomicExch of a type of 16 bytes"},
};

bool matches(std::string_view pattern, std::string_view name) {
  if (pattern.ends_with('*')) return name.starts_with(pattern.substr(0, pattern.size() - 1));
  return name == pattern;
}

}  // namespace

std::span<const Unavailable> all_unavailable() { return kUnavailable; }

const Unavailable* find_unavailable(std::string_view name) {
  for (const Unavailable& unavailable : kUnavailable) {
    for (std::string_view rest = unavailable.names; !rest.empty();) {
      const std::size_t end = rest.find(' ');
      if (matches(rest.substr(0, end), name)) return &unavailable;
      rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    }
  }
  return nullptr;
}

}  // namespace normproof::source_pass
