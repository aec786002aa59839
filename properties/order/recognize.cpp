// Known families, before anything is recovered.
#include <algorithm>
#include <utility>
#include <vector>

#include "properties/order/families.h"
#include "properties/order/recover.h"

namespace normproof::order {

namespace {

constexpr std::size_t kLastAdditions = 256;  // where parallel sums are joined, and most families differ

std::size_t draw(std::size_t count, bool among_the_last, Random& random) {
  const std::size_t range = among_the_last ? std::min(count, kLastAdditions) : count;
  return count - 1 - static_cast<std::size_t>(random.below(range));
}

}  // namespace

std::optional<std::size_t> recognize(BlackBox& box, const Reader& reader, Random& random) {
  struct Suspect {
    std::size_t family;
    std::vector<Triple> triples;
  };
  std::vector<Suspect> suspects;
  std::vector<std::vector<Triple>> seen;
  for (std::size_t i = 0; i < families().size(); ++i) {
    std::vector<Triple> triples = certificate(families()[i].tree(box.hidden_size()));
    suspects.push_back({i, std::move(triples)});
  }
  // Each stage asks more rows of those that are left.
  for (const std::size_t rows : {4u, 12u, 48u, 192u}) {
    std::vector<Triple> asked;
    std::vector<std::size_t> counts;
    for (const Suspect& suspect : suspects) {
      const std::size_t count = std::min(rows, suspect.triples.size());
      for (std::size_t i = 0; i < count; ++i) {
        const bool all = count == suspect.triples.size();
        asked.push_back(suspect.triples[all ? i : draw(suspect.triples.size(), i % 2 == 0, random)]);
      }
      counts.push_back(count);
    }
    const std::vector<Reading> readings = reader.ask(box, asked, random);
    std::vector<Suspect> left;
    std::size_t next = 0;
    for (std::size_t i = 0; i < suspects.size(); ++i) {
      const auto begin = readings.begin() + static_cast<std::ptrdiff_t>(next);
      next += counts[i];
      if (std::all_of(begin, begin + static_cast<std::ptrdiff_t>(counts[i]),
                      [](Reading reading) { return reading == Reading::survived; }))
        left.push_back(std::move(suspects[i]));
    }
    suspects = std::move(left);
    // Families that are the same tree at this size need not be asked twice.
    std::vector<Suspect> different;
    for (Suspect& suspect : suspects) {
      const bool known = std::ranges::any_of(different, [&](const Suspect& other) {
        return std::ranges::equal(other.triples, suspect.triples, [](const Triple& a, const Triple& b) {
          return a.first == b.first && a.second == b.second && a.big == b.big;
        });
      });
      if (!known) different.push_back(std::move(suspect));
    }
    suspects = std::move(different);
    if (suspects.empty()) return std::nullopt;
  }
  return suspects.front().family;
}

}  // namespace normproof::order
