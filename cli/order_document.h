// What `normproof order` found, as the JSON document that --order reads (oracle/order_file.h).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "properties/order/detect.h"
#include "properties/order/target_box.h"

namespace normproof {

// What was found for one shape of call.
struct OrderEntry {
  order::CallShape shape;
  order::Finding finding;
};

// The entries as JSON, with placeholders for trees, which with_trees() fills in the document's text: a tree
// stands on one line.
nlohmann::ordered_json list_of(const std::vector<OrderEntry>& entries);
std::string with_trees(std::string text, const std::vector<OrderEntry>& entries);

std::string order_document(const std::string& target, std::uint64_t seed,
                           const std::vector<OrderEntry>& entries);

}  // namespace normproof
