#include "properties/order/detect.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "properties/order/compensated.h"
#include "properties/order/families.h"
#include "properties/order/fused_leaves.h"
#include "properties/order/recover.h"
#include "properties/order/root.h"

namespace normproof::order {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kKindTriples = 40;
constexpr std::size_t kRepeated = 24;  // questions that are asked again, at other places of other calls

struct KindSample {
  std::array<std::int64_t, 4> histogram{};
  std::int64_t unreadable = 0;  // readings that are neither control
  bool varies = false;
};

// Three leaves that differ.
std::array<std::int32_t, 3> draw_leaves(std::int32_t hidden, Random& random) {
  std::set<std::int32_t> leaves;
  std::vector<std::int32_t> drawn;
  while (drawn.size() < 3) {
    const auto leaf = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(hidden)));
    if (leaves.insert(leaf).second) drawn.push_back(leaf);
  }
  return {drawn[0], drawn[1], drawn[2]};
}

// Random triples, half of them of close leaves, each with all three questions; some of them twice.
KindSample sample_kind(BlackBox& box, const Reader& reader, Random& random) {
  std::vector<Triple> triples;
  for (std::size_t i = 0; i < kKindTriples; ++i) {
    const std::int32_t hidden = box.hidden_size();
    std::array<std::int32_t, 3> leaf = draw_leaves(i % 2 == 0 ? hidden : std::min(hidden, 16), random);
    if (i % 2 != 0) {
      const auto shift = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(hidden)));
      for (std::int32_t& l : leaf) l = (l + shift) % hidden;
    }
    triples.push_back({leaf[0], leaf[1], leaf[2]});
    triples.push_back({leaf[0], leaf[2], leaf[1]});
    triples.push_back({leaf[1], leaf[2], leaf[0]});
  }
  const std::vector<Reading> readings = reader.ask(box, triples, random);
  KindSample sample;
  for (std::size_t i = 0; i < readings.size(); i += 3) {
    const auto survived =
        std::count(readings.begin() + static_cast<std::ptrdiff_t>(i),
                   readings.begin() + static_cast<std::ptrdiff_t>(i) + 3, Reading::survived);
    ++sample.histogram[static_cast<std::size_t>(survived)];
  }
  sample.unreadable = std::ranges::count(readings, Reading::other);
  // The same questions in the opposite order: other rows of other calls.
  std::vector<Triple> again;
  std::vector<std::size_t> which;
  for (std::size_t i = 0; i < kRepeated; ++i) {
    which.push_back(triples.size() - 1 - i * (triples.size() / kRepeated));
    again.push_back(triples[which.back()]);
  }
  const std::vector<Reading> repeated = reader.ask(box, again, random);
  for (std::size_t i = 0; i < which.size(); ++i)
    sample.varies = sample.varies || repeated[i] != readings[which[i]];
  return sample;
}

std::string text_of(const KindSample& sample) {
  const auto& h = sample.histogram;
  return fmt::format(
      "of {} triples {}, {}, {} and {} have 0, 1, 2 and 3 questions that survive{}", kKindTriples, h[0], h[1],
      h[2], h[3],
      sample.unreadable > 0 ? fmt::format(", {} rows read as neither control", sample.unreadable) : "");
}

bool is_tree(const KindSample& sample) {
  return !sample.varies && sample.unreadable == 0 &&
         sample.histogram[1] == static_cast<std::int64_t>(kKindTriples);
}

// Which squares are added by an fma; nothing where rows do not tell.
std::optional<std::vector<std::uint8_t>> fused_of(BlackBox& box, const Reader& reader, const SumTree& tree,
                                                  Random& random) {
  auto fused = fused_leaves(box, tree, random);
  if (!fused || !tree.is_compensated()) return fused;
  const auto terms = fused_terms(box, reader, tree);
  if (!terms) return std::nullopt;
  for (std::size_t i = 0; i < fused->size(); ++i) (*fused)[i] |= (*terms)[i];
  return fused;
}

