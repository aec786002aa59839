// Supervisor: a process that has the rest of the program done by a child, and sees to it that nothing which
// the child begins outlives it.
#pragma once

namespace normproof::worker {

// Forks. Returns true in the child, which goes on with the program. The process that called stays behind and
// never returns: once the child has ended, or nobody holds the other end of the socket `connection` any more,
// it ends all that the child has begun, also what has left its process group and session, and then ends as
// the child did. Until then it holds `connection` open: who waits at the other end sees it closed when all
// have ended. To be called before there are threads. Returns false, with errno,
// where no process can be started.
bool become_supervised(int connection);

}  // namespace normproof::worker
