#include "cli/order_document.h"

#include <fmt/format.h>

#include "cli/kind_json.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "oracle/order_file.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;

// The place of a tree in the JSON document, which has its arrays on one line.
std::string placeholder(std::size_t index) { return fmt::format("tree {}", index); }

Json json_of(const OrderEntry& entry, std::size_t index) {
  const order::Finding& finding = entry.finding;
  Json json = json_of(entry.shape.kind());
  add_scale_ub(entry.shape.scale_ub_bits, json);
  json["hidden_size"] = entry.shape.hidden_size;
  json["rows"] = entry.shape.rows;
  json["offset"] = entry.shape.offset;
  json["kind"] = order::code_of(finding.kind);
  json["reason"] = finding.reason;
  json["certified"] = finding.certified();
  if (finding.tree) {
    json["family"] = finding.family;
    json["depth"] = finding.tree->depth();
    json["fma_known"] = finding.fma_known;
    json["root"] = {{"code", order::code_of(finding.root.root)},
                    {"formula", order::name_of(finding.root.root)},
                    {"mean", finding.root.mean}};
    if (finding.root.farthest_ulp >= 0) json["root"]["farthest_ulp"] = finding.root.farthest_ulp;
    json["certificate_rows"] = finding.certificate_rows;
  }
  json["rows_asked"] = finding.rows;
  json["calls"] = finding.calls;
  json["seconds"] = finding.seconds;
  if (finding.tree) json["tree"] = placeholder(index);
  return json;
}

}  // namespace

Json list_of(const std::vector<OrderEntry>& entries) {
  Json list = Json::array();
  for (std::size_t i = 0; i < entries.size(); ++i) list.push_back(json_of(entries[i], i));
  return list;
}

std::string with_trees(std::string text, const std::vector<OrderEntry>& entries) {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (!entries[i].finding.tree) continue;
    const std::string place = fmt::format("\"tree\": \"{}\"", placeholder(i));
    text.replace(text.find(place), place.size(), "\"tree\": " + oracle::to_json(*entries[i].finding.tree));
  }
  return text;
}

std::string order_document(const std::string& target, std::uint64_t seed,
                           const std::vector<OrderEntry>& entries) {
  const std::string text = json_text({{"normproof_order", 1},
                                      {"target", target},
                                      {"version", NORMPROOF_VERSION},
                                      {"seed", seed},
                                      {"orders", list_of(entries)}},
                                     2) +
                           "\n";
  return with_trees(text, entries);
}

}  // namespace normproof
