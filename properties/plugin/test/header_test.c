/* That the header is C, and that its table is laid out as every plug-in was compiled to see it. */
#include "properties/plugin/normproof_plugin.h"

_Static_assert(offsetof(normproof_plugin_info, abi_version) == 0, "abi_version comes first");
_Static_assert(offsetof(normproof_plugin_info, takes) == 4, "takes");
_Static_assert(offsetof(normproof_plugin_info, name) == 8, "name");
_Static_assert(offsetof(normproof_plugin_info, memory) == 16, "memory");
_Static_assert(sizeof(normproof_plugin_info) == 56, "four functions at the end");
_Static_assert(sizeof(normproof_plugin_call) == 24, "normproof_plugin_call");

const normproof_plugin_info* normproof_plugin(void) {
  static const normproof_plugin_info info = {NORMPROOF_PLUGIN_ABI, 0, "in C", kDLCPU, NULL, NULL, NULL, NULL};
  return &info;
}