SumTree with_fused(SumTree tree, std::vector<std::uint8_t> fused) {
  if (!tree.is_compensated())
    return oracle::make_tree(tree.leaves, std::move(tree.nodes), std::move(fused), tree.precision);
  return oracle::make_compensated_tree(tree.leaves, std::move(tree.nodes), std::move(tree.running),
                                       tree.accumulator, std::move(fused));
}

// Whether the kinds of answers are those of such a tree.
bool fits(const KindSample& sample, const SumTree& tree) {
  if (!tree.is_compensated()) return is_tree(sample);
  return !sample.varies && sample.unreadable == 0 && sample.histogram[0] + sample.histogram[2] == 0;
}

class Investigation {
 public:
  Investigation(BlackBox& box, const DetectOptions& options)
      : box_(box), options_(options), random_(options.seed) {}

  Finding run() {
    const std::int64_t rows = box_.rows_asked(), calls = box_.calls();
    const auto start = Clock::now();
    investigate();
    if (options_.look_at_root && finding_.tree) {
      show("root", 0);
      finding_.root = find_root(box_, random_);
    }
    finding_.rows = box_.rows_asked() - rows;
    finding_.calls = box_.calls() - calls;
    finding_.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return std::move(finding_);
  }

 private:
  void show(const char* stage, double share) const {
    if (options_.progress) options_.progress(stage, share);
  }

  void conclude(Kind kind, std::string reason) {
    finding_.kind = kind;
    finding_.reason = std::move(reason);
  }

  void investigate() {
    const std::int32_t hidden = box_.hidden_size();
    if (hidden < 3) {
      SumTree tree;
      tree.leaves = hidden;
      if (hidden == 2) tree.nodes = {{0, 1}};
      finding_.tree = std::move(tree);
      return conclude(Kind::trivial, fmt::format("a row of {} has one order", hidden));
    }
    show("reader", 0);
    std::string why;
    const auto reader = Reader::calibrate(box_, Reader::Scale::fp32, random_, why);
    if (!reader) return without_reader(why);
    finding_.negative_epsilon = reader->uses_negative_epsilon();
    finding_.epsilon_bits = reader->epsilon_bits();
    const KindSample sample = sample_kind(box_, *reader, random_);
    finding_.histogram = sample.histogram;
    if (is_tree(sample)) {
      if (!find_tree(*reader, sample, SumTree::Precision::fp32, Kind::fp32_tree))
        conclude_without_tree(*reader);
      return;
    }
    not_a_tree(*reader, sample);
  }

  // Wide sums that keep fp64 until the root have no fp32 reader.
  void without_reader(const std::string& why) {
    if (try_fp64()) return;
    conclude(Kind::no_reader, why);
  }

  void not_a_tree(const Reader& reader, const KindSample& sample) {
    const auto& h = sample.histogram;
    const auto all = static_cast<std::int64_t>(kKindTriples);
    const std::string seen = text_of(sample);
    const bool may_be_chains = !sample.varies && sample.unreadable == 0 && h[0] + h[2] == 0;
    if (sample.varies) return conclude(Kind::varies, "asked twice, the same row reads differently; " + seen);
    if (h[3] == all || h[0] == all) {
      if (try_fp64()) return;
      if (may_be_chains && find_tree(reader, sample, SumTree::Precision::fp32, Kind::fp32_tree)) return;
      return conclude(Kind::wide,
                      seen +
                          "; no single fp64 order explains its smallest bits (wider than fp64, or "
                          "a mean that does not show them at this H)" +
                          (why_wide_.empty() ? "" : "; no compensated sum: " + why_wide_));
    }
    if (may_be_chains && find_tree(reader, sample, SumTree::Precision::fp32, Kind::fp32_tree)) return;
    if (sample.unreadable == 0 && h[0] + h[2] == 0)
      return conclude(Kind::fused_adder, seen +
                                             ": some additions take several numbers at once, or are wider" +
                                             (why_wide_.empty() ? "" : "; no compensated sum: " + why_wide_));
    if (sample.unreadable == 0 && h[0] == 0) return conclude(Kind::mixed, seen);
    if (h[1] + h[3] == all) return conclude(Kind::mixed, seen);
    conclude(Kind::other, seen);
  }

