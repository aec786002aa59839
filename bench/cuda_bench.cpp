#include "bench/cuda_bench.h"
#include "corpus/json.h"
#include "corpus/json_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <tuple>

namespace normproof::bench {
namespace {

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> fields;
  std::string field;
  std::istringstream stream(line);
  while (std::getline(stream, field, ',')) fields.push_back(field);
  return fields;
}

constexpr std::int64_t kLongRun = 8192;  // tokens

// What the project wants to reach: copy / kernel of long runs of tokens, cold.
std::optional<double> goal(const Row& row) {
  if (row.by_name) return row.goal;
  if (!row.cold || row.tokens < kLongRun) return {};
  if (row.scales_rows()) return row.hidden >= 4096 ? 0.95 : 0.90;
  if (row.hidden >= 4096) return 0.96;
  if (row.hidden == 1024 || row.hidden == 2048) return 0.92;
  if (row.hidden == 128) return 0.95;
  return {};
}

// Over the best peer, for 1 token of H >= 2048.
double decode_gain(const Row& row) { return row.scales_rows() ? 2 : 1.25; }

std::vector<std::string> exceptions(const Measured& measured) {
  std::vector<std::string> found;
  if (const auto wanted = goal(measured.row); wanted && !measured.is_plugin && measured.ratio() < *wanted)
    found.push_back(fmt::format("copy / kernel {:.3f}, the goal is {:.2f}", measured.ratio(), *wanted));
  if (const auto wanted = measured.row.goal_us; wanted && measured.kernel_us > *wanted)
    found.push_back(fmt::format("{:.2f} us, the goal is {:.2f} us", measured.kernel_us, *wanted));
  if (!measured.peer) return found;
  if (measured.ratio() < measured.peer->ratio)
    found.push_back(fmt::format("{} reached {:.3f} ({:.2f} us), here {:.3f} ({:.2f} us)", measured.peer->name,
                                measured.peer->ratio, measured.peer->kernel_us, measured.ratio(),
                                measured.kernel_us));
  if (measured.is_plugin) return found;
  if (measured.peer->prototype_ratio > 0 && measured.ratio() < 0.98 * measured.peer->prototype_ratio)
    found.push_back(fmt::format("the prototype reached {:.3f} ({:.2f} us), here {:.3f} ({:.2f} us)",
                                measured.peer->prototype_ratio, measured.peer->prototype_us, measured.ratio(),
                                measured.kernel_us));
  if (!measured.row.by_name && measured.row.tokens == 1 && measured.row.hidden >= 2048 &&
      measured.ratio() < decode_gain(measured.row) * measured.peer->ratio)
    found.push_back(fmt::format("{:.2f} x the best peer, the goal is {:.2f} x",
                                measured.ratio() / measured.peer->ratio, decode_gain(measured.row)));
  return found;
}

// By how much more than bf16 another dtype may take.
constexpr double kDtypeMargin = 1.03;

// fp16 moves as many bytes as bf16 and should take as long; fp32 moves twice as many and should take the same
// multiple of a copy's time.
double excess_over_bf16(const Measured& measured, const Measured& bf16) {
  return measured.row.dtype == NORMPROOF_FP32 ? bf16.ratio() / measured.ratio()
                                              : measured.kernel_us / bf16.kernel_us;
}

// A dtype's rows and the bf16 rows that they are compared with.
struct Comparison {
  normproof_dtype dtype;
  std::int64_t times_hidden;  // the bf16 row's hidden size, relative to theirs
  const char* measure;        // what of the bf16 row they should not exceed
};
constexpr std::array<Comparison, 3> kComparisons = {{
    {NORMPROOF_FP16, 1, "bf16's time"},
    {NORMPROOF_FP32, 1, "bf16's multiple of the copy"},
    // With few tokens it is a row's bytes that take time, and a copy of one row takes as long as of two.
    {NORMPROOF_FP32, 2, "the multiple of the copy of bf16's row of as many bytes"},
}};

// How the other dtypes compare with bf16, where a report has both: a line for each comparison, and the rows
// that take more.
std::string dtype_comparison(const Report& report, std::string& named) {
  using Key = std::tuple<std::string, std::int64_t, std::int64_t, bool>;
  const auto label = [](const Row& row) { return row.operation + " " + row.details; };
  std::map<Key, const Measured*> bf16;
  for (const Measured& each : report.measured) {
    const Row& row = each.row;
    if (row.dtype == NORMPROOF_BF16 && !each.is_plugin)
      bf16[{label(row), row.hidden, row.tokens, row.cold}] = &each;
  }
  std::string text;
  for (const Comparison& comparison : kComparisons) {
    std::size_t compared = 0, within = 0, long_compared = 0, long_within = 0;
    for (const Measured& each : report.measured) {
      const Row& row = each.row;
      const auto found = bf16.find({label(row), row.hidden * comparison.times_hidden, row.tokens, row.cold});
      if (row.dtype != comparison.dtype || found == bf16.end()) continue;
      const double excess = excess_over_bf16(each, *found->second);
      const bool is_long = row.cold && row.tokens >= kLongRun;
      ++compared, long_compared += is_long;
      if (excess <= kDtypeMargin) {
        ++within, long_within += is_long;
      } else {
        named += fmt::format("EXCEPTION {}: {:.3f} x {}\n", row_name(row), excess, comparison.measure);
      }
    }
    if (compared == 0) continue;
    text += fmt::format(
        "{}: at most {:.2f} x {} in {} of {} rows, of those from {} tokens on, cold, in {} of {}\n",
        dtype_name(comparison.dtype), kDtypeMargin, comparison.measure, within, compared, kLongRun,
        long_within, long_compared);
  }
  return text;
}

}  // namespace

