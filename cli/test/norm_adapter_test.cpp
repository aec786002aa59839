// What `new-target --from` reads out of sources of several styles, and the calls that it writes.
#include "cli/norm_adapter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace normproof {
namespace {

// Lines that say something, one blank after another where the text has line ends.
std::ptrdiff_t lines_of(const std::string& text) {
  std::ptrdiff_t lines = 0;
  for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
    if (text[begin] != '\n' && text[begin] != '/') ++lines;
  }
  return lines;
}
std::string in_one_line(const std::string& text) {
  std::string line;
  for (const char c : text) {
    const char blank = c == '\n' ? ' ' : c;
    if (blank != ' ' || line.empty() || line.back() != ' ') line += blank;
  }
  return line;
}

bool has(const std::string& text, const std::string& part) {
  return in_one_line(text).find(part) != std::string::npos;
}
NormAdapter read(const std::string& source) { return adapter_of(source, "norm.cu", "mine"); }

TEST(SourceFunctions, NamesNamespacesAndParameters) {
  const auto functions = functions_of(R"(
#include <x.h>
namespace a { namespace {
template <typename T, int width> __global__ void __launch_bounds__(256) kernel(T* out) { f(out); }
__device__ float only_on_the_device(float x) { return x; }
__host__ __device__ inline float on_both(float x) { return x; }
struct S { void member(int x) {} };
void S::member(int x) {}
} namespace b {
static void __attribute__((noinline)) launch(const T* __restrict__ in, unsigned, std::vector<int, A<int>> sizes,
                                             float epsilon = f(1, 2), int counts[4] = nullptr) {
  if (x) { y(); }
}
} }
extern "C" { int plain(void) { return 0; } }
int table[] = {1, 2};
PYBIND11_MODULE(name, m) { m.def("launch", &launch); }
auto lambda = [](int x) { return x; };
)");
  ASSERT_EQ(functions.size(), 4u);
  EXPECT_EQ(functions[0].name, "a::kernel");
  EXPECT_TRUE(functions[0].is_kernel);
  EXPECT_EQ(functions[0].template_parameters, (std::vector<std::string>{"typename T", "int width"}));
  EXPECT_EQ(functions[1].name, "a::on_both");
  const SourceFunction& launch = functions[2];
  EXPECT_EQ(launch.name, "a::b::launch");
  EXPECT_EQ(launch.result, "void");
  EXPECT_EQ(launch.line, 10);
  ASSERT_EQ(launch.parameters.size(), 5u);
  EXPECT_EQ(launch.parameters[0].type, "const T*");
  EXPECT_EQ(launch.parameters[0].name, "in");
  EXPECT_EQ(launch.parameters[1].type, "unsigned");
  EXPECT_EQ(launch.parameters[2].name, "sizes");
  EXPECT_TRUE(launch.parameters[3].has_default && launch.parameters[4].has_default);
  EXPECT_EQ(launch.parameters[4].name, "counts");
  EXPECT_EQ(functions[3].name, "plain");
  EXPECT_TRUE(functions[3].parameters.empty());
}

TEST(NormAdapter, OfHipFp8HasOneZero) {
  const std::string source =
      "void rms_norm_static_fp8_quant(at::Tensor& out, at::Tensor& input, at::Tensor& weight, at::Tensor& "
      "scale, double epsilon) {}";
  EXPECT_TRUE(has(adapter_of(source, "norm.hip", "mine", true).text, "NORMPROOF_TAKES_E4M3FNUZ"));
  EXPECT_FALSE(has(read(source).text, "FNUZ"));
}

