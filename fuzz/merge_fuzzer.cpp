// Results of shards become one result that says no better of the run than any of them does.
// 1. The input is the --json results of verify, mutants or fuzz, with a record separator between them.
// 2. They are merged, or refused with a reason.
// 3. Demand of the whole: it is not good, and says of nothing that it conforms, where a shard says otherwise;
//    whichever shard comes first, it is the same; its JSON says the same, and is refused as that of a shard.
// Three quarters of the mutations change results as documents: the most of their
// bytes say nothing by themselves.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/merge.h"
#include "corpus/json.h"
#include "corpus/random.h"

// The engine's own mutations; nothing where there is no engine.
extern "C" __attribute__((weak)) std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size,
                                                              std::size_t most);

namespace {

using namespace normproof;
using Json = nlohmann::ordered_json;

constexpr char kSeparator = '\x1e';
constexpr std::size_t kMostShards = 4;

std::vector<std::string> split(std::string_view input) {
  std::vector<std::string> texts(1);
  for (const char c : input) {
    if (c != kSeparator)
      texts.back() += c;
    else if (texts.size() < kMostShards)
      texts.emplace_back();
  }
  return texts;
}

void require(bool holds, std::string_view what, const std::vector<std::string>& texts, const Merged& merged) {
  if (holds) return;
  fmt::print(stderr, "merge: {}\n", what);
  for (const std::string& text : texts) fmt::print(stderr, "--- a shard:\n{}\n", text);
  fmt::print(stderr, "--- together, exit code {}:\n{}{}", merged.exit_code, merged.text, merged.json);
  std::abort();
}

std::optional<Merged> merged(const std::vector<ResultText>& results) {
  try {
    return merge_results(results);
  } catch (const UsageError& error) {
    if (*error.what() == '\0') std::abort();  // refused without a reason
    return std::nullopt;
  }
}

// Whether a list of the document is not empty, or a number not 0.
bool has_some(const Json& document, const char* key) {
  const auto value = document.find(key);
  if (value == document.end() || value->is_null()) return false;
  return value->is_number() ? *value != 0 : value->is_boolean() ? value->get<bool>() : !value->empty();
}

// Whether a shard says of itself that not all is good.
bool says_otherwise(const Json& shard) {
  for (const char* key :
       {"exit_code", "findings", "unchecked", "problems", "violations_found", "stopped_early"})
    if (has_some(shard, key)) return true;
  if (shard.contains("total") && has_some(shard["total"], "violations")) return true;
  if (shard.contains("summary")) {
    for (const char* key : {"survivors", "failing_on_target", "repros_refuted", "false_alarms", "not_run"})
      if (has_some(shard["summary"], key)) return true;
  }
  const auto checks = shard.find("checks");
  return checks != shard.end() && std::ranges::any_of(*checks, [](const Json& check) {
           return check.contains("passed") && check["passed"] == false;
         });
}

// --- mutations ---

// Down from the whole to a leaf or a place above, every branch as likely as the others: so what a result says
// in a word is as likely as a long list.
Json::json_pointer drawn_place(const Json& document, Random& random) {
  static const std::vector<Json::json_pointer> kClaims = {
      Json::json_pointer("/exit_code"),        Json::json_pointer("/stopped_early"),
      Json::json_pointer("/violations_found"), Json::json_pointer("/total/violations"),
      Json::json_pointer("/checks/0/passed"),  Json::json_pointer("/unchecked"),
      Json::json_pointer("/summary/not_run")};
  // What a shard says of itself, on its own.
  const Json::json_pointer& claim = kClaims[random.below(kClaims.size())];
  if (random.below(2) == 0 && document.contains(claim)) return claim;
  Json::json_pointer place;
  const Json* value = &document;
  while (value->is_structured() && !value->empty() && (place.empty() || random.below(4) != 0)) {
    const auto child = static_cast<std::ptrdiff_t>(random.below(value->size()));
    if (value->is_object()) {
      place.push_back(std::next(value->begin(), child).key());
    } else {
      place.push_back(std::to_string(child));
    }
    value = &document[place];
  }
  return place;
}

void replace_all(Json& value, const Json& before, const Json& after) {
  if (value == before) {
    value = after;
  } else if (value.is_structured()) {
    for (Json& each : value) replace_all(each, before, after);
  }
}

Json drawn_value(Random& random, const Json& before) {
  static const std::vector<Json> kValues = {
      nullptr, true, false,  -1,  0,      1,         2,        3,          1'000'000'000, 1e300,
      1.5,     "",   "host", "x", "bf16", "witness", "scalar", "property", Json::array(), Json::object()};
  if (before.is_number_integer() && random.below(2) == 0) {
    const auto number = before.get<std::int64_t>();
    return number == 0 ? 1 : number / 2 + static_cast<std::int64_t>(random.below(3)) - 1;
  }
  if (before.is_boolean()) return !before.get<bool>();
  return kValues[random.below(kValues.size())];
}

// The same change wherever the results have the place, so that what must be the same in all of them stays so,
// or in one of them.
void change(std::vector<Json>& shards, Random& random) {
  const std::size_t chosen = random.below(shards.size());
  const Json::json_pointer place = drawn_place(shards[chosen], random);
  const Json::json_pointer other = drawn_place(shards[chosen], random);
  const Json before = shards[chosen][place];
  const Json value = random.below(4) == 0 ? Json(shards[chosen][other]) : drawn_value(random, before);
  const std::uint64_t way = random.below(8);
  const bool in_all = random.below(2) == 0;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    if ((!in_all && i != chosen) || place.empty() || !shards[i].contains(place)) continue;
    Json& parent = shards[i][place.parent_pointer()];
    if (way == 0 && parent.is_object()) {
      parent.erase(place.back());
    } else if (way == 0 && parent.is_array()) {
      parent.erase(std::stoul(place.back()));
    } else if (way == 1 && parent.is_array()) {
      parent.push_back(Json(shards[i][place]));
    } else if (way == 2 && before.is_number()) {
      replace_all(shards[i], before, value);  // sums stay right where one part is the whole of them
    } else {
      shards[i][place] = value;
    }
  }
}

