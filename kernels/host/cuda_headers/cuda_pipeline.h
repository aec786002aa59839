// Stands in for the older interface of asynchronous copies.
#pragma once

#include <cuda_pipeline_primitives.h>

namespace nvcuda::experimental {

class pipeline {
 public:
  std::size_t commit() {
    __pipeline_commit();
    return committed_++;
  }
  void commit_and_wait() { commit(), wait_prior<0>(); }
  void wait(std::size_t group) { __pipeline_wait_prior(committed_ - group - 1); }
  template <unsigned Groups>
  void wait_prior() {
    __pipeline_wait_prior(Groups);
  }

 private:
  std::size_t committed_ = 0;
};

template <class T>
void memcpy_async(T& to, const T& from, pipeline&) {
  normproof::host::copy_later(&to, &from, sizeof(T));
}

}  // namespace nvcuda::experimental
