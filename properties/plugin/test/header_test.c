/* That the header is C, and that its structures are laid out as every plug-in was compiled to see them. */
#include "properties/plugin/normproof_plugin.h"

_Static_assert(offsetof(normproof_plugin_info, abi_version) == 0, "abi_version comes first");
_Static_assert(offsetof(normproof_plugin_info, takes) == 4, "takes");
_Static_assert(offsetof(normproof_plugin_info, name) == 8, "name");
_Static_assert(offsetof(normproof_plugin_info, memory) == 16, "memory");
_Static_assert(offsetof(normproof_plugin_info, struct_size) == 24, "struct_size");
_Static_assert(offsetof(normproof_plugin_info, operations) == 32, "operations");
_Static_assert(offsetof(normproof_plugin_call, stream) == 8, "stream");
_Static_assert(offsetof(normproof_plugin_call, message) == 16, "message");
_Static_assert(offsetof(normproof_plugin_call, message_capacity) == 24, "message_capacity");
_Static_assert(offsetof(normproof_plugin_call, arguments) == 32, "arguments");
_Static_assert(offsetof(normproof_plugin_call, parameters) == 48, "parameters");
_Static_assert(offsetof(normproof_plugin_operation, run) == 16, "run");
_Static_assert(offsetof(normproof_plugin_operation, limits) == 24, "limits");
_Static_assert(offsetof(normproof_plugin_limits, alignment) == 48, "alignment");
_Static_assert(offsetof(normproof_plugin_limits, epsilon) == 68, "epsilon");

const normproof_plugin_info* normproof_plugin(void) {
  static const normproof_plugin_operation* const operations[] = {NULL};
  static const normproof_plugin_info info = {NORMPROOF_PLUGIN_ABI, 0,         "in C", kDLCPU,
                                             sizeof info,          operations};
  return &info;
}
