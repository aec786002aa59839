// How a kernel comes from the mean square to r: rounded once, a quotient of a rounded root, x / rms, or
// something else, such as a hardware approximation.
#pragma once

#include "corpus/random.h"
#include "properties/order/detect.h"

namespace normproof::order {

// Asks rows whose sum of squares no order rounds, drawn so that the candidates' outputs differ: an element's
// product with r lies at a rounding tie of the dtype. Throws NoAnswer.
RootFinding find_root(BlackBox& box, Random& random);

}  // namespace normproof::order
