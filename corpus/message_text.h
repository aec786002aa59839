// Text from outside made fit for a message: short, and printable whatever its bytes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace normproof {

// At most about 80 characters: the middle of longer text is left out; all but printable ASCII is escaped.
std::string shortened(std::string_view text);

// shortened() between quotation marks.
std::string in_quotes(std::string_view text);

// Whether `text` is well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

// What a terminal, JSON, XML and HTML can hold of `text`: lines and tabs stay, and so does every other
// character that is seen. Control characters, those that turn the direction of a line, what is no character
// and bytes that are not UTF-8 become \xNN.
std::string printable(std::string_view text);
// The same on one line: a line's end becomes \n, a tab \t.
std::string printable_line(std::string_view text);
// printable(), its end left out where it is longer than that many bytes.
std::string printable(std::string_view text, std::size_t most_bytes);

// printable() of a text that comes in pieces, which may end within a character.
class PrintableStream {
 public:
  std::string take(std::string_view piece);
  // What is left at the end.
  std::string finish();

 private:
  std::string rest_;
};

}  // namespace normproof
