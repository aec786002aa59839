// Cells in processes of their own: a mutant may crash, hang, or keep something between calls.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "properties/matrix/cell.h"

namespace normproof::matrix {

// Seconds of processor time that this process has used, all threads together.
double processor_seconds();

// Runs `work` in a forked process; the caller must have no other threads. A process that uses more than
// `processor_limit` seconds is ended.
class CellProcess {
 public:
  CellProcess(const std::function<Cell()>& work, double processor_limit);
  ~CellProcess();
  CellProcess(const CellProcess&) = delete;
  CellProcess& operator=(const CellProcess&) = delete;

  // The cell once the process has ended, else nothing; does not wait.
  std::optional<Cell> poll();
  Cell wait();

 private:
  Cell collect(int status);

  pid_t process_ = -1;
  int pipe_ = -1;
  double processor_limit_;
  std::string received_;
};

}  // namespace normproof::matrix
