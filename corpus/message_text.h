// Text from outside made fit for a message: short, and printable whatever its bytes.
#pragma once

#include <string>
#include <string_view>

namespace normproof {

// At most about 80 characters: the middle of longer text is left out; all but printable ASCII is escaped.
std::string shortened(std::string_view text);

// shortened() between quotation marks.
std::string in_quotes(std::string_view text);

// Whether `text` is well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace normproof
