// Known families, before anything is recovered.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <set>
#include <tuple>
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

struct Suspect {
  std::size_t family;
  std::vector<Triple> triples;
};

// Rows of the first that are none of the second.
std::vector<Triple> difference(const Suspect& first, const Suspect& second) {
  const auto key = [](const Triple& triple) { return std::tuple(triple.first, triple.second, triple.big); };
  std::set<std::tuple<std::int32_t, std::int32_t, std::int32_t>> of_second;
  for (const Triple& triple : second.triples) of_second.insert(key(triple));
  std::vector<Triple> rows;
  std::ranges::copy_if(first.triples, std::back_inserter(rows),
                       [&](const Triple& triple) { return !of_second.contains(key(triple)); });
  return rows;
}

// Whether a sample of the rows survives.
bool holds(BlackBox& box, const Reader& reader, Random& random, const std::vector<Triple>& rows) {
  constexpr std::size_t kSample = 64;
  std::vector<Triple> asked;
  for (std::size_t i = 0; i < std::min(kSample, rows.size()); ++i)
    asked.push_back(rows.size() <= kSample ? rows[i]
                                           : rows[static_cast<std::size_t>(random.below(rows.size()))]);
  return std::ranges::all_of(reader.ask(box, asked, random),
                             [](Reading reading) { return reading == Reading::survived; });
}

// Families may differ in so few additions that no row of a sample is of these: of the last two suspects the
// one goes whose own rows do not hold.
void tell_apart(BlackBox& box, const Reader& reader, Random& random, std::vector<Suspect>& suspects) {
  while (suspects.size() > 1) {
    const Suspect &last = suspects.back(), &other = suspects[suspects.size() - 2];
    const bool last_holds = holds(box, reader, random, difference(last, other));
    if (last_holds && !holds(box, reader, random, difference(other, last)))
      suspects.erase(suspects.end() - 2);
    else
      suspects.pop_back();
  }
}

}  // namespace

std::optional<std::size_t> recognize(BlackBox& box, const Reader& reader, Random& random) {
  std::vector<Suspect> suspects;
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
  tell_apart(box, reader, random, suspects);
  return suspects.front().family;
}

}  // namespace normproof::order
