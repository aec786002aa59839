#include "properties/order/recover.h"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "properties/order/families.h"
#include "properties/order/subtrees.h"

namespace normproof::order {
namespace {

constexpr std::int32_t kUnknown = -1;
constexpr std::size_t kLeastChain = 12;        // leaves; fewer are sorted without a guess
constexpr std::size_t kLeastFamily = 8;        // leaves; smaller subtrees are not guessed to be of a family
constexpr std::size_t kLeastCandidates = 512;  // leaves of a segment from which on a good pivot is looked for
constexpr std::size_t kCandidates = 9;
constexpr std::size_t kAskedAtOnce = 64;  // leaves of a segment up to which both of its questions go together
constexpr std::int64_t kFailuresAllowed = 8;  // guesses about shapes, before all subtrees are solved at once

struct NoTree {};

// Leaves among the others of a job, in the order in which they meet its first leaf.
struct Segment {
  Leaves leaves;
  bool is_class = false;  // they meet each other first: one subtree
  bool chain_refuted = false;
  std::int32_t pivot = kUnknown;  // a good one that was looked for
  Leaves together =
      {};  // the class that is taken out of them, before the others are known to be earlier or later
};

// A subtree to be solved.
struct Job {
  std::int32_t slot = kUnknown;
  Leaves leaves;  // ascending
  enum class State { new_job, guessing, sorting, solved } state = State::new_job;
  std::vector<Shape> guesses = {};
  std::size_t guesses_from_shapes = 0;  // the first so many
  std::vector<Segment> segments = {};
};

class Solver {
 public:
  Solver(BlackBox& box, const Reader& reader, Random& random, const RecoverOptions& options)
      : box_(box), reader_(reader), random_(random), options_(options) {}

  std::optional<SumTree> solve() {
    Leaves all(static_cast<std::size_t>(box_.hidden_size()));
    for (std::size_t j = 0; j < all.size(); ++j) all[j] = static_cast<std::int32_t>(j);
    jobs_.push_back({Subtrees::kRoot, std::move(all)});
    try {
      while (!jobs_.empty()) round();
    } catch (const NoTree&) {
      return std::nullopt;
    }
    return subtrees_.tree_of(Subtrees::kRoot);
  }

 private:
  // Questions that one job asks in a round; the answers come back in the same order.
  class Batch {
   public:
    std::size_t add(const Triple& triple) {
      triples_.push_back(triple);
      return triples_.size() - 1;
    }
    std::vector<Triple> triples_;
    std::vector<Reading> readings_;
    bool survived(std::size_t index) const {
      if (readings_[index] == Reading::other) throw NoTree{};
      return readings_[index] == Reading::survived;
    }
  };
  struct Questions {
    Job* job = nullptr;
    std::size_t first = 0;             // its first in the batch
    std::vector<std::int32_t> pivots;  // by segment
    std::vector<bool> asks_chain;      // by segment
    std::vector<Leaves> candidates;    // by segment, for its pivot
    std::vector<std::size_t> counts;
  };

  void round();
  std::vector<Job*> runnable();
  void ask(Job& job, Batch& batch, Questions& questions);
  void take(Job& job, const Batch& batch, const Questions& questions);
  void begin(Job& job);
  void ask_guesses(const Job& job, Batch& batch, Questions& questions);
  bool take_guesses(Job& job, const Batch& batch, const Questions& questions);
  void ask_segments(const Job& job, Batch& batch, Questions& questions);
  void take_segments(Job& job, const Batch& batch, const Questions& questions);
  static void take_candidates(Segment& segment, const Leaves& candidates, const Batch& batch,
                              std::size_t begin);
  Leaves draw_candidates(const Segment& segment);
  static void take_chain(Segment& segment, const Batch& batch, std::size_t begin, std::size_t count,
                         std::vector<Segment>& segments);
  static void take_class(Segment& segment, std::int32_t pivot, const Batch& batch, std::size_t begin,
                         std::size_t count, std::vector<Segment>& segments);
  template <class IsLater>
  static void divide(Segment& segment, const IsLater& is_later, std::vector<Segment>& segments);
  void finish(Job& job);
  std::vector<Triple> sample_of(const SumTree& shape, const Leaves& leaves);
  std::int32_t any_leaf(const SumTree& shape, std::int32_t number);
  std::vector<Triple> chain_of(const Job& job, const Segment& segment, bool descending);
  std::vector<std::size_t> sampled(std::size_t count);

