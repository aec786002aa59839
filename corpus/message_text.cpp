// Text from outside made fit for a message.
#include "corpus/message_text.h"

#include <algorithm>
#include <cstdint>

namespace normproof {
namespace {

constexpr std::size_t kMaximumShown = 80;
constexpr std::size_t kShownAtEnd = 20;

void append_byte(std::string& result, char c) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  result += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
}

void append_bytes(std::string& result, std::string_view bytes) {
  for (const char c : bytes) append_byte(result, c);
}

void append_escaped(std::string& result, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (byte >= 0x20 && byte < 0x7f) {
      result += c;
    } else {
      append_byte(result, c);
    }
  }
}

struct Character {
  std::size_t bytes = 0;  // 0: no UTF-8
  std::uint32_t code_point = 0;
  bool is_incomplete = false;  // more bytes may make it one
};

// The first character of a text that is not empty.
Character first_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xc2 ? 0
                             : lead < 0xe0 ? 2
                             : lead < 0xf0 ? 3
                             : lead < 0xf5 ? 4
                                           : 0;
  if (length == 0) return {};
  std::uint32_t code_point = length == 1 ? lead : lead & (0x7fu >> length);
  for (std::size_t k = 1; k < length; ++k) {
    if (k == text.size()) return {0, 0, true};
    const auto byte = static_cast<unsigned char>(text[k]);
    if ((byte & 0xc0) != 0x80) return {};
    code_point = code_point << 6 | (byte & 0x3f);
  }
  if ((length == 3 && code_point < 0x800) || (length == 4 && code_point < 0x10000)) return {};
  if ((code_point >= 0xd800 && code_point < 0xe000) || code_point > 0x10ffff) return {};
  return {length, code_point, false};
}

// Whether a character is seen and nothing else: no control, no change of a line's direction, no line's end
// but the usual one, no byte order mark, and a character at all.
bool is_seen(std::uint32_t code_point) {
  if (code_point < 0x20) return code_point == '\n' || code_point == '\t';
  const auto is_within = [code_point](std::uint32_t first, std::uint32_t last) {
    return code_point >= first && code_point <= last;
  };
  return !is_within(0x7f, 0x9f) && !is_within(0x200b, 0x200f) && !is_within(0x2028, 0x202e) &&
         !is_within(0x2060, 0x206f) && code_point != 0x61c && code_point != 0xfeff &&
         !is_within(0xfff0, 0xfffb) && (code_point & 0xfffe) != 0xfffe && !is_within(0xfdd0, 0xfdef) &&
         !is_within(0xe0000, 0xe0fff);
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
  while (!text.empty()) {
    const Character character = first_character(text);
    if (character.bytes == 0) return false;
    text.remove_prefix(character.bytes);
  }
  return true;
}

std::string printable(std::string_view text) {
  PrintableStream stream;
  std::string result = stream.take(text);
  return result + stream.finish();
}

std::string printable_line(std::string_view text) {
  std::string result;
  for (const char c : printable(text)) {
    if (c == '\n' || c == '\t') {
      result += c == '\n' ? "\\n" : "\\t";
    } else {
      result += c;
    }
  }
  return result;
}

std::string printable(std::string_view text, std::size_t most_bytes) {
  constexpr std::string_view kCut = "...";
  std::string result = printable(text);
  if (result.size() <= most_bytes) return result;
  std::size_t end = most_bytes - std::min(most_bytes, kCut.size());
  while (end > 0 && (static_cast<unsigned char>(result[end]) & 0xc0) == 0x80) --end;
  return result.substr(0, end).append(kCut);
}

std::string PrintableStream::take(std::string_view piece) {
  rest_ += piece;
  std::string result;
  std::string_view text = rest_;
  while (!text.empty()) {
    const Character character = first_character(text);
    if (character.is_incomplete) break;
    if (character.bytes > 0 && is_seen(character.code_point)) {
      result += text.substr(0, character.bytes);
    } else {
      append_bytes(result, text.substr(0, std::max<std::size_t>(character.bytes, 1)));
    }
    text.remove_prefix(std::max<std::size_t>(character.bytes, 1));
  }
  rest_ = std::string(text);
  return result;
}

std::string PrintableStream::finish() {
  std::string result;
  append_bytes(result, rest_);
  rest_.clear();
  return result;
}

}  // namespace normproof
