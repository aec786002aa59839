// libnormproof_bridge.so: a plug-in whose kernels live in another process, for functions that this machine's
// Python package does not fit, or that need an environment of their own. serve.py listens on the Unix socket
// that NORMPROOF_BRIDGE names. Its first line says what it takes; then, call by call, the tensors go there
// and the outputs come back, with nothing in between: rows packed, little-endian.
//
//   NORMPROOF_BRIDGE=/tmp/mine.socket normproof verify --target ./libnormproof_bridge.so
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "normproof_plugin.h"

namespace {

// The connection, which every process of this library makes for itself; what is wrong with it, or nothing.
int connection = -1;
std::string problem;

bool send_all(const void* data, std::size_t bytes) {
  const auto* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t count = send(connection, from, bytes, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    from += count;
    bytes -= static_cast<std::size_t>(count);
  }
  return true;
}

bool receive_all(void* data, std::size_t bytes) {
  auto* to = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t count = recv(connection, to, bytes, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    to += count;
    bytes -= static_cast<std::size_t>(count);
  }
  return true;
}

// A line without its end; empty where the connection has ended.
std::string receive_line() {
  std::string line;
  for (char letter = 0; receive_all(&letter, 1) && letter != '\n';) line += letter;
  return line;
}

bool connect_to_server() {
  const char* path = std::getenv("NORMPROOF_BRIDGE");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || *path == '\0') {
    problem = "NORMPROOF_BRIDGE names no socket; serve.py makes one";
  } else if (std::strlen(path) >= sizeof address.sun_path) {
    problem = std::string("NORMPROOF_BRIDGE is too long for a socket: ") + path;
  } else {
    std::memcpy(address.sun_path, path, std::strlen(path));
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection >= 0 &&
        connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
      return true;
    problem = std::string(path) + ": " + std::strerror(errno);
  }
  return false;
}

std::string_view dtype_name(DLDataType type) {
  if (type.code == kDLBfloat) return "bfloat16";
  if (type.code == kDLFloat) return type.bits == 16 ? "float16" : "float32";
  if (type.code == kDLInt) return "int8";
  switch (static_cast<int>(type.code)) {
    case NORMPROOF_DL_FLOAT8_E4M3FN:
      return "float8_e4m3fn";
    case NORMPROOF_DL_FLOAT8_E4M3FNUZ:
      return "float8_e4m3fnuz";
    case NORMPROOF_DL_FLOAT8_E5M2:
      return "float8_e5m2";
    default:
      return "float8_e5m2fnuz";
  }
}

// Roles of what comes out, and whose memory it has where it has none of its own.
struct OutputRole {
  const char* role;
  const char* place;
};
constexpr std::array kOutputs = {OutputRole{"out", "input"}, OutputRole{"residual_out", "residual"},
                                 OutputRole{"scales", ""}};

bool is_output(std::string_view role) {
  return std::ranges::any_of(kOutputs, [&](const OutputRole& output) { return role == output.role; });
}

std::size_t row_bytes(const DLTensor& tensor) {
  return static_cast<std::size_t>(tensor.shape[tensor.ndim - 1]) * (tensor.dtype.bits / 8);
}

// Calls visit(address) for each row of a tensor, in order.
template <class Visit>
void for_each_row(const DLTensor& tensor, const Visit& visit) {
  std::int64_t rows = 1;
  for (int axis = 0; axis < tensor.ndim - 1; ++axis) rows *= tensor.shape[axis];
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t rest = row, element = 0;
    for (int axis = tensor.ndim - 2; axis >= 0; --axis) {
      element += rest % tensor.shape[axis] * tensor.strides[axis];
      rest /= tensor.shape[axis];
    }
    visit(static_cast<char*>(tensor.data) + element * (tensor.dtype.bits / 8));
  }
}

// {"operation": "rms_norm", "parameters": {"epsilon": "0x1p-20"}, "tensors":
// [["input", "bfloat16", [2, 8]], ...]}
std::string header_of(const char* operation, const normproof_plugin_call& call) {
  std::string text = std::string("{\"operation\": \"") + operation + "\", \"parameters\": {";
  for (std::size_t i = 0; i < call.parameter_count; ++i) {
    std::array<char, 64> number{};
    std::snprintf(number.data(), number.size(), "%a", static_cast<double>(call.parameters[i].value));
    text += std::string(i > 0 ? ", \"" : "\"") + call.parameters[i].name + "\": \"" + number.data() + "\"";
  }
  text += "}, \"tensors\": [";
  for (std::size_t i = 0; i < call.argument_count; ++i) {
    const DLTensor& tensor = *call.arguments[i].tensor;
    text += std::string(i > 0 ? ", [\"" : "[\"") + call.arguments[i].role + "\", \"" +
            std::string(dtype_name(tensor.dtype)) + "\", [";
    for (int axis = 0; axis < tensor.ndim; ++axis)
      text += (axis > 0 ? ", " : "") + std::to_string(tensor.shape[axis]);
    text += "]]";
  }
  return text + "]}\n";
}

bool send_call(const char* operation, const normproof_plugin_call& call) {
  const std::string header = header_of(operation, call);
  bool sent = send_all(header.data(), header.size());
  for (std::size_t i = 0; i < call.argument_count && sent; ++i) {
    const DLTensor& tensor = *call.arguments[i].tensor;
    if (is_output(call.arguments[i].role)) continue;
    std::vector<char> packed;
    for_each_row(tensor, [&](const char* row) { packed.insert(packed.end(), row, row + row_bytes(tensor)); });
    sent = send_all(packed.data(), packed.size());
  }
  return sent;
}