  BlackBox& box_;
  const Reader& reader_;
  Random& random_;
  const RecoverOptions& options_;
  Subtrees subtrees_;
  std::vector<Job> jobs_;
  std::int64_t right_guesses_ = 0, wrong_guesses_ = 0;
  std::size_t solved_leaves_ = 0;
};

// All indices below `count`, or a random sample of them, half of it among the last ones: most additions of
// most orders are those of chains, and what is wrong with a guess often is where chains are joined.
std::vector<std::size_t> Solver::sampled(std::size_t count) {
  std::vector<std::size_t> indices;
  if (static_cast<std::int64_t>(count) <= options_.sample) {
    for (std::size_t i = 0; i < count; ++i) indices.push_back(i);
  } else {
    const std::size_t last = std::max<std::size_t>(count / 16, 8);
    for (std::int64_t i = 0; i < options_.sample; ++i)
      indices.push_back(count - 1 - static_cast<std::size_t>(random_.below(i % 2 == 0 ? count : last)));
  }
  return indices;
}

// Some leaf below the number.
std::int32_t Solver::any_leaf(const SumTree& shape, std::int32_t number) {
  while (!shape.is_leaf(number)) {
    const SumTree::Node& node = shape.node(number);
    number = random_.below(2) == 0 ? node.first : node.second;
  }
  return number;
}

std::vector<Triple> Solver::sample_of(const SumTree& shape, const Leaves& leaves) {
  std::vector<Triple> all = certificate(shape);
  if (options_.may_be_wide) {
    std::vector<std::int32_t> sibling(2 * static_cast<std::size_t>(shape.leaves), 0);
    for (const SumTree::Node& node : shape.nodes) {
      sibling[static_cast<std::size_t>(node.first)] = node.second;
      sibling[static_cast<std::size_t>(node.second)] = node.first;
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
      const SumTree::Node& node = shape.nodes[i];
      const std::size_t number = static_cast<std::size_t>(shape.leaves) + i;
      all[i] = {any_leaf(shape, node.first), any_leaf(shape, node.second), any_leaf(shape, sibling[number])};
    }
  }
  std::vector<Triple> triples;
  for (const std::size_t index : sampled(all.size())) {
    const auto leaf = [&](std::int32_t rank) { return leaves[static_cast<std::size_t>(rank)]; };
    triples.push_back({leaf(all[index].first), leaf(all[index].second), leaf(all[index].big)});
  }
  return triples;
}

// That the segment's leaves come one by one, in ascending or descending order.
std::vector<Triple> Solver::chain_of(const Job& job, const Segment& segment, bool descending) {
  std::vector<Triple> triples;
  for (const std::size_t index : sampled(segment.leaves.size() - 1)) {
    std::size_t next = index + 1;
    if (options_.may_be_wide) next += static_cast<std::size_t>(random_.below(segment.leaves.size() - next));
    std::int32_t earlier = segment.leaves[index], later = segment.leaves[next];
    if (descending) std::swap(earlier, later);
    triples.push_back({job.leaves.front(), earlier, later});
  }
  return triples;
}

// The jobs that ask in this round: as long as shapes repeat, a subtree waits for a larger one to be solved.
std::vector<Job*> Solver::runnable() {
  const bool all = wrong_guesses_ > kFailuresAllowed + right_guesses_;
  std::size_t largest = 0;
  for (const Job& job : jobs_) largest = std::max(largest, job.leaves.size());
  bool has_leader = std::ranges::any_of(jobs_, [&](const Job& job) {
    return job.leaves.size() == largest && job.state == Job::State::sorting;
  });
  std::vector<Job*> chosen;
  for (Job& job : jobs_) {
    const bool has_shape =
        !subtrees_.shapes_of(job.leaves.size()).empty() && job.state == Job::State::new_job;
    bool runs = all || job.state != Job::State::new_job || has_shape || job.leaves.size() <= 4;
    if (!runs && job.leaves.size() == largest && !has_leader) runs = has_leader = true;
    if (runs) chosen.push_back(&job);
  }
  return chosen;
}

void Solver::round() {
  std::vector<std::size_t> sizes;
  for (const Job& job : jobs_) sizes.push_back(job.leaves.size());
  subtrees_.learn(sizes);
  Batch batch;
  std::vector<Questions> all;
  for (Job* job : runnable()) {
    Questions questions;
    questions.job = job;
    questions.first = batch.triples_.size();
    ask(*job, batch, questions);
    all.push_back(std::move(questions));
  }
  batch.readings_ = reader_.ask(box_, batch.triples_, random_);
  // What a job that is solved leaves to be solved is put behind the others; the pointers stay until then.
  std::vector<Job> old = std::move(jobs_);
  jobs_.clear();
  for (const Questions& questions : all) take(*questions.job, batch, questions);
  for (Job& job : old)
    if (job.state != Job::State::solved) jobs_.push_back(std::move(job));
  if (options_.progress)
    options_.progress(static_cast<double>(solved_leaves_) / static_cast<double>(box_.hidden_size()));
}

void Solver::begin(Job& job) {
  job.state = Job::State::guessing;
  const auto count = static_cast<std::int32_t>(job.leaves.size());
  const std::span<const Shape> shapes = subtrees_.shapes_of(job.leaves.size());
  job.guesses.assign(shapes.begin(), shapes.end());
  job.guesses_from_shapes = shapes.size();
  if (count < 4) return;
  for (const std::int32_t width : {2, 4, 8, 16}) {
    if (!options_.may_be_wide || count < 4 * width) break;
    job.guesses.push_back(std::make_shared<const SumTree>(serial_of_blocks(count, width)));
  }
  for (const auto make : {serial, reverse, pairwise, pairwise_larger_first, numpy_pairwise}) {
    if (job.leaves.size() < kLeastFamily && make != serial) break;
    auto shape = std::make_shared<const SumTree>(make(count));
    if (std::ranges::none_of(job.guesses, [&](const Shape& other) { return *other == *shape; }))
      job.guesses.push_back(std::move(shape));
  }
}

void Solver::ask(Job& job, Batch& batch, Questions& questions) {
  if (job.state == Job::State::new_job) begin(job);
  if (job.state == Job::State::guessing && job.guesses.empty()) job.state = Job::State::sorting;
  if (job.state == Job::State::guessing) return ask_guesses(job, batch, questions);
  if (job.segments.empty()) job.segments.push_back({{job.leaves.begin() + 1, job.leaves.end()}});
  ask_segments(job, batch, questions);
}

void Solver::take(Job& job, const Batch& batch, const Questions& questions) {
  if (job.state == Job::State::guessing) {
    if (!take_guesses(job, batch, questions)) job.state = Job::State::sorting;
    return;
  }
  take_segments(job, batch, questions);
  const bool sorted = std::ranges::all_of(job.segments, [](const Segment& segment) {
    return segment.is_class || (segment.leaves.size() == 1 && segment.together.empty());
  });
  if (sorted) finish(job);
}

void Solver::ask_guesses(const Job& job, Batch& batch, Questions& questions) {
  for (const Shape& shape : job.guesses) {
    const std::vector<Triple> triples = sample_of(*shape, job.leaves);
    for (const Triple& triple : triples) batch.add(triple);
    questions.counts.push_back(triples.size());
  }
}

bool Solver::take_guesses(Job& job, const Batch& batch, const Questions& questions) {
  std::size_t next = questions.first;
  for (std::size_t guess = 0; guess < job.guesses.size(); ++guess) {
    bool right = true;
    for (std::size_t i = 0; i < questions.counts[guess]; ++i) right = batch.survived(next++) && right;
    if (!right) continue;
    subtrees_.graft(job.slot, job.leaves, *job.guesses[guess]);
    right_guesses_ += guess < job.guesses_from_shapes ? 1 : 0;
    job.state = Job::State::solved;
    solved_leaves_ += job.leaves.size();
    return true;
  }
  wrong_guesses_ += job.guesses_from_shapes > 0 ? 1 : 0;
  return false;
}

// For each unsorted segment: that it is a chain; or which of its leaves meet a random one of them before the
// job's first leaf does; or, once they are known, which of the others come later.
void Solver::ask_segments(const Job& job, Batch& batch, Questions& questions) {
  const std::int32_t first = job.leaves.front();
  for (const Segment& segment : job.segments) {
    const std::size_t before = batch.triples_.size();
    std::int32_t pivot = kUnknown;
    bool asks_chain = false;
    Leaves candidates;
    if (!segment.together.empty()) {
      for (const std::int32_t leaf : segment.leaves) batch.add({first, segment.together.front(), leaf});
    } else if (!segment.is_class && segment.leaves.size() > 1) {
      asks_chain = !segment.chain_refuted && segment.leaves.size() >= kLeastChain;
      if (asks_chain) {
        for (const bool descending : {false, true})
          for (const Triple& triple : chain_of(job, segment, descending)) batch.add(triple);
      } else if (segment.pivot == kUnknown && segment.leaves.size() >= kLeastCandidates) {
        candidates = draw_candidates(segment);
        for (const std::int32_t a : candidates)
          for (const std::int32_t b : candidates)
            if (a != b) batch.add({first, a, b});
      } else {
        pivot = segment.pivot != kUnknown
                    ? segment.pivot
                    : segment.leaves[static_cast<std::size_t>(random_.below(segment.leaves.size()))];
        for (const std::int32_t leaf : segment.leaves)
          if (leaf != pivot) batch.add({leaf, pivot, first});
        for (const std::int32_t leaf : segment.leaves)
          if (leaf != pivot && segment.leaves.size() <= kAskedAtOnce) batch.add({first, pivot, leaf});
      }
    }
    questions.pivots.push_back(pivot);
    questions.asks_chain.push_back(asks_chain);
    questions.candidates.push_back(std::move(candidates));
    questions.counts.push_back(batch.triples_.size() - before);
  }
}

void Solver::take_segments(Job& job, const Batch& batch, const Questions& questions) {
  std::vector<Segment> segments;
  std::size_t next = questions.first;
  for (std::size_t s = 0; s < job.segments.size(); ++s) {
    Segment& segment = job.segments[s];
    const std::size_t begin = next, count = questions.counts[s];
    next += count;
    if (count == 0) {
      segments.push_back(std::move(segment));
    } else if (questions.asks_chain[s]) {
      take_chain(segment, batch, begin, count / 2, segments);
    } else if (!questions.candidates[s].empty()) {
      take_candidates(segment, questions.candidates[s], batch, begin);
      segments.push_back(std::move(segment));
    } else if (questions.pivots[s] == kUnknown) {
      divide(segment, [&](std::size_t index) { return batch.survived(begin + index); }, segments);
    } else {
      take_class(segment, questions.pivots[s], batch, begin, count, segments);
    }
  }
  job.segments = std::move(segments);
}

void Solver::take_chain(Segment& segment, const Batch& batch, std::size_t begin, std::size_t count,
                        std::vector<Segment>& segments) {
  bool ascending = true, descending = true;
  for (std::size_t i = 0; i < count; ++i) {
    ascending = batch.survived(begin + i) && ascending;
    descending = batch.survived(begin + count + i) && descending;
  }
  if (!ascending && !descending) {
    segment.chain_refuted = true;
    segments.push_back(std::move(segment));
    return;
  }
  if (!ascending) std::ranges::reverse(segment.leaves);
  for (const std::int32_t leaf : segment.leaves) segments.push_back({{leaf}, true});
}

Leaves Solver::draw_candidates(const Segment& segment) {
  Leaves candidates;
  while (candidates.size() < kCandidates) {
    const std::int32_t leaf = segment.leaves[static_cast<std::size_t>(random_.below(segment.leaves.size()))];
    if (std::ranges::find(candidates, leaf) == candidates.end()) candidates.push_back(leaf);
  }
  return candidates;
}

// Of the candidates, whose later ones are known, the one that leaves least to be sorted: many of its class,
// and as many that are earlier as are later.
void Solver::take_candidates(Segment& segment, const Leaves& candidates, const Batch& batch,
                             std::size_t begin) {
  const std::size_t count = candidates.size();
  std::vector<std::int64_t> later(count, 0), earlier(count, 0);
  std::size_t next = begin;
  for (std::size_t a = 0; a < count; ++a) {
    for (std::size_t b = 0; b < count; ++b) {
      if (a == b || !batch.survived(next++)) continue;
      ++later[a];
      ++earlier[b];
    }
  }
  const auto left = [&](std::size_t a) { return later[a] * later[a] + earlier[a] * earlier[a]; };
  std::size_t best = 0;
  for (std::size_t a = 1; a < count; ++a)
    if (left(a) < left(best)) best = a;
  segment.pivot = candidates[best];
}

// The leaves that meet the pivot first; the others too, if both questions were asked.
void Solver::take_class(Segment& segment, std::int32_t pivot, const Batch& batch, std::size_t begin,
                        std::size_t count, std::vector<Segment>& segments) {
  Leaves asked;
  for (const std::int32_t leaf : segment.leaves)
    if (leaf != pivot) asked.push_back(leaf);
  segment.leaves.clear();
  segment.together = {pivot};
  std::vector<std::size_t> others;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (batch.survived(begin + i)) {
      segment.together.push_back(asked[i]);
    } else {
      segment.leaves.push_back(asked[i]);
      others.push_back(i);
    }
  }
  if (segment.leaves.empty()) {
    segments.push_back({std::move(segment.together), true});
  } else if (count == asked.size()) {
    segments.push_back(std::move(segment));
  } else {
    const auto is_later = [&](std::size_t index) {
      return batch.survived(begin + asked.size() + others[index]);
    };
    divide(segment, is_later, segments);
  }
}

// Into those that come earlier than its class, the class, and those that come later.
template <class IsLater>
void Solver::divide(Segment& segment, const IsLater& is_later, std::vector<Segment>& segments) {
  Leaves earlier, later;
  for (std::size_t i = 0; i < segment.leaves.size(); ++i)
    (is_later(i) ? later : earlier).push_back(segment.leaves[i]);
  if (!earlier.empty()) segments.push_back({std::move(earlier)});
  segments.push_back({std::move(segment.together), true});
  if (!later.empty()) segments.push_back({std::move(later)});
}

// All classes are known: the path from the job's first leaf to its root, and a job for each class.
void Solver::finish(Job& job) {
  job.state = Job::State::solved;
  solved_leaves_ += 1;
  std::int32_t at = job.slot;
  for (std::size_t s = job.segments.size(); s-- > 0;) {
    Segment& segment = job.segments[s];
    const auto [path, hanging] = subtrees_.divide(at);
    if (segment.leaves.size() == 1) {
      subtrees_.set_leaf(hanging, segment.leaves.front());
      ++solved_leaves_;
    } else if (segment.leaves.size() == 2) {
      const auto [first, second] = subtrees_.divide(hanging);
      subtrees_.set_leaf(first, segment.leaves[0]);
      subtrees_.set_leaf(second, segment.leaves[1]);
      solved_leaves_ += 2;
    } else {
      std::ranges::sort(segment.leaves);
      jobs_.push_back({hanging, std::move(segment.leaves)});
    }
    at = path;
  }
  subtrees_.set_leaf(at, job.leaves.front());
}

}  // namespace

std::optional<SumTree> recover(BlackBox& box, const Reader& reader, Random& random,
                               const RecoverOptions& options) {
  return Solver(box, reader, random, options).solve();
}

}  // namespace normproof::order