TEST(NormAdapter, OfSeveralTensorsThatAreReturnedTheFirst) {
  const std::string parameters =
      "(at::Tensor input, at::IntArrayRef normalized_shape, at::Tensor gamma, double epsilon) {}";
  EXPECT_TRUE(
      has(read("std::vector<at::Tensor> rms_norm_affine" + parameters).text,
          "call.out.copy_(rms_norm_affine(call.input, {call.columns()}, call.weight, call.epsilon)[0]);"));
  EXPECT_TRUE(has(read("std::tuple<at::Tensor, at::Tensor> rms_norm_affine" + parameters).text,
                  "call.out.copy_(std::get<0>(rms_norm_affine(call.input, {call.columns()}, call.weight, "
                  "call.epsilon)));"));
}

TEST(NormAdapter, AKernelWithoutALauncherIsLaunched) {
  const std::string kernel = R"(
extern "C" __global__ void rms_norm_fp16(const __half* x, const __half* weight, __half* out, long long hidden, float epsilon) {
}
)";
  const NormAdapter adapter = read(kernel);
  ASSERT_EQ(adapter.operations.size(), 1u);
  EXPECT_EQ(adapter.operations[0].assumed, (std::vector<std::string>{"<<<call.rows(), 256>>>"}));
  EXPECT_TRUE(has(adapter.text,
                  "rms_norm_fp16<<<call.rows(), 256>>>(call.pointer(call.input), call.pointer(call.weight), "
                  "call.pointer(call.out), call.columns(), call.epsilon);"))
      << adapter.text;
  // Where something launches it, that is called.
  const NormAdapter launched = read(
      kernel + "void rms_norm(void* x, void* weight, void* out, int rows, int hidden, float epsilon) {}");
  ASSERT_EQ(launched.operations.size(), 1u);
  EXPECT_EQ(launched.operations[0].function, "rms_norm");
}

TEST(SourceFunctions, OfBranchesTheOneOfCuda) {
  const auto functions = functions_of(R"(
#ifdef USE_ROCM
void for_hip(int x) {}
#else
void for_cuda(int x,
#ifdef SOME_VERSION
  at::IntArrayRef shape
#else
  at::IntList shape
#endif
) {}
#endif
#if 0
void never() {}
#elif defined(A)
void perhaps() {}
#else
void otherwise() {}
#endif
#ifndef USE_ROCM
void again() {}
#endif
)");
  std::vector<std::string> names;
  for (const SourceFunction& function : functions) names.push_back(function.name);
  EXPECT_EQ(names, (std::vector<std::string>{"for_cuda", "perhaps", "again"}));
  EXPECT_EQ(functions[0].parameters.size(), 2u);
}

// --- argument orders ---

TEST(NormAdapter, TensorsInTheOrderOfVllm) {
  const NormAdapter adapter = read(R"(
void rms_norm(torch::Tensor& out, torch::Tensor& input, torch::Tensor& weight, double epsilon) {}
void fused_add_rms_norm(torch::Tensor& input, torch::Tensor& residual, torch::Tensor& weight, double epsilon) {}
void rms_norm_static_fp8_quant(torch::Tensor& out, torch::Tensor& input, torch::Tensor& weight, torch::Tensor& scale,
                               double epsilon) {}
void layer_norm(torch::Tensor& out, torch::Tensor& input) {}
)");
  ASSERT_EQ(adapter.operations.size(), 3u);
  for (const AdaptedOperation& operation : adapter.operations) EXPECT_EQ(operation.order_of, "vLLM");
  EXPECT_TRUE(has(adapter.text, "rms_norm(call.out, call.input, call.weight, call.epsilon);"))
      << adapter.text;
  EXPECT_TRUE(has(adapter.text, "fused_add_rms_norm(call.input, call.residual, call.weight, call.epsilon);"));
  EXPECT_TRUE(has(adapter.text, "call.weight, call.scale, call.epsilon);"));
  EXPECT_TRUE(has(adapter.text, "NORMPROOF_TAKES_E4M3FN")) << adapter.text;
  EXPECT_FALSE(has(adapter.text, ".limits =")) << adapter.text;
  EXPECT_FALSE(has(adapter.text, "NO_WEIGHT"));
  ASSERT_EQ(adapter.not_used.size(), 1u);
  EXPECT_EQ(adapter.not_used[0], "layer_norm, line 6: another operation");
  EXPECT_LE(lines_of(adapter.text), 15) << adapter.text;
}

