#include "cli/order_survey.h"

#include <fmt/format.h>

#include <utility>

namespace normproof {
namespace {

using order::CallShape;

class Surveyor {
 public:
  Surveyor(Target& target, const OrderSurveyOptions& options, Progress& progress,
           const std::function<void(const OrderEvent&)>& tell)
      : target_(target), options_(options), progress_(progress), tell_(tell) {}

  OrderSurvey run(CallShape shape) {
    shape.rows = options_.rows.front();
    investigate(shape);
    const order::Finding first = survey_.entries.front().finding;
    if (first.tree && first.kind != order::Kind::trivial) {
      for (std::size_t i = 1; i < options_.rows.size(); ++i) compare(first, shape, options_.rows[i], 0);
      if (!options_.aligned_only) compare(first, shape, shape.rows, 1);
    }
    return std::move(survey_);
  }

 private:
  void tell(const OrderEvent& event) {
    progress_.clear();
    if (tell_) tell_(event);
  }

  void investigate(const CallShape& shape) {
    const auto box = order::make_target_box(target_, shape, options_.threads);
    order::DetectOptions options;
    options.seed = options_.seed;
    options.progress = [&](const char* stage, double share) { progress_.show(stage, share); };
    try {
      survey_.entries.push_back({shape, order::detect(*box, options)});
    } catch (const order::NoAnswer& error) {
      progress_.clear();
      throw TargetError(fmt::format("the target does not answer: {}", error.what()));
    }
    tell({OrderEvent::Kind::found, shape, &survey_.entries.back(), {}});
  }

  // Whether calls of another number of rows, or of another alignment, have the first tree too.
  void compare(const order::Finding& first, CallShape shape, std::int64_t rows, std::int64_t offset) {
    shape.rows = rows;
    shape.offset = offset;
    const auto box = order::make_target_box(target_, shape, options_.threads);
    std::string why;
    bool same = false;
    try {
      progress_.show("certificate", 0);
      same = order::has_tree(*box, *first.tree, options_.seed, why);
    } catch (const order::NoAnswer& error) {
      tell({OrderEvent::Kind::no_answer, shape, nullptr, error.what()});
      return;
    }
    if (!same) {
      survey_.changes = true;
      tell({OrderEvent::Kind::differs, shape, nullptr, why});
      investigate(shape);
      return;
    }
    OrderEntry entry{shape, first};
    entry.finding.rows = box->rows_asked();
    entry.finding.calls = box->calls();
    entry.finding.seconds = 0;
    survey_.entries.push_back(std::move(entry));
    tell({OrderEvent::Kind::same, shape, &survey_.entries.back(), {}});
  }

  Target& target_;
  const OrderSurveyOptions& options_;
  Progress& progress_;
  const std::function<void(const OrderEvent&)>& tell_;
  OrderSurvey survey_;
};

}  // namespace

OrderSurvey survey_orders(Target& target, CallShape shape, const OrderSurveyOptions& options,
                          Progress& progress, const std::function<void(const OrderEvent&)>& tell) {
  return Surveyor(target, options, progress, tell).run(shape);
}

}  // namespace normproof
