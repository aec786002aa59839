#include "properties/report/html.h"
#include "corpus/message_text.h"

#include <fmt/format.h>

namespace normproof::html {
namespace {

constexpr const char* kStyle = R"css(
:root { --ink: #1c2330; --soft: #667085; --line: #e3e6ec; --paper: #ffffff; --side: #f6f7f9; --miss: #fbe9e7; --missink: #c0392b; }
* { box-sizing: border-box; }
body { margin: 0; padding: 24px 28px 60px; font: 14px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 22px; margin: 0 0 4px; }
p.lead { margin: 0 0 16px; color: var(--soft); max-width: 76em; }
.figures { display: flex; flex-wrap: wrap; gap: 12px; margin: 0 0 18px; }
.figure { background: var(--side); border: 1px solid var(--line); border-radius: 8px; padding: 8px 14px; min-width: 130px; }
.figure b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.figure span { color: var(--soft); font-size: 12px; }
.good { color: #1b7f3b; } .bad { color: #b3261e; font-weight: 600; }
)css";

// What the pages of one run add.
constexpr const char* kPieces = R"css(
h2 { font-size: 17px; margin: 28px 0 8px; overflow-wrap: anywhere; }
h3 { font-size: 14px; margin: 18px 0 6px; }
.badge { display: inline-block; border-radius: 999px; padding: 1px 10px; font-size: 12px; font-weight: 600; vertical-align: middle; }
.badge.yes { background: #e3f3e6; color: #1b7f3b; } .badge.no { background: var(--miss); color: #b3261e; }
pre { background: var(--side); border: 1px solid var(--line); border-radius: 6px; padding: 8px 10px; overflow: auto; max-height: 420px; font: 12px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; margin: 4px 0 12px; white-space: pre; }
code { font: 12px ui-monospace, "DejaVu Sans Mono", monospace; }
table.rows { border-collapse: collapse; font-size: 13px; margin: 4px 0 14px; }
table.rows th, table.rows td { border-bottom: 1px solid var(--line); padding: 3px 14px 3px 0; text-align: left; vertical-align: top; }
table.rows th { color: var(--soft); font-weight: 500; font-size: 12px; }
table.rows td.number { text-align: right; font-variant-numeric: tabular-nums; }
details { margin: 4px 0; } details summary { cursor: pointer; }
svg { max-width: 100%; height: auto; display: block; margin: 4px 0 10px; }
.wide { overflow-x: auto; }
)css";

}  // namespace

std::string escaped(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (const char character : printable(text)) {
    switch (character) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        result += character;
    }
  }
  return result;
}

std::string inside_script(std::string json) {
  for (std::size_t position = 0; (position = json.find("</", position)) != std::string::npos; position += 3)
    json.insert(position + 1, "\\");
  return json;
}

std::string page(std::string_view title, std::string_view style, std::string_view body) {
  std::string text =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  text += fmt::format("<title>{}</title>\n<style>{}{}</style>\n</head>\n<body>\n", escaped(title), kStyle,
                      style.empty() ? std::string_view(kPieces) : style);
  return text.append(body).append("</body>\n</html>\n");
}

std::string figures(std::span<const Figure> figures) {
  std::string text = "<div class=\"figures\">";
  for (const Figure& figure : figures) {
    text += fmt::format("<div class=\"figure{}\"><b>{}</b><span>{}</span></div>", figure.bad ? " bad" : "",
                        escaped(figure.value), escaped(figure.label));
  }
  return text + "</div>\n";
}

std::string table(std::span<const std::vector<std::string>> rows) {
  std::string text = "<div class=\"wide\"><table class=\"rows\">\n";
  for (std::size_t row = 0; row < rows.size(); ++row) {
    text += "<tr>";
    for (const std::string& cell : rows[row]) {
      if (row == 0) {
        text += fmt::format("<th>{}</th>", cell);
      } else {
        const bool number = !cell.empty() && cell.find_first_not_of("0123456789.+-e %") == std::string::npos;
        text += fmt::format("<td{}>{}</td>", number ? " class=\"number\"" : "", cell);
      }
    }
    text += "</tr>\n";
  }
  return text + "</table></div>\n";
}

std::string preformatted(std::string_view text) { return fmt::format("<pre>{}</pre>\n", escaped(text)); }

std::string details(std::string_view summary, std::string_view html) {
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", escaped(summary), html);
}

std::string badge(std::string_view text, bool good) {
  return fmt::format("<span class=\"badge {}\">{}</span>", good ? "yes" : "no", escaped(text));
}

}  // namespace normproof::html
