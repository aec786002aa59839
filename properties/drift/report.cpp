// How drift is printed, written and plotted.
#include <fmt/format.h>

#include <vector>

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

// Both passes end with a line like it.
std::string growth(std::string_view what, const Difference& first, std::size_t layers,
                   const Difference& last) {
  if (first.share == 0 && last.share == 0) return "no element differs\n";
  std::string text =
      fmt::format("{}: largest difference {:.3g}, mean {:.3g}; after {} layers: {:.3g}, mean {:.3g}", what,
                  first.largest, first.mean, layers, last.largest, last.mean);
  if (first.mean > 0) text += fmt::format(" ({:.1f} times)", last.mean / first.mean);
  return text + "\n";
}

// In the order of the backward pass.
std::string gradient_text(const std::vector<LayerDrift>& layers) {
  if (!layers.front().gradient) return {};
  std::string text =
      fmt::format("{:>5} | {:^31} | {:^31}\n{:>5} | {:>10} {:>10} {:>9} | {:>10} {:>10} {:>9}\n", "",
                  "gradient of the stream", "gradient of the norm's weight", "layer", "max", "mean", "differ",
                  "max", "mean", "differ");
  for (std::size_t index = layers.size(); index-- > 0;) {
    const auto& [stream, weight] = *layers[index].gradient;
    text += fmt::format("{:>5} | {:>10.3g} {:>10.3g} {:>7.2f} % | {:>10.3g} {:>10.3g} {:>7.2f} %\n",
                        index + 1, stream.largest, stream.mean, 100 * stream.share, weight.largest,
                        weight.mean, 100 * weight.share);
  }
  return text + growth("gradient behind one norm", layers.back().gradient->stream, layers.size(),
                       layers.front().gradient->stream);
}

}  // namespace

std::string to_text(const std::vector<LayerDrift>& layers) {
  std::string text = fmt::format(
      "{:>5} | {:^31} | {:^31} | {:>7}\n{:>5} | {:>10} {:>10} {:>9} | {:>10} {:>10} {:>9} | {:>7}\n", "",
      "output of the norm", "residual stream", "arg-max", "layer", "max", "mean", "differ", "max", "mean",
      "differ", "agrees");
  for (std::size_t index = 0; index < layers.size(); ++index) {
    const Difference &norm = layers[index].norm, &residual = layers[index].residual;
    text +=
        fmt::format("{:>5} | {:>10.3g} {:>10.3g} {:>7.2f} % | {:>10.3g} {:>10.3g} {:>7.2f} % | {:>5.1f} %\n",
                    index + 1, norm.largest, norm.mean, 100 * norm.share, residual.largest, residual.mean,
                    100 * residual.share, 100 * layers[index].agreement);
  }
  if (layers.empty()) return text;
  return text + growth("one norm alone", layers.front().norm, layers.size(), layers.back().norm) +
         gradient_text(layers);
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
    if (layer.gradient)
      document["layers"].back()["gradient"] = {{"stream", json_of(layer.gradient->stream)},
                                               {"weight", json_of(layer.gradient->weight)}};
  }
  return json_text(document, 2) + "\n";
}

std::string to_svg(const std::string& subject, const std::vector<LayerDrift>& layers) {
  std::vector<svg::LinePlot> plots = {
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
  if (!layers.empty() && layers.front().gradient) {
    plots.push_back(
        {"Gradients: " + subject + " against native",
         "layer",
         "mean absolute difference",
         {{"stream", values_of(layers, [](const LayerDrift& layer) { return layer.gradient->stream.mean; })},
          {"weight of the norm",
           values_of(layers, [](const LayerDrift& layer) { return layer.gradient->weight.mean; })}},
         true,
         {},
         {}});
  }
  return svg::line_plots(plots);
}

}  // namespace normproof::drift
