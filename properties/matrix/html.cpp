// The matrix as one HTML page that loads nothing: the heat map, and for each mutant its patch and its repro.
#include <string>

#include "properties/matrix/matrix.h"
#include "properties/report/html.h"

namespace normproof::matrix {
namespace {

constexpr const char* kStyle = R"html(
.bar { display: flex; gap: 16px; align-items: center; flex-wrap: wrap; margin-bottom: 8px; color: var(--soft); font-size: 12px; }
.bar input { font: inherit; font-size: 13px; padding: 4px 8px; border: 1px solid var(--line); border-radius: 6px; width: 18em; }
.key { display: inline-flex; align-items: center; gap: 5px; }
.swatch { width: 13px; height: 13px; border-radius: 3px; display: inline-block; border: 1px solid rgba(0,0,0,.08); }
.scroll { overflow-x: auto; }
table.map { border-collapse: separate; border-spacing: 1px; }
table.map th.column { height: 152px; vertical-align: bottom; padding: 0; font-weight: 500; font-size: 12px; position: sticky; top: 0; background: var(--paper); z-index: 2; }
table.map th.column div { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; padding: 4px 3px; width: 23px; }
table.map th.group { font-size: 11px; color: var(--soft); font-weight: 600; text-align: center; border-bottom: 2px solid var(--line); letter-spacing: .03em; padding: 0 4px; }
table.map td.name { position: sticky; left: 0; background: var(--paper); padding: 0 10px 0 0; white-space: nowrap; font-size: 12px; cursor: pointer; z-index: 1; }
table.map td.name:hover { text-decoration: underline; }
table.map td.cell { width: 23px; min-width: 23px; height: 17px; border-radius: 2px; text-align: center; font-size: 10px; line-height: 17px; cursor: pointer; color: #fff; }
table.map td.miss { background: var(--miss); color: var(--missink); }
table.map td.none { background: var(--side); color: var(--soft); }
table.map td.clean { background: var(--goodside); color: var(--good); }
table.map td.gap, table.map th.gap { width: 8px; min-width: 8px; }
table.map tr.total td { font-size: 10px; color: var(--soft); text-align: center; padding-top: 3px; font-variant-numeric: tabular-nums; }
table.map tr.open td.name { font-weight: 700; }
table.map td.detail { padding: 12px 0 18px; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: 14px 18px; background: var(--side); max-width: 1120px; position: sticky; left: 0; }
.card h2 { font-size: 16px; margin: 0 0 6px; }
.card dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; margin: 0 0 10px; }
.card dt { color: var(--soft); }
.card dd { margin: 0; }
.card pre { background: var(--paper); border: 1px solid var(--line); border-radius: 6px; padding: 8px 10px; overflow: auto; max-height: 360px; font: 12px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; margin: 4px 0 12px; white-space: pre; }
.add { color: var(--good); } .del { color: var(--bad); }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 16px; }
table.list { border-collapse: collapse; font-size: 12px; }
table.list td, table.list th { padding: 1px 12px 1px 0; text-align: left; vertical-align: top; }
table.list td.number { text-align: right; font-variant-numeric: tabular-nums; }
details.sources { margin-top: 26px; } details.sources summary { cursor: pointer; font-weight: 600; }
)html";

constexpr const char* kHead = R"html(<h1>Which check sees which bug</h1>
<p class="lead">Each row is the production kernels with one real bug planted in one path, or kernels as they are, where nothing should fail. Each column is a check.
A colored cell: the check fails, as it should; the darker, the fewer calls it took. A pale red cell: the check passes, and the bug would have shipped. A strong red cell: the check fails where nobody planted a bug.
Click a row for the bug, its patch and its smallest repro.</p>
<div class="figures" id="figures"></div>
<div class="bar"><input id="filter" placeholder="filter, for instance B1- or fp8" aria-label="filter">
<span class="key">calls to the kill:</span><span id="scale"></span>
<span class="key"><span class="swatch" style="background:var(--miss)"></span>survives</span>
<span class="key"><b>!</b> crashes</span></div>
<div class="scroll"><table class="map" id="map"></table></div>
<details class="sources"><summary>The checks and where they come from</summary><table class="list" id="sources"></table></details>
<script id="data" type="application/json">)html";

