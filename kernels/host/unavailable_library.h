// Functions of libraries that do not exist on the CPU: a source that includes their headers compiles, and one
// that calls them fails by the name of what it called.
#ifndef NORMPROOF_KERNELS_HOST_UNAVAILABLE_LIBRARY_H
#define NORMPROOF_KERNELS_HOST_UNAVAILABLE_LIBRARY_H

#include <stdexcept>

#include "kernels/host/runtime_api.h"

#define NORMPROOF_UNAVAILABLE(Status, failed, name) \
  template <class... Arguments>                     \
  Status name(Arguments&&...) {                     \
    normproof::host::note_unavailable(#name);       \
    return failed;                                  \
  }
// In a kernel, whose launch it ends.
#define NORMPROOF_UNAVAILABLE_IN_KERNELS(Result, name)           \
  template <class... Arguments>                                  \
  Result name(Arguments&&...) {                                  \
    throw std::runtime_error(#name " cannot be had on the CPU"); \
  }

#endif
