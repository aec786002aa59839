// Text of any bytes as a word of another language, so that it says the same there and nothing else.
#pragma once

#include <string>
#include <string_view>

namespace normproof {

// One argument as a POSIX shell reads it back, on one line of printable characters: plain, in '...', or in
// $'...' where it has control characters or bytes that are not UTF-8.
std::string shell_quoted(std::string_view argument);
// The same for a file, of which no program thinks that it is an option.
std::string shell_quoted_file(std::string_view file);

// A Python literal that is printable(text), on one line of ASCII.
std::string python_quoted(std::string_view text);

// A code span and a code block of Markdown that end where the text ends.
std::string markdown_code(std::string_view text);
std::string markdown_block(std::string_view text, std::string_view language = "");

}  // namespace normproof