constexpr const char* kTail = R"html(</script>
<script>
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const groups = { verify: "", ours: "parts of it alone", witness: "outputs alone", fuzzer: "fuzzer", theirs: "tolerance tests of other projects" };
const element = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) name in node ? node[name] = value : node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const kills = cell => ["killed", "crashed", "hung"].includes(cell.outcome);
const stops = [[8, 48, 107], [33, 113, 181], [66, 146, 198], [107, 174, 214], [158, 202, 225]];
const color = executions => {
  const place = Math.min(1, Math.log10(Math.max(1, executions)) / 4.5) * (stops.length - 1);
  const low = Math.min(stops.length - 2, Math.floor(place)), part = place - low;
  return "rgb(" + stops[low].map((from, i) => Math.round(from + (stops[low + 1][i] - from) * part)).join(",") + ")";
};
// Marks are dark on what is pale.
const ground = executions => "background:" + color(executions) + (executions > 40 ? ";color:#08192c" : "");
const percent = (part, whole) => whole ? Math.round(100 * part / whole) + " %" : "";
const s = data.summary;
const share = killed => killed === null ? "not run" : killed + " (" + percent(killed, s.mutants) + ")";
const plugin = data.rows.find(row => row.target !== "host" && !row.target.startsWith("mutant:"));
const ofPlugin = plugin ? [
  [s.failing_on_target.length, "checks fail on the plug-in", s.failing_on_target.length > 0],
  [s.failing_of_theirs_on_target.length, "tolerance tests fail on it"]] : [];
const ofMutants = s.mutants === 0 ? [] : [
  [s.mutants, "mutants"],
  [share(s.killed_by_verify), "seen by verify", s.killed_by_verify !== null && s.killed_by_verify < s.mutants],
  [share(s.killed_by_corpus), "seen by the corpus alone"],
  [share(s.killed_by_all_tolerance_tests), "seen by any tolerance test"],
  [s.slowest_verify_seconds === null ? "not run" : s.slowest_verify_seconds.toFixed(2) + " s", "slowest kill by verify"],
  [s.repros_confirmed + " / " + (s.repros_confirmed + s.repros_refuted), "repros confirmed", s.repros_refuted > 0]];
for (const [value, label, bad] of [...ofPlugin, ...ofMutants, [s.false_alarms === null ? "not run" : s.false_alarms, "false alarms", s.false_alarms > 0]])
  document.getElementById("figures").append(element("div", { className: "figure" + (bad ? " bad" : "") }, element("b", {}, String(value)), element("span", {}, label)));
for (const executions of [1, 10, 100, 1000, 10000]) {
  const key = element("span", { className: "key" }, element("span", { className: "swatch", style: "background:" + color(executions) }), executions.toLocaleString("en"), "\u00a0");
  document.getElementById("scale").append(key);
}
const map = document.getElementById("map");
const columns = [];
data.checks.forEach((check, i) => { if (i && check.group !== data.checks[i - 1].group) columns.push(null); columns.push(check); });
const groupRow = element("tr", {}, element("th"));
for (let i = 0; i < columns.length;) {
  if (!columns[i]) { groupRow.append(element("th", { className: "gap" })); ++i; continue; }
  let span = 1;
  while (columns[i + span] && columns[i + span].group === columns[i].group) ++span;
  groupRow.append(element("th", { className: "group", colSpan: span }, span > 2 ? groups[columns[i].group] : ""));
  i += span;
}
const header = element("tr", {}, element("th", { className: "column" }));
for (const check of columns)
  header.append(check ? element("th", { className: "column", title: check.sentence }, element("div", {}, check.name)) : element("th", { className: "gap" }));
