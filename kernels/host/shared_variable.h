// Shared memory of unmodified CUDA sources: what the source pass makes of __shared__ declarations.
#ifndef NORMPROOF_KERNELS_HOST_SHARED_VARIABLE_H
#define NORMPROOF_KERNELS_HOST_SHARED_VARIABLE_H

#include "kernels/host/block_collectives.h"

namespace normproof::host {

// The block's memory for one declaration, of which `declaration` is the identity. No constructor runs, as
// CUDA demands that there is nothing to do for one.
template <class Variable>
Variable& shared_variable(const void* declaration) {
  return *static_cast<Variable*>(shared_memory(declaration, sizeof(Variable), alignof(Variable)));
}

// extern __shared__ T name[], whatever T is.
struct DynamicSharedMemory {
  template <class T>
  operator T*() const {
    return static_cast<T*>(dynamic_shared_memory());
  }
};

// The same, declared outside a function.
template <class T>
struct DynamicSharedArray {
  operator T*() const { return static_cast<T*>(dynamic_shared_memory()); }
};

}  // namespace normproof::host

#endif
