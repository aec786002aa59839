// `verify --order`: orders of summation that are known, or certified first, and cases that meet them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/verify_run.h"
#include "oracle/order_file.h"

namespace normproof {

// Certifies the target's order for each operation and dtype that it takes, prints them, and writes them to
// the folder of the findings. Returns the file; empty where none is certified. Throws TargetError.
std::string certified_orders(const VerifyOptions& options);

// Cases of which `orders` knows the order, values of several classes each, for operations and dtypes that the
// options leave.
std::vector<Case> cases_of_orders(const oracle::Orders& orders, const Target& target,
                                  const VerifyOptions& options);

// The same for the same orders of the same calls, as 16 hexadecimal digits: shards that judged by other
// orders are not parts of one run.
std::string digest_of(const oracle::Orders& orders);

// Which cases were judged by what.
std::string orders_text(const oracle::Orders& orders);

}  // namespace normproof
