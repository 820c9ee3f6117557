#include "engine/parallel.hpp"

#include <omp.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "engine/environment.hpp"

namespace fanin::engine {
namespace {

/// Of one thread: what is not worth calling others for. They cost 5 us where they are idle; where
/// other programs have their cores, the caller waits at the end of the loop until the system lets
/// them run, 4 ms and more.
constexpr double kWorthSharing = 500e3;

std::atomic<int> chosen_threads{0};
std::atomic<unsigned> forked{0};  ///< how many forks lie between this process and the first

struct OfThread {
  const Poll* heard = nullptr;  ///< what it listens to
  int team = 1;                 ///< threads of the last team that it led
};
// In memory that a thread has from its start: that of a library loaded later is else taken at its
// first use, and glibc ends the process where there is none.
#if defined(__GLIBC__)
[[gnu::tls_model("initial-exec")]]
#endif
thread_local OfThread own;

void mark_forked() { forked.fetch_add(1); }
const int fork_hook = pthread_atfork(nullptr, nullptr, mark_forked);

/// The stack that libgomp gives its threads: OMP_STACKSIZE, a number with B, K, M or G (K if
/// none); 0 where it is not set.
std::size_t stack_bytes() {
  const char* text = std::getenv("OMP_STACKSIZE");
  if (text == nullptr) text = std::getenv("GOMP_STACKSIZE");
  if (text == nullptr) return 0;
  char* end = nullptr;
  const unsigned long long number = std::strtoull(text, &end, 10);
  while (std::isspace(static_cast<unsigned char>(*end)) != 0) ++end;
  switch (std::tolower(static_cast<unsigned char>(*end))) {
    case 'b': return std::size_t(number);
    case 'm': return std::size_t(number) << 20;
    case 'g': return std::size_t(number) << 30;
    default: return std::size_t(number) << 10;
  }
}
const std::size_t worker_stack = stack_bytes();  // libgomp, too, reads it once

/// How many of `wanted` threads the system would start now. libgomp ends the process where it
/// cannot start one, so they are tried first: whenever this thread asks for more than its last team
/// had (libgomp lets the others go).
int startable(int wanted) {
  if (wanted > own.team) {
    std::mutex gate;
    std::vector<pthread_t> tried(std::size_t(wanted - 1));
    const auto wait = [](void* held) -> void* {
      const std::lock_guard<std::mutex> pass(*static_cast<std::mutex*>(held));
      return nullptr;
    };
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (worker_stack > 0) pthread_attr_setstacksize(&attributes, worker_stack);
    std::size_t started = 0;
    gate.lock();
    while (started < tried.size() && pthread_create(&tried[started], &attributes, wait, &gate) == 0)
      ++started;
    gate.unlock();
    pthread_attr_destroy(&attributes);
    for (std::size_t i = 0; i < started; ++i) pthread_join(tried[i], nullptr);
    wanted = int(started) + 1;
  }
  own.team = wanted;
  return wanted;
}

/// Nanoseconds that this thread has run: those in which it waited for its core do not count.
double own_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) * 1e9 + double(now.tv_nsec);
}

}  // namespace

int default_threads() {
  const int chosen = chosen_threads.load();
  return chosen > 0 ? chosen : std::max(1, std::min(omp_get_max_threads(), omp_get_num_procs()));
}

void set_default_threads(int threads) { chosen_threads.store(threads); }

int threads_for(int threads) {
  if (forked.load() != 0) return 1;
  return threads > 0 ? threads : default_threads();
}

int threads_for(int threads, double nanoseconds) {
  return threads <= 0 && nanoseconds < kWorthSharing ? 1 : threads_for(threads);
}

unsigned process_number() { return 1 + forked.load(); }

Listening::Listening(Poll poll) : poll_(std::move(poll)), before_(own.heard) { own.heard = &poll_; }
Listening::~Listening() { own.heard = before_; }

void listen() {
  if (own.heard != nullptr && *own.heard && (*own.heard)()) throw Interrupted();
}

int number_in_team() { return omp_get_thread_num(); }

bool in_default_environment(const std::function<bool()>& body) {
  const DefaultFloatingPoint environment;
  return body();
}

bool parallel_for(u64 chunks, Team team, bool contiguous, const Poll& poll,
                  const std::function<void(u64)>& body) {
  const auto asked_to_stop = [&poll] {
    if (poll) return poll();
    listen();
    return false;
  };
  u64 done = 0;
  // Chunks that this thread does alone: all, or while what is left is not known to be worth
  // sharing.
  const auto alone = [&](bool all) {
    const DefaultFloatingPoint environment;
    const double begin = all ? 0 : own_time();
    while (done < chunks) {
      if (asked_to_stop()) return false;
      body(done++);
      if (!all && (own_time() - begin) * double(chunks - done) > kWorthSharing * double(done))
        break;
    }
    return true;
  };
  int threads = int(std::min<u64>(u64(team.threads), chunks));
  if (threads > 1 && !team.chosen && !alone(false)) return false;
  threads = int(std::min<u64>(u64(threads), chunks - done));
  if (threads > 1 && forked.load() == 0) threads = startable(threads);
  if (threads <= 1 || forked.load() != 0) return alone(true);

  std::atomic<u64> next{done};
  std::atomic<bool> stop{false}, interrupted{false};
  std::exception_ptr failure;
  std::mutex failure_lock;
#pragma omp parallel num_threads(threads)
  {
    const DefaultFloatingPoint environment;
    try {
      const u64 count = u64(omp_get_num_threads()), me = u64(omp_get_thread_num());
      std::optional<Listening> follow;
      if (me != 0) follow.emplace([&stop] { return stop.load(std::memory_order_relaxed); });
      const u64 left = chunks - done, more = left % count;
      const u64 begin = done + left / count * me + std::min(me, more);
      const u64 end = begin + left / count + (me < more ? 1 : 0);
      for (u64 step = begin; !stop.load(std::memory_order_relaxed); ++step) {
        const u64 chunk = contiguous ? step : next.fetch_add(1, std::memory_order_relaxed);
        if (chunk >= (contiguous ? end : chunks)) break;
        if (me == 0 && asked_to_stop()) {
          interrupted.store(true);
          stop.store(true);
          break;
        }
        body(chunk);
      }
    } catch (...) {
      const std::lock_guard<std::mutex> hold(failure_lock);
      if (!failure) failure = std::current_exception();
      stop.store(true);
    }
  }
  if (interrupted.load()) return false;
  if (failure) std::rethrow_exception(failure);
  return true;
}

}  // namespace fanin::engine
