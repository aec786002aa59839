// The smallest call that still fails: rows, columns and heads are left out, then values made simple.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <numeric>

#include "corpus/case.h"
#include "oracle/exact.h"
#include "properties/judged/cases.h"

namespace normproof::judging {
namespace {

using oracle::bits_of;
using oracle::judged::ColumnGroup;
using oracle::judged::Tensor;

class Minimizer {
 public:
  Minimizer(Call failing, const Policy& policy, const std::function<bool(const Call&)>& still_fails,
            double seconds)
      : smallest_(std::move(failing)), policy_(policy), still_fails_(still_fails), seconds_(seconds) {}

  Call run() {
    bool smaller = true;
    while (smaller && !is_late()) {
      smaller = fewer_rows();
      smaller = fewer_heads() || smaller;
      smaller = fewer_columns() || smaller;
      smaller = plain_tensors() || smaller;
      smaller = plain_values() || smaller;
    }
    return std::move(smallest_);
  }

 private:
  bool is_late() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count() > seconds_;
  }
  bool try_this(Call candidate) {
    if (is_late() || !candidate.operation->objection(candidate).empty() || !still_fails_(candidate))
      return false;
    smallest_ = std::move(candidate);
    return true;
  }

  // Leaves out of `count` things as many as go, in halves, quarters and so on; `without(kept)` is the call
  // that has only these.
  template <typename Kept>
  bool fewer(std::int64_t count, const Kept& with) {
    std::vector<std::int64_t> kept(static_cast<std::size_t>(count));
    std::iota(kept.begin(), kept.end(), 0);
    const Call origin = smallest_;
    bool any = false;
    for (std::size_t chunk = kept.size() / 2; chunk > 0 && !is_late(); chunk /= 2) {
      for (std::size_t begin = 0; begin < kept.size() && kept.size() > chunk;) {
        std::vector<std::int64_t> rest = kept;
        const auto first = rest.begin() + static_cast<std::ptrdiff_t>(begin);
        rest.erase(first, first + static_cast<std::ptrdiff_t>(std::min(chunk, kept.size() - begin)));
        if (try_this(with(origin, rest))) {
          kept = std::move(rest);
          any = true;
        } else {
          begin += chunk;
        }
      }
    }
    return any;
  }

  std::int64_t heads() const {
    return has_heads(*smallest_.operation) ? smallest_.at("x").shape.end()[-2] : 1;
  }

  bool fewer_rows() {
    return fewer(sliceable_rows(smallest_), [](const Call& call, const std::vector<std::int64_t>& rows) {
      return slice_of_rows(call, rows);
    });
  }
  bool fewer_columns() {
    const std::vector<ColumnGroup> groups = smallest_.operation->columns(smallest_, policy_);
    return fewer(static_cast<std::int64_t>(groups.size()),
                 [&](const Call& call, const std::vector<std::int64_t>& kept) {
                   std::vector<ColumnGroup> some;
                   for (const std::int64_t group : kept)
                     some.push_back(groups[static_cast<std::size_t>(group)]);
                   return slice_of_columns(call, some);
                 });
  }
  // One head of one row, as a call of its own.
  bool fewer_heads() {
    if (heads() == 1 || smallest_.rows() != heads()) return false;
    return fewer(heads(), [](const Call& call, const std::vector<std::int64_t>& kept) {
      Call some = call;
      Tensor& x = some.tensors.at("x");
      const std::vector<std::byte> all = std::exchange(x.bytes, {});
      const auto head =
          static_cast<std::ptrdiff_t>(static_cast<std::size_t>(x.shape.back()) * size_of(x.dtype));
      for (const std::int64_t i : kept)
        x.bytes.insert(x.bytes.end(), all.begin() + i * head, all.begin() + (i + 1) * head);
      x.shape.end()[-2] = static_cast<std::int64_t>(kept.size());
      return some;
    });
  }

  // A whole tensor of ones, or of zeros.
  bool plain_tensors() {
    bool any = false;
    for (const auto& [name, tensor] : Call(smallest_).tensors) {
      if (is_plain(tensor)) continue;
      for (const float value : {1.0f, 0.0f}) {
        Call candidate = smallest_;
        Tensor& other = candidate.tensors.at(name);
        for (std::int64_t i = 0; i < other.elements(); ++i)
          store_bits(other.bytes, other.dtype, i, bits_of(other.dtype, value));
        if (try_this(std::move(candidate))) {
          any = true;
          break;
        }
      }
    }
    return any;
  }
  static bool is_plain(const Tensor& tensor) {
    const std::uint32_t first = tensor.elements() == 0 ? 0 : load_bits(tensor.bytes, tensor.dtype, 0);
    if (first != bits_of(tensor.dtype, 1) && first != 0) return false;
    for (std::int64_t i = 1; i < tensor.elements(); ++i)
      if (load_bits(tensor.bytes, tensor.dtype, i) != first) return false;
    return true;
  }

  // Elements one by one: 1, 0, the whole number next to it, a power of two.
  bool plain_values() {
    bool any = false;
    for (const auto& [name, tensor] : Call(smallest_).tensors) {
      if (tensor.elements() > kMostElements) continue;
      for (std::int64_t i = 0; i < tensor.elements() && !is_late(); ++i) any = plain_value(name, i) || any;
    }
    return any;
  }
  bool plain_value(const std::string& name, std::int64_t index) {
    const Tensor& tensor = smallest_.at(name);
    const std::uint32_t bits = load_bits(tensor.bytes, tensor.dtype, index);
    const double value = oracle::to_double(oracle::decode(tensor.dtype, bits));
    if (value == 0 || value == 1)
      return false;  // of two plain values none is simpler, or they would take turns
    std::vector<float> simpler = {1.0f, 0.0f};
    if (std::isfinite(value) && value != 0) {
      simpler.push_back(static_cast<float>(std::nearbyint(value)));
      simpler.push_back(
          static_cast<float>(std::copysign(std::exp2(std::floor(std::log2(std::fabs(value)))), value)));
    }
    for (const float candidate : simpler) {
      const std::uint32_t other = bits_of(tensor.dtype, candidate);
      if (other == bits) return false;  // as simple already
      Call call = smallest_;
      Tensor& changed = call.tensors.at(name);
      store_bits(changed.bytes, changed.dtype, index, other);
      if (try_this(std::move(call))) return true;
    }
    return false;
  }

  static constexpr std::int64_t kMostElements = 256;
  Call smallest_;
  const Policy& policy_;
  const std::function<bool(const Call&)>& still_fails_;
  double seconds_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

Call minimized(const Call& failing, const Policy& policy, const std::function<bool(const Call&)>& still_fails,
               double seconds) {
  return Minimizer(without_outputs(failing), policy, still_fails, seconds).run();
}

}  // namespace normproof::judging
