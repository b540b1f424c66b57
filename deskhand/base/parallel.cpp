// Workers spin for a short while before they sleep: an engine calls parallel_for hundreds of times a token, and waking a thread costs more
// than a small op. Parts are handed out by an atomic counter, large ones first, so a slow core takes fewer and the last ones end together.
// The caller waits only for workers that came while there were parts: on a machine with other work, a worker that is not running costs
// nothing.
#include "deskhand/base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace deskhand {
namespace {

using Work = std::function<void(std::int64_t, std::int64_t, int)>;

constexpr auto kAwake = std::chrono::microseconds(300);  // of waiting for work, then a worker sleeps
constexpr int kSpinsBeforeYield = 1000;                  // some 20 to 60 us; then whoever needs this processor gets it

// The gate: the number of the round in the upper bits, whether workers may still join it, and how many are inside.
constexpr std::uint64_t kOpen = 1 << 16, kInside = kOpen - 1, kRound = kOpen << 1;
thread_local bool inside_parallel_for = false;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// cgroup v2 writes "max 100000" or "200000 100000" (quota and period in microseconds).
int cgroup_processors() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 1 << 16;
  return std::max(1, static_cast<int>(std::stod(quota) / period + 0.5));
}

}  // namespace

int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int allowed = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : static_cast<int>(std::thread::hardware_concurrency());
  return std::max(1, std::min(allowed, cgroup_processors()));
}

struct ThreadPool::Shared {
  std::mutex caller;  // one parallel_for at a time
  std::atomic<std::uint64_t> gate{0};
  std::atomic<bool> stop{false};
  std::atomic<int> sleepers{0};
  std::mutex mutex;  // of sleeping, and of `failure`
  std::condition_variable wake;
  // Written while the gate is closed and nobody is inside.
  const Work* work = nullptr;
  std::int64_t count = 0, grain = 1, shares = 1;
  std::atomic<std::int64_t> next{0};
  std::exception_ptr failure;
  std::vector<std::thread> threads;

  // Half of an even share of what is left, whole grains.
  bool take_part(std::int64_t& begin, std::int64_t& end) {
    begin = next.load(std::memory_order_relaxed);
    do {
      if (begin >= count) return false;
      const std::int64_t grains = (count - begin + grain - 1) / grain;
      end = std::min(count, begin + (grains + shares - 1) / shares * grain);
    } while (!next.compare_exchange_weak(begin, end, std::memory_order_relaxed));
    return true;
  }

  void work_on_parts(int worker) {
    inside_parallel_for = true;
    try {
      for (std::int64_t begin, end; take_part(begin, end);) (*work)(begin, end, worker);
    } catch (...) {
      next.store(count);  // the others stop after the part they are at
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
    inside_parallel_for = false;
  }

  // Whether there is a round to join that is not `last`.
  bool calls(std::uint64_t now, std::uint64_t last) const { return (now & kOpen) && now / kRound != last; }

  void sleep(std::uint64_t last) {
    std::unique_lock lock(mutex);
    ++sleepers;  // before the gate is read again: the caller opens it, then reads this
    wake.wait(lock, [&] { return stop || calls(gate.load(), last); });
    --sleepers;
  }

  void wake_sleepers() {
    if (sleepers.load() == 0) return;
    { const std::lock_guard lock(mutex); }  // whoever counted itself is waiting by now
    wake.notify_all();
  }
};

ThreadPool::ThreadPool(int threads) : threads_(threads > 0 ? threads : usable_processors()), shared_(std::make_unique<Shared>()) {
  for (int worker = 1; worker < threads_; ++worker) shared_->threads.emplace_back([this, worker] { run_worker(worker); });
}

ThreadPool::~ThreadPool() {
  shared_->stop = true;
  shared_->wake_sleepers();
  for (auto& thread : shared_->threads) thread.join();
}

void ThreadPool::run_worker(int worker) {
  Shared& shared = *shared_;
  std::uint64_t last = 0;
  auto idle_since = std::chrono::steady_clock::now();
  for (int spins = 0; !shared.stop;) {
    std::uint64_t now = shared.gate.load(std::memory_order_acquire);
    if (shared.calls(now, last)) {
      if (!shared.gate.compare_exchange_weak(now, now + 1, std::memory_order_acq_rel)) continue;
      last = now / kRound;
      shared.work_on_parts(worker);
      shared.gate.fetch_sub(1, std::memory_order_release);
      idle_since = std::chrono::steady_clock::now();
      spins = 0;
    } else if (++spins < kSpinsBeforeYield) {
      relax();
    } else if (std::chrono::steady_clock::now() - idle_since < kAwake) {
      std::this_thread::yield();
    } else {
      shared.sleep(last);
    }
  }
}

void ThreadPool::parallel_for(std::int64_t count, std::int64_t grain, const Work& work) {
  if (count <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  if (threads_ == 1 || count <= grain || inside_parallel_for) return work(0, count, 0);
  const std::lock_guard turn(shared_->caller);
  Shared& shared = *shared_;
  shared.work = &work;
  shared.count = count;
  shared.grain = grain;
  shared.shares = std::int64_t{2} * threads_;
  shared.next = 0;
  shared.failure = nullptr;
  shared.gate.store((shared.gate.load(std::memory_order_relaxed) / kRound + 1) * kRound | kOpen);
  shared.wake_sleepers();
  shared.work_on_parts(0);
  shared.gate.fetch_and(~kOpen, std::memory_order_acq_rel);
  // A worker inside may have lost its processor, perhaps to this very thread.
  for (int spins = 0; (shared.gate.load(std::memory_order_acquire) & kInside) != 0; ++spins)
    spins < kSpinsBeforeYield ? relax() : std::this_thread::yield();
  if (shared.failure) std::rethrow_exception(shared.failure);
}

}  // namespace deskhand