TEST(NormAdapter, LayerNormsWithAndWithoutStatistics) {
  const NormAdapter pointers = read(R"(
template <typename T>
void launch_layer_norm(T* out, float* mean, float* rstd, const T* inp, const T* weight, const T* bias, int N, int C,
                       float eps, cudaStream_t stream) {}
void layernorm_backward(float* dx, const float* dout) {}
void add_layer_norm(float* out, const float* input, const float* residual, const float* weight, int rows, int cols,
                    float eps) {}
)");
  ASSERT_EQ(pointers.operations.size(), 1u);
  EXPECT_EQ(pointers.operations[0].operation, "layer_norm");
  EXPECT_EQ(pointers.operations[0].signature,
            "out, mean, rstd, input, weight, bias, rows, columns, epsilon, stream");
  EXPECT_TRUE(has(pointers.text, R"(call.needs(call.weight, "weight"); call.needs(call.bias, "bias");)"))
      << pointers.text;
  EXPECT_TRUE(has(pointers.text, "at::Tensor mean = call.for_each_row(call.mean);"));
  EXPECT_TRUE(has(pointers.text,
                  "launch_layer_norm<decltype(type)>(call.pointer(call.out), call.pointer(mean), "
                  "call.pointer(rstd), call.pointer(call.input), call.pointer(call.weight), "
                  "call.pointer(call.bias), call.rows(), call.columns(), call.epsilon, nullptr);"));
  EXPECT_EQ(pointers.not_used.size(), 2u);
  const NormAdapter tensors = read(R"(
at::Tensor layer_norm(const at::Tensor& x, const std::optional<at::Tensor>& gamma,
                      const std::optional<at::Tensor>& beta, double eps) {}
void rms_norm(at::Tensor& out, at::Tensor& input, at::Tensor& weight, double epsilon) {}
)");
  ASSERT_EQ(tensors.operations.size(), 2u);
  EXPECT_TRUE(has(tensors.text,
                  "call.out.copy_(layer_norm(call.input, call.optional_weight(), call.optional_bias(), "
                  "call.epsilon));"))
      << tensors.text;
  EXPECT_TRUE(has(tensors.text, R"(call.has_no(call.mean, "it stores no mean");)"));
  EXPECT_FALSE(has(tensors.text, "call.needs"));
}

TEST(NormAdapter, PointersInTheOrderOfFlashInfer) {
  const NormAdapter adapter = read(R"(
namespace lib { namespace norm {
template <typename T>
cudaError_t RMSNorm(T* input, T* weight, T* output, uint32_t batch_size, uint32_t d, uint32_t stride_input,
                    uint32_t stride_output, float eps = 1e-5, bool enable_pdl = false, cudaStream_t stream = 0) {}
template <typename T>
cudaError_t FusedAddRMSNorm(T* input, T* residual, T* weight, uint32_t batch_size, uint32_t d, uint32_t stride_input,
                            uint32_t stride_residual, float eps, bool enable_pdl, cudaStream_t stream) {}
} }
)");
  ASSERT_EQ(adapter.operations.size(), 2u);
  EXPECT_TRUE(has(adapter.text,
                  "lib::norm::RMSNorm<decltype(type)>(call.pointer(call.input), call.pointer(call.weight), "))
      << adapter.text;
  EXPECT_TRUE(has(adapter.text, "call.with<__nv_bfloat16, __half, float>([&](auto type) {"));
  EXPECT_TRUE(has(adapter.text, ".greatest_rank = 2")) << adapter.text;
  EXPECT_EQ(adapter.operations[0].signature,
            "input, weight, out, rows, columns, input_stride, out_stride, epsilon")
      << "what has a value of its own behind the epsilon is left out";
  EXPECT_EQ(adapter.operations[1].order_of, "FlashInfer");
  EXPECT_EQ(adapter.operations[1].assumed, std::vector<std::string>{"enable_pdl = false"});
  EXPECT_LE(lines_of(adapter.text), 15) << adapter.text;
}

