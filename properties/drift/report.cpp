// How drift is printed, written and plotted.
#include <fmt/format.h>

#include <array>

#include "corpus/json.h"
#include "corpus/json_text.h"
#include "properties/drift/drift.h"
#include "properties/report/svg.h"

namespace normproof::drift {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Difference& difference) {
  return {{"largest", difference.largest}, {"mean", difference.mean}, {"share_differing", difference.share}};
}

template <class Value>
std::vector<double> values_of(const std::vector<LayerDrift>& layers, Value value) {
  std::vector<double> values;
  for (const LayerDrift& layer : layers) values.push_back(value(layer));
  return values;
}

}  // namespace

std::string to_text(const std::vector<LayerDrift>& layers) {
  std::string text = fmt::format(
      "{:>5} | {:^31} | {:^31} | {:>7}\n{:>5} | {:>10} {:>10} {:>9} | {:>10} {:>10} {:>9} | {:>7}\n", "",
      "output of the norm", "residual stream", "arg-max", "layer", "max", "mean", "differ", "max", "mean",
      "differ", "agrees");
  for (std::size_t index = 0; index < layers.size(); ++index) {
    const auto& [norm, residual, agreement] = layers[index];
    text +=
        fmt::format("{:>5} | {:>10.3g} {:>10.3g} {:>7.2f} % | {:>10.3g} {:>10.3g} {:>7.2f} % | {:>5.1f} %\n",
                    index + 1, norm.largest, norm.mean, 100 * norm.share, residual.largest, residual.mean,
                    100 * residual.share, 100 * agreement);
  }
  if (layers.empty()) return text;
  const Difference& first = layers.front().norm;
  const Difference& last = layers.back().norm;
  if (first.share == 0 && last.share == 0) return text + "no element differs\n";
  text += fmt::format(
      "one norm alone: largest difference {:.3g}, mean {:.3g}; after {} layers: {:.3g}, mean {:.3g}",
      first.largest, first.mean, layers.size(), last.largest, last.mean);
  if (first.mean > 0) text += fmt::format(" ({:.1f} times)", last.mean / first.mean);
  return text + "\n";
}

std::string to_json(const Model& model, const std::string& subject, const std::vector<LayerDrift>& layers) {
  Json document = {{"normproof_drift", 1},
                   {"subject", subject},
                   {"reference", "policy native"},
                   {"weights", "random"},
                   {"dtype", name_of(model.dtype)},
                   {"hidden_size", model.hidden_size},
                   {"tokens", model.tokens},
                   {"vocabulary", model.vocabulary},
                   {"seed", model.seed},
                   {"layers", Json::array()}};
  for (const LayerDrift& layer : layers) {
    document["layers"].push_back({{"norm", json_of(layer.norm)},
                                  {"residual", json_of(layer.residual)},
                                  {"arg_max_agreement", layer.agreement}});
  }
  return json_text(document, 2) + "\n";
}

std::string to_svg(const std::string& subject, const std::vector<LayerDrift>& layers) {
  const std::array plots = {
      svg::LinePlot{
          "Output of the norm: " + subject + " against native",
          "layer",
          "absolute difference",
          {{"mean", values_of(layers, [](const LayerDrift& layer) { return layer.norm.mean; })},
           {"largest", values_of(layers, [](const LayerDrift& layer) { return layer.norm.largest; })}},
          true,
          {},
          {}},
      svg::LinePlot{
          "Elements whose bits differ",
          "layer",
          "share",
          {{"residual", values_of(layers, [](const LayerDrift& layer) { return layer.residual.share; })},
           {"norm", values_of(layers, [](const LayerDrift& layer) { return layer.norm.share; })}},
          false,
          0.0,
          1.0},
      svg::LinePlot{
          "Tokens with the same arg-max over the vocabulary",
          "layer",
          "share",
          {{"agreement", values_of(layers, [](const LayerDrift& layer) { return layer.agreement; })}},
          false,
          0.0,
          1.0},
  };
  return svg::line_plots(plots);
}

}  // namespace normproof::drift