std::string_view dtype_name(normproof_dtype dtype) {
  return dtype == NORMPROOF_FP32 ? "fp32" : dtype == NORMPROOF_FP16 ? "fp16" : "bf16";
}

Operation Row::kind() const {
  const auto found = std::ranges::find(kMeasuredOperations, operation, &MeasuredOperation::name);
  if (found == kMeasuredOperations.end())
    throw std::invalid_argument("no operation is measured as " + operation);
  return found->operation;
}

std::string row_name(const Row& row) {
  return fmt::format("{}{} {} {} x {} {}", row.operation,
                     row.details.empty() ? "" : fmt::format(" ({})", row.details), dtype_name(row.dtype),
                     row.tokens, row.hidden, row.cold ? "cold" : "hot");
}

double positive_number(const std::string& text) {
  std::size_t used = 0;
  const double value = std::stod(text, &used);
  if (used != text.size() || !(value > 0)) throw std::invalid_argument(text);
  return value;
}

std::vector<PeerRow> read_rows(const std::filesystem::path& file, std::span<const std::string_view> own,
                               const std::function<PeerRow(const Fields&)>& read) {
  std::ifstream stream(file);
  if (!stream) throw std::runtime_error(fmt::format("{}: cannot be read", file.string()));
  std::vector<PeerRow> rows;
  std::vector<std::string> columns;
  std::string line;
  for (int line_number = 1; std::getline(stream, line); ++line_number) {
    if (line.empty() || line.starts_with('#')) continue;
    std::vector<std::string> fields = split(line);
    if (columns.empty()) {
      columns = fields;
      continue;
    }
    fields.resize(columns.size());
    try {
      Fields field;
      for (std::size_t i = 0; i < columns.size(); ++i) field[columns[i]] = fields[i];
      PeerRow row = read(field);
      Peer best = row.peer.value_or(Peer{});
      for (const auto& [column, text] : field) {
        if (std::ranges::find(own, column) != own.end() || text.empty()) continue;
        const double copy = positive_number(field.at("copy")), kernel = positive_number(text);
        if (copy / kernel > best.ratio) {
          best.name = column;
          best.ratio = copy / kernel;
          best.kernel_us = kernel;
        }
      }
      row.peer = best.ratio > 0 ? std::optional(best) : std::nullopt;
      rows.push_back(std::move(row));
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("{}:{}: not a row of figures ({}): {}", file.string(), line_number,
                                           error.what(), line));
    }
  }
  if (rows.empty()) throw std::runtime_error(fmt::format("{}: there is no row", file.string()));
  return rows;
}

std::vector<PeerRow> read_peers(const std::filesystem::path& file) {
  static constexpr std::array<std::string_view, 9> kOwn = {"op",
                                                           "H",
                                                           "tokens",
                                                           "mode",
                                                           "copy",
                                                           "prototype",
                                                           "prototype_config",
                                                           "prototype_pdl",
                                                           "prototype_pdl_config"};
  return read_rows(file, kOwn, [](const Fields& field) {
    PeerRow row;
    row.row.operation = field.at("op");
    row.row.kind();  // refuses a name that is none
    row.row.hidden = static_cast<std::int64_t>(positive_number(field.at("H")));
    row.row.tokens = static_cast<std::int64_t>(positive_number(field.at("tokens")));
    row.row.cold = field.at("mode") == "cold";
    const double copy = positive_number(field.at("copy"));
    Peer& best = row.peer.emplace();
    for (const char* column : {"prototype", "prototype_pdl"}) {
      if (field.at(column).empty()) continue;
      const double prototype = positive_number(field.at(column));
      if (copy / prototype > best.prototype_ratio) {
        best.prototype_ratio = copy / prototype;
        best.prototype_us = prototype;
      }
    }
    return row;
  });
}

