#include "properties/report/html.h"
#include "corpus/message_text.h"

#include <fmt/format.h>

namespace normproof::html {
namespace {

// Each text has a contrast of at least 4.5 to 1 to what it stands on; a test computes it. Nothing is said by
// colour alone.
constexpr const char* kStyle = R"css(
:root { color-scheme: light dark; --ink: #1c2330; --soft: #596273; --line: #d5dae2; --paper: #ffffff; --side: #f6f7f9; --miss: #fbe9e7; --missink: #a32a20; --good: #176b32; --bad: #a8241c; --goodside: #e3f3e6; --badside: #fbe9e7; --link: #0b57d0; }
@media (prefers-color-scheme: dark) {
:root { --ink: #e6e9ef; --soft: #a9b2c1; --line: #364050; --paper: #12161d; --side: #1b212b; --miss: #4a1c1a; --missink: #ffb4ab; --good: #7fdc9b; --bad: #ff9d94; --goodside: #14321f; --badside: #4a1c1a; --link: #8ab4f8; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 24px 28px 60px; font: 14px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: var(--ink); background: var(--paper); overflow-wrap: anywhere; }
a { color: var(--link); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
h1 { font-size: 22px; margin: 0 0 4px; }
p.lead { margin: 0 0 16px; color: var(--soft); max-width: 76em; }
.figures { display: flex; flex-wrap: wrap; gap: 12px; margin: 0 0 18px; }
.figure { background: var(--side); border: 1px solid var(--line); border-radius: 8px; padding: 8px 14px; min-width: 130px; }
.figure b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.figure span { color: var(--soft); font-size: 12px; }
.figure.bad { border-color: var(--bad); } .figure.bad b::after { content: " \2717"; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
@media (max-width: 480px) {
body { padding: 12px 12px 40px; } h1 { font-size: 18px; } .figures { gap: 8px; } .figure { min-width: calc(50% - 4px); padding: 6px 10px; }
}
@media print {
:root { color-scheme: light; --ink: #000000; --soft: #444444; --line: #999999; --paper: #ffffff; --side: #ffffff; --miss: #ffffff; --missink: #8a1c14; --good: #0b4d20; --bad: #8a1c14; --goodside: #ffffff; --badside: #ffffff; --link: #000000; }
body { padding: 0; } button, nav { display: none; } h2, h3 { break-after: avoid; } svg, tr { break-inside: avoid; } details::details-content { content-visibility: visible; }
}
)css";

// What the pages of one run add.
constexpr const char* kPieces = R"css(
h2 { font-size: 17px; margin: 28px 0 8px; overflow-wrap: anywhere; }
h3 { font-size: 14px; margin: 18px 0 6px; }
p.diagnosis { font-size: 16px; font-weight: 600; margin: 4px 0 14px; max-width: 60em; }
.badge { display: inline-block; border-radius: 999px; padding: 1px 10px; font-size: 12px; font-weight: 600; vertical-align: middle; }
.badge.yes { background: var(--goodside); color: var(--good); } .badge.no { background: var(--badside); color: var(--bad); }
pre { background: var(--side); border: 1px solid var(--line); border-radius: 6px; padding: 8px 10px; overflow: auto; max-height: 420px; font: 12px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; margin: 4px 0 12px; white-space: pre; }
code { font: 12px ui-monospace, "DejaVu Sans Mono", monospace; }
button.copy { font: inherit; font-size: 11px; color: var(--ink); background: var(--side); border: 1px solid var(--line); border-radius: 6px; padding: 1px 8px; margin: 2px 0 2px 6px; cursor: pointer; }
nav ul { margin: 0 0 14px; padding-left: 20px; }
table.rows { border-collapse: collapse; font-size: 13px; margin: 4px 0 14px; overflow-wrap: normal; }
table.rows th, table.rows td { border-bottom: 1px solid var(--line); padding: 3px 14px 3px 0; text-align: left; vertical-align: top; }
table.rows th { color: var(--soft); font-weight: 500; font-size: 12px; }
table.rows td.number { text-align: right; font-variant-numeric: tabular-nums; }
details { margin: 4px 0; } details summary { cursor: pointer; }
svg { max-width: 100%; height: auto; display: block; margin: 4px 0 10px; }
.wide { overflow-x: auto; }
h2 + p.diagnosis::first-letter { text-transform: uppercase; }
@media (max-width: 480px) { table.rows { width: max-content; max-width: 56em; } }
@media print { pre { max-height: none; white-space: pre-wrap; } .wide { overflow: visible; } }
)css";

// Without it the page lacks the buttons, and nothing else.
constexpr const char* kCopyButtons = R"html(<script>
"use strict";
for (const code of document.querySelectorAll("pre, code.command")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "copy";
  button.setAttribute("aria-label", "copy " + code.textContent.slice(0, 60));
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "selected";
    }
  });
  code.tagName === "PRE" ? code.before(button) : code.after(button);
}
</script>
)html";

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
  text.append("<main>\n").append(body).append("</main>\n");
  return text.append(style.empty() ? kCopyButtons : "").append("</body>\n</html>\n");
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
  // What is wider than the screen is scrolled, by keys too.
  std::string text = "<div class=\"wide\" tabindex=\"0\"><table class=\"rows\">\n<thead><tr>";
  for (const std::string& cell : rows.front()) text += fmt::format("<th scope=\"col\">{}</th>", cell);
  text += "</tr></thead>\n<tbody>\n";
  for (const std::vector<std::string>& row : rows.subspan(1)) {
    text += "<tr>";
    for (const std::string& cell : row) {
      const bool number = !cell.empty() && cell.find_first_not_of("0123456789.+-e %") == std::string::npos;
      text += fmt::format("<td{}>{}</td>", number ? " class=\"number\"" : "", cell);
    }
    text += "</tr>\n";
  }
  return text + "</tbody>\n</table></div>\n";
}

std::string preformatted(std::string_view text) {
  return fmt::format("<pre tabindex=\"0\">{}</pre>\n", escaped(text));
}

std::string command(std::string_view text) {
  return fmt::format("<code class=\"command\">{}</code>", escaped(text));
}

std::string details(std::string_view summary, std::string_view html) {
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", escaped(summary), html);
}

std::string badge(std::string_view text, bool good) {
  return fmt::format("<span class=\"badge {}\">{}</span>", good ? "yes" : "no", escaped(text));
}

}  // namespace normproof::html
