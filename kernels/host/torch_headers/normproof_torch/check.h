// torch's checks: one that fails throws, and the plug-in's call reports it as a finding, or as not taken.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace c10 {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  const char* what_without_backtrace() const { return what(); }
  const std::string msg() const { return what(); }
};
// What a kernel says that it does not do: NORMPROOF_PLUGIN_NOT_TAKEN.
class NotImplementedError : public Error {
 public:
  using Error::Error;
};
class ValueError : public Error {
 public:
  using Error::Error;
};

template <class... Parts>
std::string str(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

namespace detail {
template <class Kind = Error, class... Parts>
[[noreturn]] void fail(const char* file, int line, const char* condition, const Parts&... parts) {
  std::string text = str(parts...);
  if (text.empty()) text = std::string("expected ") + condition;
  throw Kind(text + " (" + file + ":" + std::to_string(line) + ")");
}
}  // namespace detail

}  // namespace c10

#define TORCH_CHECK(condition, ...)                                                                   \
  do {                                                                                                \
    if (!(condition)) ::c10::detail::fail(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__); \
  } while (false)
#define TORCH_CHECK_NOT_IMPLEMENTED(condition, ...)                                           \
  do {                                                                                        \
    if (!(condition))                                                                         \
      ::c10::detail::fail<::c10::NotImplementedError>(__FILE__, __LINE__,                     \
                                                      #condition __VA_OPT__(, ) __VA_ARGS__); \
  } while (false)
#define TORCH_INTERNAL_ASSERT(condition, ...) TORCH_CHECK(condition __VA_OPT__(, ) __VA_ARGS__)
#define TORCH_INTERNAL_ASSERT_DEBUG_ONLY(condition, ...) TORCH_CHECK(condition __VA_OPT__(, ) __VA_ARGS__)
#define TORCH_CHECK_VALUE(condition, ...) TORCH_CHECK(condition __VA_OPT__(, ) __VA_ARGS__)
#define TORCH_CHECK_TYPE(condition, ...) TORCH_CHECK(condition __VA_OPT__(, ) __VA_ARGS__)
#define TORCH_CHECK_INDEX(condition, ...) TORCH_CHECK(condition __VA_OPT__(, ) __VA_ARGS__)
#define TORCH_CHECK_EQ(a, b) TORCH_CHECK((a) == (b), #a " is ", (a), ", " #b " is ", (b))
#define TORCH_CHECK_NE(a, b) TORCH_CHECK((a) != (b), #a " and " #b " are both ", (a))
#define TORCH_CHECK_LE(a, b) TORCH_CHECK((a) <= (b), #a " is ", (a), ", " #b " is ", (b))
#define TORCH_CHECK_LT(a, b) TORCH_CHECK((a) < (b), #a " is ", (a), ", " #b " is ", (b))
#define TORCH_CHECK_GE(a, b) TORCH_CHECK((a) >= (b), #a " is ", (a), ", " #b " is ", (b))
#define TORCH_CHECK_GT(a, b) TORCH_CHECK((a) > (b), #a " is ", (a), ", " #b " is ", (b))
#define STD_TORCH_CHECK(condition, ...) TORCH_CHECK(condition __VA_OPT__(, ) __VA_ARGS__)
#define AT_ASSERT(condition) TORCH_CHECK(condition)
#define AT_ASSERTM(condition, ...) TORCH_CHECK(condition, __VA_ARGS__)
#define AT_CHECK(condition, ...) TORCH_CHECK(condition __VA_OPT__(, ) __VA_ARGS__)
#define AT_ERROR(...) ::c10::detail::fail(__FILE__, __LINE__, "", __VA_ARGS__)
#define TORCH_WARN(...) static_cast<void>(::c10::str(__VA_ARGS__))
#define TORCH_WARN_ONCE(...) static_cast<void>(::c10::str(__VA_ARGS__))