  bool try_fp64() {
    for (const Reader::Scale scale : {Reader::Scale::fp64, Reader::Scale::fp64_kept}) {
      std::string why;
      const auto reader = Reader::calibrate(box_, scale, random_, why);
      if (!reader) continue;
      const KindSample sample = sample_kind(box_, *reader, random_);
      if (!is_tree(sample)) continue;
      finding_.histogram = sample.histogram;
      finding_.epsilon_bits = reader->epsilon_bits();
      finding_.negative_epsilon = true;
      if (find_tree(*reader, sample, SumTree::Precision::fp64, Kind::fp64_tree)) return true;
    }
    return false;
  }

  // A family, else from nothing; then the certificate.
  bool find_tree(const Reader& reader, const KindSample& sample, SumTree::Precision precision, Kind kind) {
    is_wide_ = sample.histogram[3] > 0 && precision == SumTree::Precision::fp32;
    // Sums all of which are one chain fit any tree.
    if (sample.histogram[3] == static_cast<std::int64_t>(kKindTriples) &&
        precision == SumTree::Precision::fp32) {
      if (accept(reader, serial(box_.hidden_size()), precision, kind)) return true;
    } else if (options_.look_for_families) {
      show("families", 0);
      if (const auto family = recognize(box_, reader, random_)) {
        if (accept(reader, families()[*family].tree(box_.hidden_size()), precision, kind)) return true;
      }
    }
    is_wide_ = is_wide_ || !why_wide_.empty();
    for (const std::int64_t rows : {std::int64_t{20}, INT64_MAX}) {
      RecoverOptions options;
      options.sample = rows;
      options.may_be_wide = is_wide_;
      options.progress = [&](double share) { show("tree", share); };
      auto tree = recover(box_, reader, random_, options);
      if (!tree) continue;
      if (accept(reader, std::move(*tree), precision, kind)) return true;
      if (is_wide_ && why_wide_ != kFitsNoTree) return false;  // it is this tree, but no compensated sum
    }
    return false;
  }

  void conclude_without_tree(const Reader& reader) {
    if (!reader.controls_hold(box_, random_))
      return conclude(Kind::varies, "the control rows read otherwise after a while");
    conclude(
        Kind::other,
        fmt::format("random triples look like a binary tree, but no tree passes its certificate: {} of {} "
                    "rows refute the best one{}{}",
                    refuted_, finding_.certificate_rows, why_wide_.empty() ? "" : "; ", why_wide_));
  }

  // Certifies the tree; then it is the finding.
  bool accept(const Reader& reader, SumTree tree, SumTree::Precision precision, Kind kind) {
    if (is_wide_) return accept_compensated(reader, tree);
    show("certificate", 0);
    tree.precision = precision;
    const CertificateResult result = certify(box_, reader, tree, random_);
    finding_.certificate_rows = result.rows;
    refuted_ = result.refuted;
    const bool is_fp32 = precision == SumTree::Precision::fp32;
    if (result.only_opposites && is_fp32) return accept_compensated(reader, tree);
    if (!result.holds || !reader.controls_hold(box_, random_)) return false;
    take(reader, std::move(tree), kind);
    return true;
  }

  bool accept_compensated(const Reader& reader, const SumTree& shape) {
    show("compensated sums", 0);
    auto found = find_compensated(box_, reader, shape, random_, why_wide_);
    if (!found || !reader.controls_hold(box_, random_)) return false;
    finding_.certificate_rows = found->certificate_rows;
    take(reader, std::move(found->tree), Kind::compensated);
    return true;
  }