std::string to_text(const Report& report) {
  const std::string driver =
      *report.device.driver == '\0' ? "" : fmt::format(", driver {}", report.device.driver);
  std::size_t longest = 5;
  for (const Measured& each : report.measured) longest = std::max(longest, each.row.operation.size());
  std::string text = fmt::format(
      "{}{}, {}\n{:<{}} {:>5} {:>6} {:>7} {:<5} {:>9} {:>10} {:>9} {:>7}  {:<22} {:>6}  {:>9}  {}\n",
      report.device.name, driver, report.date, "op", longest, "dtype", "H", "tokens", "mode", "copy us",
      "traffic us", "kernel us", "ratio", "best peer", "ratio", "prototype", "shape");
  std::string named;
  std::size_t compared = 0, ahead = 0, ahead_in_time = 0;
  for (const Measured& each : report.measured) {
    const std::string peer = each.peer ? each.peer->name : "";
    text += fmt::format(
        "{:<{}} {:>5} {:>6} {:>7} {:<5} {:>9.2f} {:>10} {:>9.2f} {:>7.3f}  {:<22} {:>6}  {:>9}  {}{}{}\n",
        each.row.operation, longest, dtype_name(each.row.dtype), each.row.hidden, each.row.tokens,
        each.row.cold ? "cold" : "hot", each.copy_us,
        each.traffic_us > 0 ? fmt::format("{:.2f}", each.traffic_us) : "", each.kernel_us, each.ratio(), peer,
        each.peer ? fmt::format("{:.3f}", each.peer->ratio) : "",
        each.peer && !each.row.by_name ? fmt::format("{:.3f}", each.peer->prototype_ratio) : "",
        each.dependent ? "PDL " : "", each.row.by_name ? each.row.details : each.shape,
        each.threads == 0 ? "" : fmt::format("{}x{}", each.row.details.empty() ? "" : " ", each.threads));
    if (each.peer) {
      ++compared;
      if (each.ratio() >= each.peer->ratio) ++ahead;
      if (each.kernel_us <= each.peer->kernel_us) ++ahead_in_time;
    }
    for (const std::string& exception : exceptions(each)) {
      const std::string limit =
          each.traffic_us > 0 ? fmt::format("; the reads and writes alone: {:.2f} us", each.traffic_us) : "";
      named += fmt::format("EXCEPTION {}: {}{}\n", row_name(each.row), exception, limit);
    }
  }
  if (compared > 0) {
    text += fmt::format(
        "{} of {} rows at least as fast as the best peer, relative to the copy; {} in microseconds\n", ahead,
        compared, ahead_in_time);
  }
  text += dtype_comparison(report, named);
  for (const std::string& each : report.left_out) named += fmt::format("LEFT OUT {}\n", each);
  return text + named;
}

std::string to_json(const Report& report) {
  nlohmann::ordered_json document;
  document["normproof_bench"] = 1;
  document["device"] = report.device.name;
  document["driver"] = report.device.driver;
  document["date"] = report.date;
  document["command"] = report.command;
  for (const Measured& each : report.measured) {
    nlohmann::ordered_json row = {{"op", each.row.operation},    {"dtype", dtype_name(each.row.dtype)},
                                  {"hidden", each.row.hidden},   {"tokens", each.row.tokens},
                                  {"rows", each.row.rows()},     {"mode", each.row.cold ? "cold" : "hot"},
                                  {"copy_us", each.copy_us},     {"traffic_us", each.traffic_us},
                                  {"kernel_us", each.kernel_us}, {"least_us", each.least_us},
                                  {"most_us", each.most_us},     {"ratio", each.ratio()},
                                  {"shape", each.shape},         {"threads", each.threads},
                                  {"dependent", each.dependent}};
    if (each.peer) {
      row["best_peer"] = each.peer->name;
      row["best_peer_ratio"] = each.peer->ratio;
      row["prototype_ratio"] = each.peer->prototype_ratio;
    }
    if (each.row.by_name) {
      row["details"] = each.row.details;
      if (each.row.goal) row["goal"] = *each.row.goal;
      if (each.row.goal_us) row["goal_us"] = *each.row.goal_us;
    }
    row["exceptions"] = exceptions(each);
    document["rows"].push_back(std::move(row));
  }
  if (!report.left_out.empty()) document["left_out"] = report.left_out;
  return json_text(document, 1) + "\n";
}