TEST(NormAdapter, PointersToTensorsInTheOrderOfApex) {
  const NormAdapter adapter = read(R"(
void cuda_rms_norm(at::Tensor* output, at::Tensor* invvar, at::Tensor* input, int n1, int n2,
    #ifdef VERSION_GE_1_1
    at::IntArrayRef normalized_shape,
    #else
    at::IntList normalized_shape,
    #endif
    at::Tensor* gamma, double epsilon) {}
void cuda_rms_norm_gradient(at::Tensor* dout, at::Tensor* input, double epsilon) {}
)");
  ASSERT_EQ(adapter.operations.size(), 1u);
  EXPECT_EQ(adapter.operations[0].order_of, "Apex");
  EXPECT_TRUE(has(adapter.text, "at::Tensor inverse_rms = at::empty({call.rows()}, at::kFloat);"))
      << adapter.text;
  EXPECT_TRUE(has(adapter.text,
                  "cuda_rms_norm(&call.out, &inverse_rms, &call.input, call.rows(), call.columns(), {"));
  EXPECT_TRUE(has(adapter.text, "call.has_weight() ? &call.weight : nullptr"));
  EXPECT_TRUE(has(adapter.text, "NORMPROOF_TAKES_NO_WEIGHT") && has(adapter.text, ".contiguous = true"));
}

TEST(NormAdapter, OneLauncherForBothInTheOrderOfDeepSpeed) {
  const NormAdapter adapter = read(R"(
template <typename T>
void launch_rms_norm(T* norm_output, T* res_output, const T* vals, const T* residual, const T* gamma, float epsilon,
                     int rows, int elems_per_row, cudaStream_t stream) { using half_t = __half; }
)");
  ASSERT_EQ(adapter.operations.size(), 2u);
  EXPECT_EQ(adapter.operations[0].operation, "rms_norm");
  EXPECT_EQ(adapter.operations[1].operation, "fused_add_rms_norm");
  EXPECT_EQ(adapter.operations[1].order_of, "DeepSpeed");
  EXPECT_TRUE(has(adapter.text, "(call.pointer(call.out), nullptr, call.pointer(call.input), nullptr,"))
      << adapter.text;
  EXPECT_TRUE(
      has(adapter.text, "(call.pointer(call.input), call.pointer(call.residual), call.pointer(call.input),"))
      << "in place: " << adapter.text;
  EXPECT_TRUE(has(adapter.text, "call.with<__half, float>")) << "the types that the source speaks of";
}

TEST(NormAdapter, NamesOfOtherPeople) {
  EXPECT_TRUE(has(
      read("void rmsnorm(const half* x, const half* w, half* y, const float eps, const int rows, const int "
           "dim)"
           " {}")
          .text,
      "rmsnorm(call.pointer(call.input), call.pointer(call.weight), call.pointer(call.out), call.epsilon,"));
  const NormAdapter returned =
      read("at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& w, double eps) { return x; }");
  EXPECT_TRUE(has(returned.text, "call.out.copy_(rms_norm(call.input, call.weight, call.epsilon));"))
      << returned.text;
  const NormAdapter optional = read(
      "void rms_norm(Tensor& out, const Tensor& in, const std::optional<Tensor>& gamma, double eps, "
      "std::optional<Tensor> scale_ub) {}");
  EXPECT_TRUE(has(optional.text, "call.optional_weight(), call.epsilon, std::nullopt")) << optional.text;
  EXPECT_TRUE(has(optional.text, "NO_WEIGHT"));
  const NormAdapter sizes =
      read("void rms_norm(float* d_out, const float* d_in, const float* gamma, int n, int d, float eps) {}");
  EXPECT_TRUE(has(sizes.text, "call.rows(), call.columns(), call.epsilon")) << sizes.text;
  EXPECT_TRUE(has(sizes.text, "NORMPROOF_TAKES_FP32 | NORMPROOF_TAKES_SAME_WEIGHT")) << sizes.text;
}

