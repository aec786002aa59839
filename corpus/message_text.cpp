// Text from outside made fit for a message.
#include "corpus/message_text.h"

#include <cstdint>

namespace normproof {
namespace {

constexpr std::size_t kMaximumShown = 80;
constexpr std::size_t kShownAtEnd = 20;

void append_escaped(std::string& result, std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (byte >= 0x20 && byte < 0x7f) {
      result += c;
    } else {
      result += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
}

}  // namespace

std::string shortened(std::string_view text) {
  std::string result;
  if (text.size() <= kMaximumShown) {
    append_escaped(result, text);
  } else {
    append_escaped(result, text.substr(0, kMaximumShown - kShownAtEnd));
    result += "...";
    append_escaped(result, text.substr(text.size() - kShownAtEnd));
  }
  return result;
}

std::string in_quotes(std::string_view text) { return '"' + shortened(text) + '"'; }

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80   ? 1
                               : lead < 0xc2 ? 0
                               : lead < 0xe0 ? 2
                               : lead < 0xf0 ? 3
                               : lead < 0xf5 ? 4
                                             : 0;
    if (length == 0 || length > text.size() - i) return false;
    std::uint32_t code_point = length == 1 ? lead : lead & (0x7fu >> length);
    for (std::size_t k = 1; k < length; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + k]);
      if ((byte & 0xc0) != 0x80) return false;
      code_point = code_point << 6 | (byte & 0x3f);
    }
    if ((length == 3 && code_point < 0x800) || (length == 4 && code_point < 0x10000)) return false;
    if ((code_point >= 0xd800 && code_point < 0xe000) || code_point > 0x10ffff) return false;
    i += length;
  }
  return true;
}

}  // namespace normproof