  // A certified tree.
  void take(const Reader& reader, SumTree tree, Kind kind) {
    for (const Family& family : families()) {
      if (family.tree(tree.leaves).nodes != tree.nodes) continue;
      finding_.family = family.name;
      break;
    }
    if (tree.precision == SumTree::Precision::fp32 && box_.dtype() == DType::fp32) {
      show("fma", 0);
      if (auto fused = fused_of(box_, reader, tree, random_)) {
        finding_.fma_known = true;
        tree = with_fused(std::move(tree), std::move(*fused));
      }
    }
    finding_.tree = std::move(tree);
    conclude(kind, {});
  }

  BlackBox& box_;
  const DetectOptions& options_;
  Random random_;
  Finding finding_;
  std::int64_t refuted_ = 0;
  bool is_wide_ = false;  // some questions survive that of plain additions would not
  std::string why_wide_;  // what is against a compensated sum, where additions are wide
};

}  // namespace

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::trivial:
      return "trivial";
    case Kind::fp32_tree:
      return "binary fp32 tree";
    case Kind::fp64_tree:
      return "binary fp64 tree";
    case Kind::compensated:
      return "tree of compensated fp32 sums";
    case Kind::wide:
      return "wider than fp32";
    case Kind::fused_adder:
      return "fused adder";
    case Kind::mixed:
      return "mixed";
    case Kind::varies:
      return "differs from call to call";
    case Kind::other:
      return "no tree";
    case Kind::no_reader:
      return "no reader";
  }
  return "?";
}

std::string_view code_of(Kind kind) {
  switch (kind) {
    case Kind::trivial:
      return "trivial";
    case Kind::fp32_tree:
      return "fp32_tree";
    case Kind::fp64_tree:
      return "fp64_tree";
    case Kind::compensated:
      return "compensated_tree";
    case Kind::wide:
      return "wide";
    case Kind::fused_adder:
      return "fused_adder";
    case Kind::mixed:
      return "mixed";
    case Kind::varies:
      return "varies";
    case Kind::other:
      return "no_tree";
    case Kind::no_reader:
      return "no_reader";
  }
  return "?";
}

Finding detect(BlackBox& box, const DetectOptions& options) { return Investigation(box, options).run(); }

bool has_tree(BlackBox& box, const SumTree& tree, std::uint64_t seed, std::string& why) {
  if (tree.leaves != box.hidden_size()) {
    why = fmt::format("the order has {} elements, the rows {}", tree.leaves, box.hidden_size());
    return false;
  }
  if (tree.leaves < 3) return true;
  Random random(seed);
  std::optional<Reader> reader;
  for (const Reader::Scale scale : {Reader::Scale::fp32, Reader::Scale::fp64, Reader::Scale::fp64_kept}) {
    if ((scale == Reader::Scale::fp32) != (tree.precision == SumTree::Precision::fp32)) continue;
    reader = Reader::calibrate(box, scale, random, why);
    if (!reader) continue;
    if (fits(sample_kind(box, *reader, random), tree)) break;
    why = "its answers are not those of a binary tree of this precision";
    reader.reset();
  }
  if (!reader) return false;
  const CertificateResult result = certify(box, *reader, tree, random);
  if (!result.holds) {
    why = fmt::format("{} of {} rows of the certificate refute it; {}", result.refuted, result.rows,
                      result.why);
    return false;
  }
  if (tree.is_compensated() && !has_accumulator(box, *reader, tree, random, why)) return false;
  if (tree.precision == SumTree::Precision::fp32 && box.dtype() == DType::fp32 && tree.leaves >= 4) {
    const auto fused = fused_of(box, *reader, tree, random);
    if (!fused) {
      why = "which squares are added by an fma could not be read";
      return false;
    }
    if (tree.fused_leaves() == 0 ? std::ranges::any_of(*fused, [](auto flag) { return flag != 0; })
                                 : tree.fused != *fused) {
      why = "other squares are added by an fma";
      return false;
    }
  }
  return true;
}

}  // namespace normproof::order
