// Pages are well-formed whatever the text in them, and plots show what they are given.
#include <gtest/gtest.h>

#include <algorithm>

#include "properties/report/html.h"
#include "properties/report/svg.h"

namespace normproof {
namespace {

std::int64_t count_of(const std::string& text, std::string_view what) {
  std::int64_t count = 0;
  for (std::size_t position = text.find(what); position != std::string::npos;
       position = text.find(what, position + 1))
    ++count;
  return count;
}

TEST(HtmlTest, TextIsEscaped) {
  EXPECT_EQ(html::escaped("a<b>&\"'\n\x01z"), "a&lt;b&gt;&amp;&quot;&#39;\n\\x01z");
  const std::string hostile = "</pre><script>alert(1)</script>";
  const std::vector<std::vector<std::string>> rows = {{"head"}, {html::escaped(hostile)}};
  const std::vector<html::Figure> figures = {{hostile, hostile, true}};
  const std::string body = html::preformatted(hostile) + html::details(hostile, "") +
                           html::badge(hostile, false) + html::table(rows) + html::figures(figures);
  EXPECT_EQ(count_of(html::page(hostile, "", body), "<script"), 1);  // its own
  EXPECT_EQ(count_of(html::page(hostile, "", body), "alert(1)&lt;/script"), 7);
}

TEST(HtmlTest, ScriptsCannotBeLeftByTheirData) {
  EXPECT_EQ(html::inside_script(R"({"a": "</script><b></b>"})"), R"({"a": "<\/script><b><\/b>"})");
}

TEST(HtmlTest, NumbersAreSetRight) {
  const std::vector<std::vector<std::string>> rows = {{"1 head"}, {"17", "text"}};
  const std::string text = html::table(rows);
  EXPECT_EQ(count_of(text, "<td class=\"number\">17</td>"), 1);
  EXPECT_EQ(count_of(text, "<td>text</td>"), 1);
  EXPECT_EQ(count_of(text, "<th scope=\"col\">1 head</th>"), 1);
}

TEST(SvgTest, BarsAreAsLongAsTheirShares) {
  const std::vector<svg::Bar> bars = {{"equal", 0.5, "half"}, {"1 ulp", 0.0, ""}, {"<2>", 1e-9, ""}};
  const std::string text = svg::bars(bars);
  EXPECT_EQ(count_of(text, "width=\"210.0\""), 1);
  EXPECT_EQ(count_of(text, "width=\"0.0\""), 1);
  EXPECT_EQ(count_of(text, "width=\"1.5\""), 1);  // seen though it is next to nothing
  EXPECT_EQ(count_of(text, "&lt;2&gt;"), 1);
}

TEST(SvgTest, MarkedCellsOfAGridAreDrawn) {
  svg::Grid grid;
  grid.rows = 2;
  grid.columns = 3;
  grid.shares = {0, 1, 0, 0.5, 0, 0};
  grid.tooltips = {"", "all <of> it", "", "half", "", ""};
  const std::string text = svg::heat_map(grid);
  EXPECT_EQ(count_of(text, "<title>"), 2);
  EXPECT_EQ(count_of(text, "all &lt;of&gt; it"), 1);
  EXPECT_EQ(count_of(text, "fill=\"#b31a1e\""), 2);    // of the full cell, and of the legend
  EXPECT_EQ(count_of(text, "fill=\"#ffffff\"/>"), 1);  // readable on any page
}

TEST(SvgTest, LogarithmicPlotsLeaveZerosOut) {
  const std::vector<svg::LinePlot> plots = {
      {"t", "layer", "difference", {{"a", {0.0, 1e-2, 1e-1}}}, true, {}, {}},
      {"u", "layer", "share", {{"b", {0.0, 1.0}}, {"c", {1.0}}}, false, 0.0, 1.0}};
  const std::string text = svg::line_plots(plots);
  EXPECT_EQ(count_of(text, "<circle"), 2 + 3);
  EXPECT_EQ(count_of(text, "1e-2"), 1);
  EXPECT_EQ(count_of(text, "nan"), 0);
  EXPECT_EQ(count_of(text, "inf"), 0);
}

}  // namespace
}  // namespace normproof
