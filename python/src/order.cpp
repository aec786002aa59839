#include "python/src/order.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <bit>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "oracle/order_file.h"
#include "oracle/row_kernels.h"
#include "properties/order/detect.h"
#include "python/src/numpy_bytes.h"

namespace nb = nanobind;

namespace normproof::python {
namespace {

// Calls function(bytes of the rows, epsilon), which returns the bytes of the outputs, or a text: why there
// are none.
class FunctionBox final : public order::BlackBox {
 public:
  FunctionBox(nb::callable function, DType dtype, std::int32_t hidden, std::int64_t rows)
      : function_(std::move(function)),
        dtype_(dtype),
        hidden_(hidden),
        rows_(rows),
        input_(static_cast<std::size_t>(rows) * static_cast<std::size_t>(hidden) * size_of(dtype)) {}

  std::int32_t hidden_size() const override { return hidden_; }
  DType dtype() const override { return dtype_; }
  DType output_dtype() const override { return dtype_; }
  std::int64_t rows_per_call() const override { return rows_; }

  std::vector<std::uint32_t> outputs(std::span<const order::Probe> rows,
                                     std::uint32_t epsilon_bits) override {
    std::vector<std::uint32_t> read;
    const auto per_call = static_cast<std::size_t>(rows_);
    for (std::size_t first = 0; first < rows.size(); first += per_call) {
      const auto part = rows.subspan(first, std::min(per_call, rows.size() - first));
      write(part, false);
      const std::vector<std::byte> output = call(std::bit_cast<float>(epsilon_bits));
      write(part, true);
      for (std::size_t row = 0; row < part.size(); ++row)
        read.push_back(load_bits(output, dtype_, index_of(row, part[row].read)));
      count(rows_, 1);
    }
    return read;
  }

 private:
  std::int64_t index_of(std::size_t row, std::int32_t column) const {
    return static_cast<std::int64_t>(row) * hidden_ + column;
  }

  void write(std::span<const order::Probe> rows, bool zeros) {
    for (std::size_t row = 0; row < rows.size(); ++row)
      for (const auto& element : rows[row].elements)
        store_bits(input_, dtype_, index_of(row, element.column), zeros ? 0 : element.bits);
  }

  std::vector<std::byte> call(float epsilon) {
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    const nb::object returned = function_(numpy_bytes(input_), static_cast<double>(epsilon));
    if (nb::isinstance<nb::str>(returned)) throw order::NoAnswer(nb::cast<std::string>(returned), true);
    const auto array =
        nb::cast<nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>>(returned);
    if (array.size() != input_.size())
      throw std::invalid_argument("the function's outputs have another size");
    std::vector<std::byte> output(array.size());
    std::memcpy(output.data(), array.data(), output.size());
    return output;
  }

  nb::callable function_;
  DType dtype_;
  std::int32_t hidden_;
  std::int64_t rows_;
  std::vector<std::byte> input_;
};

nb::dict find_order(const nb::callable& function, const std::string& dtype, std::int32_t hidden,
                    std::int64_t rows, std::uint64_t seed) {
  FunctionBox box(function, dtype_from_name(dtype).value(), hidden, rows);
  order::DetectOptions options;
  options.seed = seed;
  const order::Finding finding = order::detect(box, options);
  nb::dict result;
  result["kind"] = std::string(order::code_of(finding.kind));
  result["reason"] = finding.reason;
  result["certified"] = finding.certified();
  result["certificate_rows"] = finding.certificate_rows;
  result["rows"] = finding.rows;
  result["calls"] = finding.calls;
  result["seconds"] = finding.seconds;
  result["family"] = finding.family;
  result["root"] = std::string(order::code_of(finding.root.root));
  result["depth"] = finding.tree ? nb::object(nb::int_(finding.tree->depth())) : nb::object(nb::none());
  const bool knows_fma = finding.tree && finding.fma_known;
  result["fused"] = knows_fma ? nb::object(nb::int_(finding.tree->fused_leaves())) : nb::object(nb::none());
  result["tree"] =
      finding.tree ? nb::object(nb::str(to_json(*finding.tree).c_str())) : nb::object(nb::none());
  return result;
}

}  // namespace

void bind_order(nb::module_& module) {
  nb::register_exception_translator([](const std::exception_ptr& error, void*) {
    try {
      std::rethrow_exception(error);
    } catch (const order::NoAnswer& refused) {
      PyErr_SetString(PyExc_RuntimeError, refused.what());
    }
  });
  module.def("find_order", &find_order, nb::arg("function"), nb::arg("dtype"), nb::arg("hidden"),
             nb::arg("rows"), nb::arg("seed"));
}

}  // namespace normproof::python
