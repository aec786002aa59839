#include "properties/order/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "corpus/float_format.h"
#include "oracle/formats.h"

namespace normproof::order {
namespace {

constexpr std::size_t kControls = 6;  // of each kind, at places of their own
constexpr int kMostSteps = 3;         // ulp that an epsilon may leave of the mean
constexpr int kPositiveCalls = 600;   // epsilons that are tried

std::uint32_t bits_of(DType dtype, double value) { return rounded(format_of(dtype), value); }

// Columns that differ from each other and from `taken`.
std::vector<std::int32_t> other_columns(std::int32_t hidden, std::size_t count,
                                        std::vector<std::int32_t> taken, Random& random) {
  std::vector<std::int32_t> columns;
  while (columns.size() < count) {
    const auto column = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(hidden)));
    if (std::ranges::find(taken, column) != taken.end()) continue;
    taken.push_back(column);
    columns.push_back(column);
  }
  return columns;
}

// What an output of r would be in the dtype that is read, for a kernel that computes as most do. Only to try
// the likely epsilons first.
std::uint32_t likely_output(const BlackBox& box, double x, float m) {
  const auto r = static_cast<float>(1 / std::sqrt(static_cast<double>(m)));
  const std::uint32_t y = rounded(format_of(box.dtype()), x * static_cast<double>(r));
  if (box.output_dtype() == box.dtype() || box.reads_largest()) return y;
  const auto& quantized = oracle::format_of(box.output_dtype());
  return static_cast<std::uint32_t>(oracle::round_bits(quantized, oracle::decode(box.dtype(), y)));
}

}  // namespace

std::optional<Controls> Controls::read(BlackBox& box, std::uint32_t epsilon_bits,
                                       std::span<const Probe> absorbed, std::span<const Probe> survived) {
  std::vector<Probe> rows(absorbed.begin(), absorbed.end());
  rows.insert(rows.end(), survived.begin(), survived.end());
  const std::vector<std::uint32_t> read = box.outputs(rows, epsilon_bits);
  const Controls controls{epsilon_bits, read.front(), read.back()};
  const auto middle = read.begin() + static_cast<std::ptrdiff_t>(absorbed.size());
  if (!std::all_of(read.begin(), middle, [&](auto bits) { return bits == controls.absorbed; }) ||
      !std::all_of(middle, read.end(), [&](auto bits) { return bits == controls.survived; }))
    return std::nullopt;
  const auto& format = oracle::format_of(box.output_dtype());
  for (const std::uint32_t bits : {controls.absorbed, controls.survived})
    if (oracle::is_nan(format, bits) || oracle::is_infinite(format, bits) || oracle::is_zero(format, bits))
      return std::nullopt;
  if (controls.absorbed == controls.survived) return std::nullopt;
  return controls;
}

std::vector<Reading> Controls::ask(BlackBox& box, std::span<const Probe> rows) const {
  std::vector<Reading> readings;
  readings.reserve(rows.size());
  for (const std::uint32_t bits : box.outputs(rows, epsilon_bits)) {
    readings.push_back(bits == absorbed   ? Reading::absorbed
                       : bits == survived ? Reading::survived
                                          : Reading::other);
  }
  return readings;
}

std::vector<Probe> Reader::control_rows(std::int32_t hidden, bool survived, std::size_t count,
                                        Random& random) const {
  std::vector<Probe> rows;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t parts = 2 + (alphabet_.companion != 0 ? 1 : 0) + (survived ? 1 : 0);
    const auto columns = other_columns(hidden, parts, {}, random);
    Probe row{{{columns[0], alphabet_.big}, {columns[1], alphabet_.unit}}, columns[1]};
    std::size_t next = 2;
    if (alphabet_.companion != 0) {
      row.read = columns[next];
      row.elements.push_back({columns[next++], alphabet_.companion});
    }
    if (survived) row.elements.push_back({columns[next], alphabet_.nudge});
    rows.push_back(std::move(row));
  }
  return rows;
}

bool Reader::try_epsilon(BlackBox& box, std::uint32_t epsilon_bits, Random& random) {
  const std::vector<Probe> absorbed = control_rows(box.hidden_size(), false, kControls, random);
  const std::vector<Probe> survived = control_rows(box.hidden_size(), true, kControls, random);
  const auto read = Controls::read(box, epsilon_bits, absorbed, survived);
  if (read) controls_ = *read;
  return read.has_value();
}

// eps = -(v - k ulp) for v = B / H, divided or multiplied by the rounded 1 / H; k is at most `most_steps`,
// from 1 on, or 0 where that is 0.
bool Reader::try_negative(BlackBox& box, float big, int most_steps, Random& random) {
  const auto hidden = static_cast<float>(box.hidden_size());
  for (const float mean : {big / hidden, big * (1.0f / hidden)}) {
    float epsilon = mean;
    for (int steps = 0; steps <= most_steps; ++steps) {
      const bool is_tried = steps > 0 || most_steps == 0;
      if (is_tried && try_epsilon(box, std::bit_cast<std::uint32_t>(-epsilon), random)) return true;
      epsilon = std::nextafter(epsilon, 0.0f);
    }
  }
  return false;
}

