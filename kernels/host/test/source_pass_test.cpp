// The source pass on sources that are awkward: what it must change, and what it must leave alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "kernels/host/source_pass/overloads.h"
#include "kernels/host/source_pass/rewrite.h"

namespace normproof::source_pass {
namespace {

std::string rewritten(const std::string& source) {
  std::vector<Token> tokens = tokens_of(source);
  Names names;
  add_defined_names(tokens, names);
  rewrite(tokens, names);
  const std::string text = text_of(tokens);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), std::count(source.begin(), source.end(), '\n'))
      << "lines moved in\n"
      << text;
  return text;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void expect_untouched(const std::string& source) { EXPECT_EQ(rewritten(source), source); }

const std::string kBegin = "::normproof::host::bracket_launch([&](auto&... normproof_arguments) { ";
const std::string kEnd = "(normproof_arguments...); })";

std::string launched(const std::string& kernel, const std::string& configuration) {
  return kBegin + kernel + kEnd + ".configured(" + configuration + ")";
}

TEST(SourcePassOverloads, OfHostAndDeviceTheDevicesStays) {
  const auto dropped = [](const std::string& source) {
    std::vector<Token> tokens = tokens_of(source);
    drop_host_overloads(tokens);
    return text_of(tokens);
  };
  EXPECT_EQ(
      dropped("struct U {\n static __host__ int lanes() { if (x) { y(); }\n return 1; }\n"
              " static __device__ constexpr int lanes() { return 64; }\n int lanes;\n};"),
      "struct U {\n          \n   \n static __device__ constexpr int lanes() { return 64; }\n int lanes;\n};");
  for (const std::string both : {"__host__ int f(int x) { return 1; } __device__ int f(long x) { return 2; }",
                                 "__host__ __device__ int f() { return 1; } __device__ int g() { return 2; }",
                                 "__host__ int f(); __device__ int f() { return 2; }",
                                 "template <class T> __host__ int f() { return 1; } "
                                 "template <class T> __device__ int f() { return 2; }"})
    EXPECT_EQ(dropped(both), both);
}

TEST(SourcePassLaunch, KernelsOfEveryForm) {
  EXPECT_EQ(rewritten("void f() { k<<<1, 32>>>(p, 3); }"),
            "void f() { " + launched("k", "1, 32") + "(p, 3); }");
  EXPECT_EQ(rewritten("k <<< g , b , 0 , s >>> (p);"),
            launched("k", " g , b , 0 , s ").insert(kBegin.size() + 1 + kEnd.size(), " ") + " (p);");
  EXPECT_EQ(rewritten("k<float, 8><<<g, b>>>(p);"), launched("k<float, 8>", "g, b") + "(p);");
  EXPECT_EQ(rewritten("k<A<B<int>>><<<g, b>>>(p);"), launched("k<A<B<int>>>", "g, b") + "(p);");
  EXPECT_EQ(rewritten("a::b<T>::k<(1 > 0), T><<<g, b>>>(p);"),
            launched("a::b<T>::k<(1 > 0), T>", "g, b") + "(p);");
  EXPECT_EQ(rewritten("return ::k<<<g, b>>>();"), "return " + launched("::k", "g, b") + "();");
  EXPECT_EQ(rewritten("else k<<<g, b>>>();"), "else " + launched("k", "g, b") + "();");
  EXPECT_EQ(rewritten("(*table[i])<<<g, b>>>();"), launched("(*table[i])", "g, b") + "();");
  EXPECT_EQ(rewritten("this->k<<<g, b>>>();"), launched("this->k", "g, b") + "();");
  EXPECT_EQ(rewritten("pick(a, b)<<<g, b>>>();"), launched("pick(a, b)", "g, b") + "();");
}

TEST(SourcePassLaunch, ConfigurationsWithShiftsAndCalls) {
  EXPECT_EQ(rewritten("k<<<(n >> 3), f(a >> 2, b << 1)>>>(p);"),
            launched("k", "(n >> 3), f(a >> 2, b << 1)") + "(p);");
  EXPECT_EQ(rewritten("k<<<dim3{1, 2}, v[i >> 1], n * sizeof(T)>>>(p);"),
            launched("k", "dim3{1, 2}, v[i >> 1], n * sizeof(T)") + "(p);");
}

TEST(SourcePassLaunch, OverSeveralLinesInMacrosAndLambdas) {
  EXPECT_EQ(rewritten("k<T>\n    <<<g,\n       b>>>(\n        p);"),
            kBegin + "k<T>" + kEnd + "\n    .configured(g,\n       b)(\n        p);");
  const std::string macro = "#define LAUNCH(V) \\\n  k<V><<<g, b>>>(p, \\\n    q)\nint x;";
  EXPECT_EQ(rewritten(macro),
            "#define LAUNCH(V) \\\n  " + launched("k<V>", "g, b") + "(p, \\\n    q)\nint x;");
  EXPECT_TRUE(has(rewritten("D(t, [&] { k<t><<<g, b>>>(p); });"), launched("k<t>", "g, b")));
}

// Blanks behind the backslash that continues a line, which compilers take. The brace of the macro opens no
// scope of the file: an extern array behind it is one of the namespace.
TEST(SourcePassLaunch, LinesContinuedInSpiteOfBlanks) {
  const std::string macro = "#define LAUNCH(V) \\   \n  { k<V><<<g, b>>>(p); \\\t\n  }\nint x;";
  EXPECT_EQ(rewritten(macro),
            "#define LAUNCH(V) \\   \n  { " + launched("k<V>", "g, b") + "(p); \\\t\n  }\nint x;");
  EXPECT_TRUE(has(rewritten("#define OPEN { \\  \n  {\nextern __shared__ float s[];"), "DynamicSharedArray"));
}

TEST(SourcePassLaunch, WhatIsNone) {
  expect_untouched("// k<<<1, 2>>>(p)\n/* __shared__ int x[2]; k<<<1,\n1>>>() */ int a = 1 << 2;");
  expect_untouched("const char* s = \"k<<<1, 2>>>(p) \\\" __shared__\"; char c = '\"'; int b = 1'000'000;");
  expect_untouched("auto r = R\"x(k<<<1,\n1>>>(p) __shared__ int y; )\" )x\"; int e = 0x1p-3f;");
  expect_untouched("// continued \\\n __shared__ int x;\nint y;");
  expect_untouched("// continued in spite of blanks \\ \t\n __shared__ int x;\nint y;");
  expect_untouched("#if defined(asm) // __shared__\n#error k<<<1, 1>>>()\n#endif\n#pragma unroll\n");
}

TEST(SourcePassLaunch, WhatCannotBeTold) {
  EXPECT_TRUE(has(rewritten("k<<<g, b;"), "GCC error"));
  EXPECT_TRUE(has(rewritten("= <<<g, b>>>(p);"), "GCC error"));
}

std::string shared(const std::string& number, const std::string& declaration, const std::string& name) {
  (void)name;
  return "struct normproof_shared_" + number + " {  " + declaration + "; };";
}
std::string reference(const std::string& number, const std::string& name) {
  return " static char normproof_tag_" + number + "; auto& " + name +
         " = ::normproof::host::shared_variable<normproof_shared_" + number + ">(&normproof_tag_" + number +
         ")." + name + ";";
}

TEST(SourcePassShared, VariablesOfEveryForm) {
  const auto in_function = [](const std::string& text) { return "void f() { " + text + " }"; };
  const auto expect = [&](const std::string& declaration, const std::string& name) {
    EXPECT_EQ(rewritten(in_function("__shared__ " + declaration + ";")),
              in_function(shared("1", declaration, name) + reference("1", name)));
  };
  expect("float x", "x");
  expect("float tile[N][M + 1]", "tile");
  expect("typename BlockReduce::TempStorage temp", "temp");
  expect("cub::BlockReduce<float, 256>::TempStorage temp", "temp");
  expect("struct { float a; int b; } pair", "pair");
  expect("__align__(16) unsigned char raw[sizeof(T) * (N < 3 ? 1 : 2)]", "raw");
  EXPECT_EQ(rewritten(in_function("static __shared__ int x;")),
            in_function(" " + shared("1", "int x", "x") + reference("1", "x")));
  EXPECT_TRUE(has(rewritten(in_function("volatile __shared__ int x;")), "{ volatile  int x; };"));
}

TEST(SourcePassShared, SeveralNames) {
  EXPECT_EQ(
      rewritten("void f() { __shared__ float a[2], b; }"),
      "void f() { struct normproof_shared_1 {  float a[2]; }; struct normproof_shared_2 {  float  b; };" +
          reference("1", "a") + reference("2", "b") + " }");
}

TEST(SourcePassShared, Dynamic) {
  EXPECT_EQ(rewritten("void f() { extern __shared__ float x[]; }"),
            "void f() {   float * const x = ::normproof::host::DynamicSharedMemory{}; }");
  EXPECT_TRUE(has(rewritten("void f() { extern __shared__ __align__(16) unsigned char raw[]; }"),
                  "unsigned char * const raw = ::normproof::host::DynamicSharedMemory{};"));
  EXPECT_TRUE(has(rewritten("namespace n {\nextern __shared__ float x[];\n}"),
                  "inline constexpr ::normproof::host::DynamicSharedArray< float > x{};"));
  EXPECT_TRUE(has(rewritten("void f() { extern __shared__ float x[][4]; }"), "GCC error"));
}

TEST(SourcePassShared, WhatCudaHasNot) {
  EXPECT_TRUE(has(rewritten("void f() { __shared__ int x = 3; }"), "initializer"));
  EXPECT_TRUE(has(rewritten("__shared__ int x;"), "outside a function"));
}

TEST(SourcePassErrors, SayWhatAndWhatToDo) {
  const std::string text = rewritten("void f() {\n  y = tex1Dfetch<float>(t, i);\n}");
  EXPECT_TRUE(
      has(text, "\n  y = _Pragma(\"GCC error \\\"normproof: tex1Dfetch: textures cannot be read on the CPU;"))
      << text;
  EXPECT_TRUE(has(text, "NORMPROOF_HOST_EXECUTION"));
  EXPECT_TRUE(has(rewritten("void f() { cg::this_grid().sync(); }"), "blocks run one after the other"));
  EXPECT_TRUE(has(rewritten("asm(\"nop;\");"), "inline PTX outside a function"));
}

TEST(SourcePassErrors, IntrinsicsThatAreNotHere) {
  EXPECT_TRUE(has(rewritten("void f() { x = __shfl_xor(a, 1); }"), "take the one with _sync and a mask"));
  EXPECT_TRUE(has(rewritten("int f() { return __brkpt(); }"), "GCC error")) << "a call is no definition";
  // What is not known to be missing is left to the compiler; so are functions and macros of the source
  // itself.
  expect_untouched("struct __pair { __pair() = default; explicit __pair(float v) : x(v) {} float x; };");
  expect_untouched("int h() { return __builtin_popcount(3) + (int)sizeof(__int128) + __mine(1); }");
  expect_untouched("__device__ float __brkpt(float x) { return x; } void f() { __brkpt(1); }");
  expect_untouched("#define __brkpt(x) ((x) + (x))\nvoid f() { __brkpt(1); }");
  expect_untouched("template <class T> T erfinv(T x) { return x; } void f() { erfinv(1); }");
}

TEST(SourcePassPtx, BecomesACall) {
  const auto in_function = [](const std::string& text) { return "void f() { " + text + " }"; };
  EXPECT_EQ(
      rewritten(in_function("asm volatile(\"ex2.approx.ftz.f32 %0, %1;\" : \"=f\"(y) : \"f\"(x));")),
      in_function("::normproof::host::InlineAssembly (\"ex2.approx.ftz.f32 %0, %1;\" ) .output(\"=f\", y)  "
                  ".input(\"f\", x).run();"));
  EXPECT_EQ(rewritten(in_function("asm(\"bar.sync 0;\");")),
            in_function("::normproof::host::InlineAssembly(\"bar.sync 0;\").run();"));
  EXPECT_EQ(
      rewritten(in_function(
          "asm(\"a\" \"b\" : [d] \"=r\"(d), \"+r\"(e) : \"l\"(g(p, 1)), \"n\"(N) : \"memory\", \"cc\");")),
      in_function(
          "::normproof::host::InlineAssembly(\"a\" \"b\" )  .output(\"=r\", d, \"d\") .output(\"+r\", e) "
          " .input(\"l\", g(p, 1)) .input(\"n\", N)   .run();"));
  EXPECT_EQ(rewritten(in_function("__asm__ __volatile__(\"x;\" ::: \"memory\");")),
            in_function("::normproof::host::InlineAssembly (\"x;\" ) .run();"));
}

TEST(SourcePassPragma, InAMacro) {
  EXPECT_EQ(rewritten("#define UNROLL #pragma unroll\nint x;"), "#define UNROLL  \nint x;");
  EXPECT_EQ(rewritten("#define UNROLL(n) \\\n  #pragma unroll n \\\n  for\nint x;"),
            "#define UNROLL(n) \\\n     \\\n  for\nint x;");
  EXPECT_EQ(rewritten("#define QUIET #pragma GCC diagnostic ignored \"-Wall\"\n"),
            "#define QUIET _Pragma(\" GCC diagnostic ignored \\\"-Wall\\\"\")    \n");
  expect_untouched("#pragma unroll\n");
}

TEST(SourcePassCasts, ToPointers) {
  EXPECT_EQ(rewritten("reinterpret_cast<const A<B, 3>*>(p)[i]"),
            "::normproof::host::pointer_cast<const A<B, 3>*>(p)[i]");
  EXPECT_EQ(rewritten("x = ((float4*)p)[i] + *(const ns::V<T, 8> *)(q + 1);"),
            "x = (::normproof::host::PointerCast<float4*>() ->* p)[i] + "
            "*::normproof::host::PointerCast<const ns::V<T, 8> *>() ->* (q + 1);");
  EXPECT_EQ(rewritten("return (T*)&x;"), "return ::normproof::host::PointerCast<T*>() ->* &x;");
}

TEST(SourcePassCasts, ToOtherTypesAndNone) {
  expect_untouched("reinterpret_cast<uintptr_t>(p) + reinterpret_cast<T&>(x) + (int)x + (a * b) + (a) * b;");
  expect_untouched(
      "void f(float*); void g(float *) const; int s = sizeof(float*); std::function<void(int*)> h;");
  expect_untouched(
      "auto l = [](float*) { return 1; }; using F = void (*)(int*); void (*k)(float*) = nullptr;");
}

TEST(SourcePass, NoinlineOutsideAttributes) {
  EXPECT_EQ(rewritten("__noinline__ void f();"), "__attribute__((noinline)) void f();");
  expect_untouched("__attribute__((__noinline__)) void f();");
}

TEST(SourcePass, Includes) {
  std::vector<Token> tokens =
      tokens_of("#include \"a.cuh\" // \"b\"\n  # include <c/d.h>\n#include MACRO\n\"include\"");
  std::vector<std::string> seen;
  EXPECT_TRUE(rewrite_includes(tokens, [&](std::string_view name, bool quoted) {
    seen.push_back((quoted ? "quoted " : "in brackets ") + std::string(name));
    return quoted ? std::string("/x/a.cuh") : std::string();
  }));
  EXPECT_EQ(seen, (std::vector<std::string>{"quoted a.cuh", "in brackets c/d.h"}));
  EXPECT_EQ(text_of(tokens),
            "#include \"/x/a.cuh\" // \"b\"\n  # include <c/d.h>\n#include MACRO\n\"include\"");
}

TEST(SourcePass, UnterminatedSourcesEnd) {
  for (const char* source : {"\"abc", "R\"(abc", "/* abc", "'", "R\"abc", "#include \"", "k<<<", "__shared__",
                             "extern __shared__ int", "\\", "a::b<<<1>>>", "asm", "}}}>>>", "#include <"}) {
    rewritten(source);
    std::vector<Token> tokens = tokens_of(source);
    EXPECT_EQ(text_of(tokens), source);
    rewrite_includes(tokens, [](std::string_view, bool) { return std::string(); });
  }
}

}  // namespace
}  // namespace normproof::source_pass