TEST(NormAdapter, AScaleForEachRow) {
  const NormAdapter adapter = read(R"(
void rms_norm_dynamic_per_token_quant(torch::Tensor& out, torch::Tensor const& input, torch::Tensor const& weight,
                                      torch::Tensor& scales, double const var_epsilon,
                                      std::optional<at::Tensor> scale_ub, std::optional<at::Tensor> residual) {}
)");
  ASSERT_EQ(adapter.operations.size(), 2u);
  EXPECT_EQ(adapter.operations[0].operation, "rms_norm_dynamic_quant");
  EXPECT_EQ(adapter.operations[1].operation, "fused_add_rms_norm_dynamic_quant");
  EXPECT_EQ(adapter.operations[1].order_of, "vLLM");
  EXPECT_TRUE(
      has(adapter.text, "call.weight, call.scales, call.epsilon, call.optional_scale_ub(), std::nullopt);"))
      << adapter.text;
  EXPECT_TRUE(has(adapter.text, "call.epsilon, call.optional_scale_ub(), call.optional_residual());"))
      << adapter.text;
  EXPECT_TRUE(has(adapter.text, "NORMPROOF_TAKES_E4M3FN | NORMPROOF_TAKES_ROW_SCALE_UB,")) << adapter.text;
  EXPECT_FALSE(has(adapter.text, "int8")) << adapter.text;
}

TEST(NormAdapter, AnUpperBoundOfScalesAndInt8) {
  const std::string function =
      "void rms_norm_per_token_quant(const float* x, const float* w, int8_t* out, float* scales, "
      "const float* scale_ub, int rows, int cols, float eps) { use(kInt8); }\n";
  const NormAdapter adapter = read(function);
  EXPECT_TRUE(has(adapter.text, "call.pointer(call.scales), call.pointer(call.scale_ub),")) << adapter.text;
  EXPECT_TRUE(has(adapter.text, "NORMPROOF_TAKES_ROW_INT8 | NORMPROOF_TAKES_ROW_SCALE_UB,")) << adapter.text;
  EXPECT_TRUE(has(adapter.text, "{ rms_norm_per_token_quant(")) << adapter.text;
  ASSERT_EQ(adapter.operations.size(), 1u);
  EXPECT_EQ(adapter.operations[0].assumed, std::vector<std::string>());

  // A sum's function without one, beside it.
  const NormAdapter both =
      read(function +
           "void add_rms_norm_per_token_quant(const float* x, float* residual, const float* w, "
           "signed char* out, float* scales, int rows, int cols, float eps) {}\n");
  EXPECT_TRUE(
      has(both.text, "{ call.has_no(call.scale_ub, \"it takes no upper bound of scales\"); add_rms_norm"))
      << both.text;
  // Where a scale is given there is nothing to bound.
  const NormAdapter given = read(
      "void rms_norm_static_fp8_quant(Tensor& out, Tensor& x, Tensor& weight, Tensor& scale, double eps, "
      "std::optional<Tensor> scale_ub) { use(kInt8); }");
  EXPECT_TRUE(has(given.text, "call.scale, call.epsilon, std::nullopt);")) << given.text;
  EXPECT_FALSE(has(given.text, "ROW_")) << given.text;
}