// Slides epsilon over ties of y = u * r, for one u after the other.
bool Reader::try_positive(BlackBox& box, Random& random) {
  const FloatFormat format = format_of(box.dtype());
  const auto hidden = static_cast<float>(box.hidden_size());
  const float low = 16777216.0f / hidden, high = 16777218.0f / hidden;
  struct Candidate {
    std::uint32_t unit, epsilon;
  };
  std::vector<Candidate> candidates, unlikely;
  std::vector<std::uint32_t> units;
  const std::uint32_t least = rounded(format, 0.7109375), most = rounded(format, 0.99609375);
  const std::uint32_t step = std::max<std::uint32_t>(1, (most - least) / 73);
  for (std::uint32_t unit = most; unit >= least; unit -= step) units.push_back(unit);
  if (box.reads_largest()) units = {most};  // the big element is what is read
  for (const std::uint32_t unit : units) {
    const double x = box.reads_largest() ? 4096 : value_of(format, unit);
    // r falls from that of m = v to that of m = 4 v; a tie of the output lies between two of its numbers.
    const std::uint32_t first = rounded(format, x / std::sqrt(4.0 * static_cast<double>(low)));
    const std::uint32_t last = rounded(format, x / std::sqrt(static_cast<double>(low)));
    const std::uint32_t stride = std::max<std::uint32_t>(1, (last - first) / 64);
    for (std::uint32_t y = first; y < last; y += stride) {
      const double tie = (value_of(format, y) + value_of(format, y + 1)) / 2;
      const double wanted = (x / tie) * (x / tie) - static_cast<double>(low);
      if (!(wanted >= 0)) continue;
      for (int offset = -3; offset <= 3; ++offset) {
        auto epsilon = static_cast<float>(wanted);
        for (int k = 0; k < std::abs(offset); ++k)
          epsilon = std::nextafter(epsilon, offset < 0 ? 0.0f : INFINITY);
        const bool likely = likely_output(box, x, low + epsilon) != likely_output(box, x, high + epsilon);
        if (likely || offset == 0)
          (likely ? candidates : unlikely).push_back({unit, std::bit_cast<std::uint32_t>(epsilon)});
      }
    }
  }
  candidates.insert(candidates.end(), unlikely.begin(), unlikely.end());
  for (std::size_t i = 0; i < candidates.size() && i < kPositiveCalls; ++i) {
    alphabet_.unit = candidates[i].unit;
    if (try_epsilon(box, candidates[i].epsilon, random)) return true;
  }
  return false;
}

std::optional<Reader> Reader::calibrate(BlackBox& box, Scale scale, Random& random, std::string& why) {
  const DType dtype = box.dtype();
  Alphabet alphabet;
  float big = 0x1p28f;
  if (scale == Scale::fp32) {
    // 2^24 and 0.9922, whose ulp is 2; 1.41 more is above half an ulp, whatever it meets first.
    big = 0x1p24f;
    alphabet = {bits_of(dtype, 4096), bits_of(dtype, 0.99609375), 0, bits_of(dtype, 1.1875)};
  } else {
    // 2^28 and 0.4944 * 2^-24, whose ulp in fp64 is 2^-24. Either 16 makes the sum a tie of fp32, or one ulp
    // of fp64 is all that is left of the mean.
    const double companion = scale == Scale::fp64 ? 4 : 0x1p-12;
    const double nudge = scale == Scale::fp64 ? 0x1p-11 : 0x1p-12;
    alphabet = {bits_of(dtype, 0x1p14), bits_of(dtype, 45 * 0x1p-18), bits_of(dtype, companion),
                bits_of(dtype, nudge)};
  }
  Reader reader(alphabet);
  const std::int32_t least = scale == Scale::fp32 ? 3 : 4;
  if (box.hidden_size() < least) {
    why = fmt::format("a row of {} elements is too short", box.hidden_size());
    return std::nullopt;
  }
  std::string refusal;
  try {
    if (reader.try_negative(box, big, scale == Scale::fp64_kept ? 0 : kMostSteps, random)) return reader;
    why = "under a negative epsilon the control rows do not read as two different numbers";
  } catch (const NoAnswer& error) {
    if (!error.refused) throw;
    why = fmt::format("a negative epsilon is refused ({})", error.what());
  }
  if (scale == Scale::fp32 && reader.try_positive(box, random)) return reader;
  if (scale == Scale::fp32)
    why += fmt::format("; none of up to {} positive epsilons shows one ulp of the sum", kPositiveCalls);
  return std::nullopt;
}

std::vector<Reading> Reader::ask(BlackBox& box, std::span<const Triple> triples, Random& random) const {
  std::vector<Probe> rows;
  rows.reserve(triples.size());
  for (const Triple& triple : triples) {
    Probe row{{{triple.big, alphabet_.big}, {triple.first, alphabet_.unit}, {triple.second, alphabet_.unit}},
              triple.first};
    if (alphabet_.companion != 0) {
      row.read = other_columns(box.hidden_size(), 1, {triple.big, triple.first, triple.second}, random)[0];
      row.elements.push_back({row.read, alphabet_.companion});
    }
    rows.push_back(std::move(row));
  }
  return controls_.ask(box, rows);
}

bool Reader::controls_hold(BlackBox& box, Random& random) const {
  Reader again = *this;
  return again.try_epsilon(box, epsilon_bits(), random) && again.controls_ == controls_;
}

}  // namespace normproof::order
