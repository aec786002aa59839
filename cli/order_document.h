// What `normproof order` found, as the JSON document that --order reads (oracle/order_file.h).
#pragma once

#include <cstdint>
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

std::string order_document(const std::string& target, std::uint64_t seed,
                           const std::vector<OrderEntry>& entries);

}  // namespace normproof
