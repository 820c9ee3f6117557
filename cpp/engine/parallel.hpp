// Threads: the only place that knows OpenMP.
#pragma once
#include <functional>

#include "core/types.hpp"

namespace fanin::engine {

/// Threads used when a call asks for none: set_default_threads(), else what OpenMP would take
/// (OMP_NUM_THREADS, the cpus this process may use).
int default_threads();
void set_default_threads(int threads);

/// The threads a call takes that asks for `threads` (0: the default); 1 in a forked child.
int threads_for(int threads);

/// The same for work whose length is known, in nanoseconds of one thread: by default one thread
/// does what is not worth sharing (docs/decisions/0011).
int threads_for(int threads, double nanoseconds);

/// Threads of a loop: so many, or (0) at most the default, and one while little is left to do.
struct Team {
  Team(int asked) : threads(threads_for(asked)), chosen(asked > 0) {}
  int threads;
  bool chosen;
};

/// 1, and one more in every forked child: threads of an earlier number do not live here.
unsigned process_number();

/// Called between chunks by the thread that entered parallel_for; true stops the loop. It may
/// throw.
using Poll = std::function<bool()>;

/// Runs body(chunk) for every chunk in [0, chunks) on at most the threads of `team`, in rising
/// order per thread; on fewer where the system starts no more. A team that the caller did not
/// choose is called only when the first thread has seen, by its own time, that enough is left to be
/// worth it. Returns false if `poll` stopped it; without one the loop listens. Serial in a forked
/// child, because the OpenMP runtime does not survive fork. The floating-point environment of every
/// worker is the default one meanwhile. An exception of `body` or `poll` is rethrown here after all
/// threads have ended.
///   contiguous   each thread takes one contiguous run of chunks (first touch of fresh memory)
bool parallel_for(u64 chunks, Team team, bool contiguous, const Poll& poll,
                  const std::function<void(u64)>& body);

/// What a loop throws that has no poll of its own and was stopped by the one its thread listens to.
struct Interrupted {};

/// For its own lifetime this thread listens to a poll (an empty one: to nothing): every loop below
/// that has none of its own asks it between chunks and throws Interrupted once it returns true. The
/// other threads of such a loop hear of it between the chunks of loops of their own.
class Listening {
 public:
  explicit Listening(Poll poll);
  ~Listening();
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

 private:
  Poll poll_;
  const Poll* before_;
};

/// Throws Interrupted if the poll that this thread listens to asks to stop. For long work between
/// two chunks.
void listen();

/// The calling thread's number among those of its parallel_for; 0 outside.
int number_in_team();

/// Runs body() here, under the default floating-point environment. Returns what it returns.
bool in_default_environment(const std::function<bool()>& body);

}  // namespace fanin::engine
