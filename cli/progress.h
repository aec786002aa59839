// A progress line on a terminal; silent where standard error is no terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace normproof {

class Progress {
 public:
  Progress();
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // At most ten times a second: "stage  done  rate  elapsed  what is left".
  // `fraction` of the stage that is done, 0 to 1.
  void show(const std::string& stage, std::int64_t cases, std::int64_t elements, double fraction);
  // The same for a stage that counts in neither.
  void show(const std::string& stage, double fraction);
  // Removes the line, so that something else can be printed.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  // Whether it is time to print again; notes that it is done.
  bool due(const std::string& stage);
  std::string time_left(double fraction) const;
  // As many of the parts as the terminal's width holds.
  void draw_line(const std::vector<std::string>& parts);

  bool is_terminal_;
  bool shown_ = false;
  std::string stage_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point stage_start_ = Clock::now();
  Clock::time_point last_{};
};

}  // namespace normproof