// vLLM's refuses both together, and says so in a check; one that takes them is given both.
TEST(NormAdapter, AnUpperBoundThatInt8IsNotGiven) {
  const auto adapted = [](const std::string& name, const std::string& body) {
    return read(
        "void rms_norm_dynamic_per_token_quant(Tensor& out, Tensor const& input, Tensor const& weight, "
        "Tensor& "
        "scales, double const eps, std::optional<Tensor> " +
        name + ") {\n  TORCH_CHECK(out.dtype() == kFp8Type || out.dtype() == kInt8);\n  " + body + "\n}\n");
  };
  const auto refuses = [&](const std::string& body) {
    const NormAdapter adapter = adapted("scale_ub", body);
    EXPECT_TRUE(has(adapter.text, "call.optional_scale_ub()")) << adapter.text;
    EXPECT_TRUE(has(adapter.text, "ROW_INT8 | NORMPROOF_TAKES_ROW_SCALE_UB")) << adapter.text;
    const bool demanded = has(adapter.text, "call.has_no_bound_of_int8();");
    EXPECT_EQ(adapter.operations.at(0).assumed.size(), demanded ? 1u : 0u);
    return demanded;
  };
  EXPECT_TRUE(refuses("if (scale_ub.has_value()) {\n    TORCH_CHECK(out.dtype() == kFp8Type);\n  }"));
  EXPECT_TRUE(refuses("TORCH_CHECK(!scale_ub.has_value() || out.dtype() == kFp8Type);"));
  EXPECT_TRUE(refuses("if (kInt8 == out.dtype() && scale_ub) throw std::invalid_argument(\"int8\");"));
  EXPECT_FALSE(refuses("launch(out, scale_ub);"));
  EXPECT_FALSE(refuses("if (scale_ub.has_value()) TORCH_CHECK(scale_ub->numel() == 1);"));
  for (const std::string name : {"scale_upper_bound", "scale_bound", "scales_ub"})
    EXPECT_TRUE(has(adapted(name, "").text, "call.optional_scale_ub()")) << name;
  EXPECT_FALSE(has(adapted("workspace", "").text, "ROW_SCALE_UB"));
}

// A name that does not say by what it quantizes: an upper bound does, and so does a pointer to int8.
TEST(NormAdapter, WhatGivesEachRowAScale) {
  const auto text = [](const std::string& name, const std::string& out, const std::string& more) {
    const NormAdapter adapter =
        read("void " + name + "(" + out + " out, const bfloat16* x, const bfloat16* weight, " + more +
             ", float eps, int rows, int cols) {}\n");
    return adapter.operations.empty() ? adapter.not_used.at(0) : adapter.text;
  };
  const std::string bound = "float* scales, const float* scale_ub";
  EXPECT_TRUE(has(text("rms_norm_quant", "uint8_t*", bound), "E4M3FN | NORMPROOF_TAKES_ROW_SCALE_UB,"));
  for (const std::string out : {"int8_t*", "std::int8_t*", "signed char*"}) {
    for (const std::string name : {"rms_norm_quant", "rms_norm_int8", "rms_norm_dynamic_quant"}) {
      const std::string bounded = text(name, out, bound), free = text(name, out, "float* scales");
      EXPECT_TRUE(has(bounded, "SAME_WEIGHT | NORMPROOF_TAKES_ROW_INT8 |") && has(bounded, "ROW_SCALE_UB,") &&
                  has(bounded, "call.pointer(call.scale_ub)"))
          << bounded;
      EXPECT_TRUE(has(free, "rms_norm_dynamic_quant =") && has(free, "ROW_INT8,")) << free;
      EXPECT_FALSE(has(free, "SCALE_UB")) << free;
      EXPECT_FALSE(has(bounded + free, "has_codes")) << bounded;
    }
    EXPECT_TRUE(has(text("rms_norm_quant", out, "const float* scale"), "without a scale for each row"))
        << out;
    EXPECT_TRUE(has(text("rms_norm_static_quant", out, "float* scale"), "without a scale for each row"))
        << out;
  }
  for (const std::string out : {"uint8_t*", "unsigned char*", "__nv_fp8_e4m3*"})
    EXPECT_TRUE(has(text("rms_norm_quant", out, "float* scale"), "rms_norm_static_fp8_quant =")) << out;
}