std::string to_csv(const Report& report) {
  std::string text = fmt::format(
      "# {}, driver {}, {}: {}\nop,dtype,H,tokens,mode,copy_us,kernel_us,ratio,best_peer,"
      "best_peer_ratio,prototype_ratio,shape,threads,dependent,traffic_us,details,goal,goal_us\n",
      report.device.name, report.device.driver, report.date, report.command);
  const auto goal_text = [](const std::optional<double>& value) {
    return value ? fmt::format("{}", *value) : "";
  };
  for (const Measured& each : report.measured) {
    text += fmt::format("{},{},{},{},{},{:.3f},{:.3f},{:.4f},{},{},{},{},{},{},{:.3f},{},{},{}\n",
                        each.row.operation, dtype_name(each.row.dtype), each.row.hidden, each.row.tokens,
                        each.row.cold ? "cold" : "hot", each.copy_us, each.kernel_us, each.ratio(),
                        each.peer ? each.peer->name : "",
                        each.peer ? fmt::format("{:.4f}", each.peer->ratio) : "",
                        each.peer ? fmt::format("{:.4f}", each.peer->prototype_ratio) : "", each.shape,
                        each.threads, each.dependent ? 1 : 0, each.traffic_us, each.row.details,
                        goal_text(each.row.goal), goal_text(each.row.goal_us));
  }
  return text;
}

std::string to_svg(const Report& report) {
  constexpr int kLeft = 60, kWidth = 1000, kPanel = 230, kPlot = 150, kTop = 40;
  constexpr double kHighest = 1.2;
  std::vector<std::pair<std::string, std::string>> panels;  // operations and their titles
  for (const auto& [key, operation] : kMeasuredOperations) panels.emplace_back(key, name_of(operation));
  for (const Measured& each : report.measured) {
    const bool is_new = std::ranges::find(panels, each.row.operation,
                                          [](const auto& panel) { return panel.first; }) == panels.end();
    if (each.row.by_name && is_new) panels.emplace_back(each.row.operation, each.row.operation);
  }
  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" font-family=\"sans-serif\" "
      "font-size=\"11\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n"
      "<text x=\"{2}\" y=\"18\" font-size=\"14\">copy / kernel, cold, {3} (blue: these kernels, grey: best "
      "peer of "
      "bench/*.csv)</text>\n",
      kLeft + kWidth + 20, kTop + 20 + kPanel * static_cast<int>(panels.size()), kLeft, report.device.name);
  int top = kTop;
  for (const auto& [key, title] : panels) {
    std::vector<const Measured*> shown;
    for (const Measured& each : report.measured) {
      if (each.row.operation == key && each.row.cold && each.row.dtype == NORMPROOF_BF16)
        shown.push_back(&each);
    }
    const auto height_of = [&](double ratio) { return std::min(ratio, kHighest) / kHighest * kPlot; };
    const int bottom = top + 20 + kPlot;
    text += fmt::format("<text x=\"{}\" y=\"{}\" font-size=\"12\">{}</text>\n", kLeft, top + 12, title);
    for (const double mark : {0.25, 0.5, 0.75, 1.0}) {
      const double y = bottom - height_of(mark);
      text += fmt::format(
          "<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/><text x=\"{}\" "
          "y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
          kLeft, kLeft + kWidth, y, y, mark == 1.0 ? "#888" : "#ddd", kLeft - 6, y + 4, mark);
    }
    const double step =
        static_cast<double>(kWidth) / static_cast<double>(std::max<std::size_t>(shown.size(), 1));
    for (std::size_t i = 0; i < shown.size(); ++i) {
      const double x = kLeft + step * static_cast<double>(i), bar = step * 0.4;
      const auto draw = [&](double from, double ratio, const char* color) {
        text +=
            fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n",
                        from, bottom - height_of(ratio), bar, height_of(ratio), color);
      };
      draw(x, shown[i]->ratio(), "#2a6fdb");
      if (const auto& peer = shown[i]->peer) draw(x + bar, peer->ratio, "#bbb");
      text +=
          fmt::format("<text transform=\"translate({:.1f},{}) rotate(60)\" font-size=\"9\">{} x {}</text>\n",
                      x + bar * 0.6, bottom + 8, shown[i]->row.tokens, shown[i]->row.hidden);
    }
    top += kPanel;
  }
  return text + "</svg>\n";
}

}  // namespace normproof::bench
