#include "properties/order/detect.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>

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
    if (is_tree(sample)) return find_tree(*reader, SumTree::Precision::fp32, Kind::fp32_tree);
    not_a_tree(sample);
  }

  // Wide sums that keep fp64 until the root have no fp32 reader.
  void without_reader(const std::string& why) {
    if (try_fp64()) return;
    conclude(Kind::no_reader, why);
  }

  void not_a_tree(const KindSample& sample) {
    const auto& h = sample.histogram;
    const auto all = static_cast<std::int64_t>(kKindTriples);
    const std::string seen = text_of(sample);
    if (sample.varies) return conclude(Kind::varies, "asked twice, the same row reads differently; " + seen);
    if (h[3] == all || h[0] == all) {
      if (try_fp64()) return;
      return conclude(Kind::wide, seen +
                                      "; no single fp64 order explains its smallest bits (Kahan, wider than "
                                      "fp64, or a mean that does not show them at this H)");
    }
    if (sample.unreadable == 0 && h[0] + h[2] == 0)
      return conclude(Kind::fused_adder,
                      seen + ": some additions take several numbers at once, or are wider");
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
      find_tree(*reader, SumTree::Precision::fp64, Kind::fp64_tree);
      if (finding_.tree) return true;
    }
    return false;
  }

  // A family, else from nothing; then the certificate.
  void find_tree(const Reader& reader, SumTree::Precision precision, Kind kind) {
    if (options_.look_for_families) {
      show("families", 0);
      if (const auto family = recognize(box_, reader, random_)) {
        if (accept(reader, families()[*family].tree(box_.hidden_size()), precision, kind)) return;
      }
    }
    for (const std::int64_t sample : {std::int64_t{20}, INT64_MAX}) {
      RecoverOptions options;
      options.sample = sample;
      options.progress = [&](double share) { show("tree", share); };
      auto tree = recover(box_, reader, random_, options);
      if (!tree) continue;
      if (accept(reader, std::move(*tree), precision, kind)) return;
    }
    if (!reader.controls_hold(box_, random_))
      return conclude(Kind::varies, "the control rows read otherwise after a while");
    conclude(
        Kind::other,
        fmt::format("random triples look like a binary tree, but no tree passes its certificate: {} of {} "
                    "rows refute the best one",
                    refuted_, finding_.certificate_rows));
  }

  // Certifies the tree; then it is the finding.
  bool accept(const Reader& reader, SumTree tree, SumTree::Precision precision, Kind kind) {
    show("certificate", 0);
    tree.precision = precision;
    const CertificateResult result = certify(box_, reader, tree, random_);
    finding_.certificate_rows = result.rows;
    refuted_ = result.refuted;
    if (!result.holds || !reader.controls_hold(box_, random_)) return false;
    for (const Family& family : families()) {
      if (family.tree(tree.leaves).nodes != tree.nodes) continue;
      finding_.family = family.name;
      break;
    }
    if (precision == SumTree::Precision::fp32 && box_.dtype() == DType::fp32) {
      show("fma", 0);
      if (auto fused = fused_leaves(box_, tree, random_)) {
        finding_.fma_known = true;
        tree = oracle::make_tree(tree.leaves, std::move(tree.nodes), std::move(*fused), precision);
      }
    }
    finding_.tree = std::move(tree);
    conclude(kind, {});
    return true;
  }

  BlackBox& box_;
  const DetectOptions& options_;
  Random random_;
  Finding finding_;
  std::int64_t refuted_ = 0;
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
    case Kind::wide:
      return "wider than fp32, or compensated";
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
    if (is_tree(sample_kind(box, *reader, random))) break;
    why = "its answers are not those of a binary tree of this precision";
    reader.reset();
  }
  if (!reader) return false;
  const CertificateResult result = certify(box, *reader, tree, random);
  if (!result.holds) {
    const Triple& triple = *result.first_refuted;
    why = fmt::format(
        "{} of {} rows of the certificate refute it; elements {} and {} do not meet before element {}",
        result.refuted, result.rows, triple.first, triple.second, triple.big);
    return false;
  }
  if (tree.precision == SumTree::Precision::fp32 && box.dtype() == DType::fp32 && tree.leaves >= 4) {
    const auto fused = fused_leaves(box, tree, random);
    if (!fused) {
      why = "which squares are added by an fma could not be read";
      return false;
    }
    const SumTree claimed = oracle::make_tree(tree.leaves, tree.nodes, tree.fused, tree.precision);
    const SumTree seen = oracle::make_tree(tree.leaves, tree.nodes, *fused, tree.precision);
    if (claimed.fused != seen.fused) {
      why = "other squares are added by an fma";
      return false;
    }
  }
  return true;
}

}  // namespace normproof::order
