// What a black box is: a function from rows to outputs. Nothing of a kernel is looked at but the bits of one
// element of each row.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "corpus/dtype.h"

namespace normproof::order {

// A row that is zero but for a few elements.
struct Probe {
  struct Element {
    std::int32_t column = 0;
    std::uint32_t bits = 0;  // of the activation dtype
  };
  std::vector<Element> elements;
  std::int32_t read = 0;  // the column whose output is looked at
};

// The box does not answer; what() says why. `refused`: it does not take such a call (a negative epsilon, for
// instance); otherwise the call went wrong.
class NoAnswer : public std::runtime_error {
 public:
  NoAnswer(const std::string& what, bool is_refusal) : std::runtime_error(what), refused(is_refusal) {}
  bool refused;
};

class BlackBox {
 public:
  BlackBox() = default;
  BlackBox(const BlackBox&) = delete;
  BlackBox& operator=(const BlackBox&) = delete;
  virtual ~BlackBox() = default;

  virtual std::int32_t hidden_size() const = 0;
  virtual DType dtype() const = 0;         // of the rows
  virtual DType output_dtype() const = 0;  // of what is read
  // What is read is not an element's output but a number that rises with the row's largest output: the scale
  // that a row gets.
  virtual bool reads_largest() const { return false; }
  // Every call has as many rows; what is left of a call's rows is zero.
  virtual std::int64_t rows_per_call() const = 0;
  // The output bits of each row's element `read`, or its scale's, in as many
  // calls as are needed. Throws NoAnswer.
  virtual std::vector<std::uint32_t> outputs(std::span<const Probe> rows, std::uint32_t epsilon_bits) = 0;

  std::int64_t rows_asked() const { return rows_; }
  std::int64_t calls() const { return calls_; }

 protected:
  void count(std::int64_t rows, std::int64_t calls) {
    rows_ += rows;
    calls_ += calls;
  }

 private:
  std::int64_t rows_ = 0, calls_ = 0;
};

}  // namespace normproof::order
