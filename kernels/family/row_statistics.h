// The statistics of rows for operations that need them and were not given them.
#pragma once

#include "kernels/family/call_checks.h"
#include "kernels/family/workspace.h"

namespace normproof::kernels {

// mean, where it is wanted, and rstd of each row of x in fp32, as the forward pass in canonical order has
// them. They lie in memory of their own, until this ends.
class RowStatistics {
 public:
  explicit RowStatistics(Stream stream) : stream_(stream), workspace_(stream) {}
  // `checked`: a call that has x and at least one row.
  Status compute(const CheckedCall& checked, float epsilon, bool with_mean);
  // Of the shape of x with 1 in the last dimension.
  Tensor mean(const Tensor& x) const { return in_rows_of(x, mean_); }
  Tensor rstd(const Tensor& x) const { return in_rows_of(x, rstd_); }

 private:
  static Tensor in_rows_of(const Tensor& x, float* data);

  Stream stream_;
  Workspace workspace_;
  float *mean_ = nullptr, *rstd_ = nullptr;
};

}  // namespace normproof::kernels