// "ok" and the outputs in the order of kOutputs; or "not taken: why", "failed: why".
int32_t receive_answer(const normproof_plugin_call& call) {
  const std::string answer = receive_line();
  const auto explain = [&](std::size_t prefix) {
    std::snprintf(call.message, call.message_capacity, "%s", answer.c_str() + prefix);
  };
  if (answer.starts_with("not taken: ")) {
    explain(11);
    return NORMPROOF_PLUGIN_NOT_TAKEN;
  }
  if (answer != "ok") {
    explain(answer.starts_with("failed: ") ? 8 : 0);
    if (answer.empty())
      std::snprintf(call.message, call.message_capacity, "the process behind the bridge has ended");
    return NORMPROOF_PLUGIN_FAILED;
  }
  for (const OutputRole& output : kOutputs) {
    const DLTensor* tensor = normproof_tensor_of(&call, output.role);
    if (tensor == nullptr) tensor = normproof_tensor_of(&call, output.place);
    if (tensor == nullptr) continue;
    bool complete = true;
    for_each_row(*tensor, [&](char* row) { complete = complete && receive_all(row, row_bytes(*tensor)); });
    if (complete) continue;
    std::snprintf(call.message, call.message_capacity, "the process behind the bridge ended within %s",
                  output.role);
    return NORMPROOF_PLUGIN_FAILED;
  }
  return NORMPROOF_PLUGIN_OK;
}

int32_t run(const char* operation, const normproof_plugin_call& call) {
  if (send_call(operation, call)) return receive_answer(call);
  std::snprintf(call.message, call.message_capacity, "the process behind the bridge has ended");
  return NORMPROOF_PLUGIN_FAILED;
}

// The names of the server's operations: a function of a plug-in is not told which operation it is called for,
// so each has one of its own.
constexpr std::size_t kMostOperations = 64;
std::vector<std::string> operation_names;

template <std::size_t kIndex>
int32_t run_operation(const normproof_plugin_call* call) {
  return run(operation_names[kIndex].c_str(), *call);
}

template <std::size_t... kIndices>
constexpr std::array<int32_t (*)(const normproof_plugin_call*), sizeof...(kIndices)> functions(
    std::index_sequence<kIndices...>) {
  return {&run_operation<kIndices>...};
}

// Every word of the server's first line but its name stands for bits.
struct Word {
  std::string_view word;
  uint32_t takes;
};
constexpr std::array kWords = {Word{"bfloat16", NORMPROOF_TAKES_BF16},
                               Word{"float16", NORMPROOF_TAKES_FP16},
                               Word{"float32", NORMPROOF_TAKES_FP32},
                               Word{"weight:none", NORMPROOF_TAKES_NO_WEIGHT},
                               Word{"weight:same", NORMPROOF_TAKES_SAME_WEIGHT},
                               Word{"weight:float32", NORMPROOF_TAKES_FP32_WEIGHT},
                               Word{"float8_e4m3fn", NORMPROOF_TAKES_E4M3FN},
                               Word{"float8_e5m2", NORMPROOF_TAKES_E5M2},
                               Word{"float8_e4m3fnuz", NORMPROOF_TAKES_E4M3FNUZ},
                               Word{"float8_e5m2fnuz", NORMPROOF_TAKES_E5M2FNUZ},
                               Word{"int8", NORMPROOF_TAKES_ROW_INT8},
                               Word{"scale_ub", NORMPROOF_TAKES_ROW_SCALE_UB}};

constexpr std::string_view kOperationWord = "operation:";

// What the server says of itself: "NAME WORD..."; false and a problem where a word is not known.
struct Description {
  std::string name;
  std::vector<normproof_plugin_operation> operations;
  std::vector<const normproof_plugin_operation*> list;
  normproof_plugin_info info{};
};

bool describe(const std::string& line, Description& description) {
  static constexpr auto kRun = functions(std::make_index_sequence<kMostOperations>());
  uint32_t takes = 0;
  std::size_t begin = line.find(' ');
  description.name = line.substr(0, begin);
  while (begin != std::string::npos) {
    const std::size_t end = line.find(' ', begin + 1);
    const std::string word = line.substr(begin + 1, end == std::string::npos ? end : end - begin - 1);
    begin = end;
    const auto bits = std::ranges::find(kWords, std::string_view(word), &Word::word);
    if (bits != kWords.end()) {
      takes |= bits->takes;
    } else if (word.starts_with(kOperationWord) && operation_names.size() < kMostOperations) {
      operation_names.push_back(word.substr(kOperationWord.size()));
    } else {
      problem = "the process behind NORMPROOF_BRIDGE says a word that is not known: '" + word + "'";
      return false;
    }
  }
  for (std::size_t i = 0; i < operation_names.size(); ++i)
    description.operations.push_back(
        {sizeof(normproof_plugin_operation), operation_names[i].c_str(), kRun[i], nullptr});
  for (const auto& operation : description.operations) description.list.push_back(&operation);
  description.list.push_back(nullptr);
  description.info = {NORMPROOF_PLUGIN_ABI,     takes,
                      description.name.c_str(), kDLCPU,
                      sizeof(description.info), description.list.data()};
  return true;
}

}  // namespace

extern "C" NORMPROOF_PLUGIN_EXPORT const normproof_plugin_info* normproof_plugin(void) {
  static Description description;
  static const bool usable = connect_to_server() && describe(receive_line(), description);
  if (usable) return &description.info;
  std::fprintf(stderr, "normproof_bridge: %s\n", problem.c_str());
  return nullptr;
}