std::string joined(const std::vector<Json>& shards) {
  std::string text;
  for (const Json& shard : shards) {
    if (&shard != shards.data()) text += kSeparator;
    text += shard.dump(-1, ' ', true, Json::error_handler_t::replace);
  }
  return text;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                               unsigned seed) {
  Random random(seed);
  std::vector<Json> shards;
  for (const std::string& text : split({reinterpret_cast<const char*>(data), size}))
    shards.push_back(Json::parse(text, nullptr, false));
  const bool are_documents =
      std::ranges::none_of(shards, [](const Json& shard) { return shard.is_discarded(); });
  if (are_documents && random.below(4) != 0) {
    for (std::uint64_t count = 1 + random.below(2); count > 0; --count) change(shards, random);
    const std::string text = joined(shards);
    if (text.size() <= most) {
      std::memcpy(data, text.data(), text.size());
      return text.size();
    }
  }
  return LLVMFuzzerMutate != nullptr ? LLVMFuzzerMutate(data, size, most) : size;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::string> texts = split({reinterpret_cast<const char*>(data), size});
  std::vector<ResultText> results;
  for (const std::string& text : texts) results.push_back({fmt::format("{}.json", results.size() + 1), text});
  const auto whole = merged(results);
  std::ranges::reverse(results);
  const auto backwards = merged(results);
  const Merged none;
  require(whole.has_value() == backwards.has_value(), "refused in one order alone", texts,
          whole.value_or(backwards.value_or(none)));
  if (!whole) return -1;  // not kept: there are so many ways to be refused that the corpus had little else
  require(whole->exit_code == backwards->exit_code && whole->text == backwards->text &&
              whole->json == backwards->json && whole->complaints == backwards->complaints,
          "another result where the shards come in another order", texts, *whole);
  const bool good = whole->exit_code == kAllGood || whole->text.find(" conforms") != std::string::npos;
  for (const std::string& text : texts) {
    require(!good || !says_otherwise(Json::parse(text)), "all good, though a shard says otherwise", texts,
            *whole);
  }
  const Json document = Json::parse(whole->json, nullptr, false);
  require(!document.is_discarded(), "what is no JSON", texts, *whole);
  require(!document.contains("exit_code") || document["exit_code"] == whole->exit_code,
          "another exit code in its JSON", texts, *whole);
  require(!merged({{"merged.json", whole->json}}), "a merged result that passes for a shard's", texts,
          *whole);
  return 0;
}