TEST(NormAdapter, PointersToInt8BesideOtherCodes) {
  const std::string rest =
      "const half* x, const half* weight, float* scales, float eps, int rows, int cols) {}\n";
  const std::string int8 = "void rms_norm_dynamic_quant(int8_t* out, " + rest;
  const std::string fp8 = "void add_rms_norm_dynamic_quant(uint8_t* out, half* residual, " + rest;
  const NormAdapter both = read(int8 + fp8);
  EXPECT_TRUE(has(both.text, "E4M3FN | NORMPROOF_TAKES_ROW_INT8,")) << both.text;
  EXPECT_TRUE(has(both.text, "call.has_codes_of_int8(true); rms_norm_dynamic_quant(")) << both.text;
  EXPECT_TRUE(has(both.text, "call.has_codes_of_int8(false); add_rms_norm_dynamic_quant(")) << both.text;
  EXPECT_FALSE(has(read(fp8).text, "int8"));
}

TEST(NormAdapter, AnUpperBoundThatMustBeThere) {
  const NormAdapter adapter = read(
      "void rms_norm_dynamic_per_token_quant(Tensor& out, Tensor& x, Tensor& weight, Tensor& scales, double "
      "eps, "
      "Tensor const& scale_ub) { use(kInt8); }");
  EXPECT_TRUE(has(adapter.text, "call.epsilon, call.scale_ub_or_infinity());")) << adapter.text;
  EXPECT_TRUE(has(adapter.text, "ROW_INT8 | NORMPROOF_TAKES_ROW_SCALE_UB")) << adapter.text;
}

TEST(NormAdapter, AnEpsilonOfItsOwn) {
  const NormAdapter adapter = read(R"(
__global__ void k(half* x) { const float epsilon = 1e-5f; }
void rms_norm_f16_f32(torch::Tensor x, torch::Tensor y, float g) {}
void rms_norm_f32(torch::Tensor x, torch::Tensor y, float g) {}
)");
  EXPECT_TRUE(adapter.epsilon_is_fixed);
  EXPECT_EQ(adapter.limits, ".epsilon = 1e-5f");
  EXPECT_TRUE(has(adapter.text, "rms_norm_f16_f32(call.input, call.out, 1.0f);")) << adapter.text;
  EXPECT_TRUE(has(adapter.text, "NORMPROOF_TAKES_FP16 | NORMPROOF_TAKES_NO_WEIGHT,")) << adapter.text;
  EXPECT_EQ(adapter.operations[0].others, std::vector<std::string>{"rms_norm_f32"});
}

TEST(NormAdapter, WhatCannotBeCalled) {
  const NormAdapter adapter = read(R"(
__global__ void rms_norm_kernel(float* x) {}
void rms_norm(float* out, const float* in, Context& context) {}
template <int N> void rms_norm_of(float* out, const float* in) {}
void rms_norm_per_block_quant(at::Tensor& out, const at::Tensor& input, at::Tensor& scales) {}
void rms_norm_nothing(int rows) {}
int main() {}
)");
  EXPECT_TRUE(adapter.operations.empty() && adapter.text.empty());
  ASSERT_EQ(adapter.not_used.size(), 4u);
  EXPECT_EQ(adapter.not_used[0], "rms_norm, line 3: what is 'Context& context'?");
  EXPECT_EQ(adapter.not_used[1], "rms_norm_of, line 4: a template<int N>");
  EXPECT_TRUE(has(adapter.not_used[2], "a scale for each part of a row"));
  EXPECT_TRUE(has(adapter.not_used[3], "no input and output"));
}

TEST(NormAdapter, LinesAreNotTooLong) {
  const std::string text = read(
                               "void rms_norm(float* out, const float* in, const float* weight, int rows, "
                               "int cols, float eps, bool a_flag, "
                               "bool another_flag, cudaStream_t stream) {}")
                               .text;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    EXPECT_LE(end - begin, 120u) << text.substr(begin, end - begin);
    begin = end + 1;
  }
}

}  // namespace
}  // namespace normproof