map.append(element("thead", {}, groupRow, header));
const body = element("tbody");
map.append(body);
const detail = row => {
  const card = element("div", { className: "card" }, element("h2", {}, row.name));
  const facts = element("dl");
  for (const [name, label] of [["bug", "Bug"], ["report", "Report"], ["path", "Path"], ["smallest", "Smallest"]])
    if (row[name]) facts.append(element("dt", {}, label), element("dd", {}, row[name]));
  const repro = row.repro;
  if (repro) {
    const good = repro.violates_on_mutant && repro.conforms_on_production;
    facts.append(element("dt", {}, "Repro"), element("dd", { className: good ? "good" : "bad" },
      { case: "one case", call: "one call", "second call": "the second of two calls", property: "property " + repro.property, none: "none" }[repro.kind] + ": " +
      (repro.violates_on_mutant ? "violates" : "does not violate") + " on the mutant, " +
      (repro.conforms_on_production ? "conforms" : "does not conform") + " on the production kernels"));
  }
  card.append(facts);
  const left = element("div"), right = element("div");
  if (row.patch) {
    const patch = element("pre");
    for (const line of row.patch.slice(row.patch.indexOf("--- a/")).split("\n"))
      patch.append(element("span", { className: line.startsWith("+") ? "add" : line.startsWith("-") ? "del" : "" }, line + "\n"));
    left.append(element("b", {}, "Patch"), patch);
  }
  if (repro && repro.cases.length) {
    left.append(element("b", {}, repro.cases.length > 1 ? "Smallest repro: these calls in turn" : "Smallest repro"));
    for (const text of repro.cases) left.append(element("pre", {}, text.length > 6000 ? text.slice(0, 6000) + "\n... (" + text.length + " characters)" : text));
  }
  const list = element("table", { className: "list" }, element("tr", {}, ...["check", "", "calls", "seconds"].map(text => element("th", {}, text))));
  for (const check of data.checks) {
    const cell = row.cells[check.name];
    if (!cell) continue;
    list.append(element("tr", { title: cell.message }, element("td", {}, check.name), element("td", { className: kills(cell) ? "good" : "" }, cell.outcome),
      element("td", { className: "number" }, cell.executions.toLocaleString("en")), element("td", { className: "number" }, cell.seconds.toFixed(3))));
  }
  right.append(element("b", {}, "Checks"), list);
  const verify = row.cells.verify;
  if (verify && verify.message) left.append(element("b", {}, "What verify says"), element("pre", {}, verify.message));
  card.append(element("div", { className: "two" }, left, right));
  return card;
};
for (const row of data.rows) {
  const planted = row.target.startsWith("mutant:");
  const name = element("td", { className: "name", title: row.bug }, row.name);
  const line = element("tr", {}, name);
  line.dataset.text = (row.name + " " + row.bug + " " + row.path).toLowerCase();
  for (const check of columns) {
    if (!check) { line.append(element("td", { className: "gap" })); continue; }
    const cell = row.cells[check.name];
    if (!cell || cell.outcome.startsWith("not ")) { line.append(element("td", { className: "cell none", title: cell ? cell.message : "" }, cell && cell.outcome === "not taken" ? "-" : "?")); continue; }
    const text = check.name + ": " + cell.outcome + ", " + cell.executions.toLocaleString("en") + " calls, " + cell.seconds.toFixed(3) + " s\n" + cell.message.slice(0, 400);
    if (kills(cell)) line.append(element("td", { className: "cell", style: planted ? ground(cell.executions) : "background:#b3261e", title: text }, cell.outcome === "killed" ? "" : cell.outcome === "crashed" ? "!" : "~"));
    else line.append(element("td", { className: "cell " + (planted ? "miss" : "clean"), title: text }, planted ? "\u00b7" : "\u2713"));
  }
  let opened = null;
  line.addEventListener("click", () => {
    if (opened) { opened.remove(); opened = null; line.classList.remove("open"); return; }
    opened = element("tr", {}, element("td", { className: "detail", colSpan: columns.length + 1 }, detail(row)));
    line.after(opened);
    line.classList.add("open");
  });
  line.id = row.name.replaceAll(" ", "-");
  body.append(line);
}
const total = element("tr", { className: "total" }, element("td", { className: "name" }, "seen, of " + s.mutants));
for (const check of columns) total.append(check ? element("td", {}, check.killed === null ? "not run" : String(check.killed)) : element("td", { className: "gap" }));
body.append(total);
document.getElementById("filter").addEventListener("input", event => {
  const wanted = event.target.value.toLowerCase();
  for (const line of body.children) if (line.dataset.text !== undefined) line.hidden = !line.dataset.text.includes(wanted);
});
for (const check of data.checks)
  document.getElementById("sources").append(element("tr", {}, element("td", {}, element("b", {}, check.name)), element("td", {}, check.sentence)));
if (location.hash) { const line = document.getElementById(decodeURIComponent(location.hash.slice(1))); if (line) { line.click(); line.scrollIntoView(); } }
</script>
)html";

}  // namespace

std::string to_html(const Matrix& matrix) {
  return html::page("normproof: which check sees which bug", kStyle,
                    kHead + html::inside_script(to_json_text(matrix)) + kTail);
}

}  // namespace normproof::matrix
