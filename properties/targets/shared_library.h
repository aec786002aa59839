// SharedLibrary: functions from a library that is loaded while the program runs. Needs nothing but the
// dynamic loader, so that a worker process can use it too.
#pragma once

#include <dlfcn.h>

#include <string>

namespace normproof {

class SharedLibrary {
 public:
  // Loads it; it stays loaded until the process ends. `flags` are added to RTLD_NOW | RTLD_LOCAL.
  explicit SharedLibrary(const std::string& path, int flags = 0)
      : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | flags)) {
    if (handle_ == nullptr) problem_ = dlerror();
  }
  // Why it could not be loaded; empty where it was.
  const std::string& problem() const { return problem_; }

  // Sets `function` to that of this name, and to null where there is none.
  template <class Function>
  void find(Function& function, const char* name) {
    find_if_there(function, name);
    if (function == nullptr && missing_.empty()) missing_ = name;
  }
  // The same of one that may be missing.
  template <class Function>
  void find_if_there(Function& function, const char* name) {
    function = handle_ == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(handle_, name));
  }
  // The first that was looked for and is not there; empty where all are.
  const std::string& missing() const { return missing_; }

 private:
  void* handle_;
  std::string problem_, missing_;
};

}  // namespace normproof
