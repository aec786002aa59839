// HTML pages that load nothing: the frame that all pages share, its style, and
// the pieces that they are made of.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace normproof::html {

// printable() text as it may stand in HTML or XML, in an attribute too.
std::string escaped(std::string_view text);

// JSON as it may stand inside a <script> element.
std::string inside_script(std::string json);

// A whole page. `title` is text; `style`, added to the shared one, and `body` are HTML.
std::string page(std::string_view title, std::string_view style, std::string_view body);

// A number with its label, side by side with others. Text.
struct Figure {
  std::string value;
  std::string label;
  bool bad = false;
};
std::string figures(std::span<const Figure> figures);

// Rows of cells that are HTML; the first row, which must be there, is the header, with a word in each cell.
// Cells that are a plain number are set right.
std::string table(std::span<const std::vector<std::string>> rows);

// A command to copy. Text.
std::string command(std::string_view text);
// Text as it is, in a frame.
std::string preformatted(std::string_view text);
// What a click on `summary`, text, shows.
std::string details(std::string_view summary, std::string_view html);
// A coloured word. Text.
std::string badge(std::string_view text, bool good);

}  // namespace normproof::html
