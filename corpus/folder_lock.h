// One process at a time works in a folder.
#pragma once

#include <filesystem>

namespace normproof {

// Waits until no other process holds the folder, and holds it while it lives; the kernel lets go of it for a
// process that dies. Throws std::system_error naming the folder.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock();

 private:
  int descriptor_;
};

}  // namespace normproof
