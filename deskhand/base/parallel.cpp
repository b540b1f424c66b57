// Workers spin for a short while before they sleep: an engine calls parallel_for hundreds of times a token, and waking a thread costs more
// than a small op. Parts are handed out by an atomic counter, so a slow core takes fewer.
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

constexpr auto kSpin = std::chrono::microseconds(200);
constexpr int kSpinsBeforeYield = 5000;
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
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<std::uint64_t> round{0};
  std::atomic<int> busy{0};
  std::atomic<bool> stop{false};
  std::atomic<std::int64_t> next{0};
  std::int64_t count = 0, part = 1;
  const Work* work = nullptr;
  std::exception_ptr failure;  // guarded by mutex
  std::vector<std::thread> threads;

  void take_parts(int worker) {
    inside_parallel_for = true;
    try {
      for (std::int64_t begin; (begin = next.fetch_add(part)) < count;) (*work)(begin, std::min(begin + part, count), worker);
    } catch (...) {
      next.store(count);  // the others stop after the part they are at
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
    inside_parallel_for = false;
  }
};

ThreadPool::ThreadPool(int threads) : threads_(threads > 0 ? threads : usable_processors()), shared_(std::make_unique<Shared>()) {
  for (int worker = 1; worker < threads_; ++worker) shared_->threads.emplace_back([this, worker] { run_worker(worker); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stop = true;
  }
  shared_->wake.notify_all();
  for (auto& thread : shared_->threads) thread.join();
}

void ThreadPool::run_worker(int worker) {
  Shared& shared = *shared_;
  for (std::uint64_t seen = 0;;) {
    const auto sleep_at = std::chrono::steady_clock::now() + kSpin;
    while (shared.round.load(std::memory_order_acquire) == seen && !shared.stop && std::chrono::steady_clock::now() < sleep_at) relax();
    if (shared.round.load(std::memory_order_acquire) == seen) {
      std::unique_lock lock(shared.mutex);
      shared.wake.wait(lock, [&] { return shared.stop || shared.round.load() != seen; });
    }
    if (shared.stop) return;
    ++seen;  // rounds cannot be missed: the caller waits for every worker
    shared.take_parts(worker);
    shared.busy.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::parallel_for(std::int64_t count, std::int64_t grain, const Work& work) {
  if (count <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  if (threads_ == 1 || count <= grain || inside_parallel_for) return work(0, count, 0);
  const std::lock_guard turn(shared_->caller);
  Shared& shared = *shared_;
  // Four parts a thread even out unequal cores; a part is a multiple of the grain.
  const std::int64_t parts = std::min<std::int64_t>((count + grain - 1) / grain, std::int64_t{4} * threads_);
  shared.part = ((count + parts - 1) / parts + grain - 1) / grain * grain;
  shared.count = count;
  shared.next = 0;
  shared.work = &work;
  shared.busy = threads_ - 1;
  {
    const std::lock_guard lock(shared.mutex);
    shared.failure = nullptr;
    shared.round.fetch_add(1, std::memory_order_release);
  }
  shared.wake.notify_all();
  shared.take_parts(0);
  // On a machine with other work the last worker may not be running at all: then waiting must leave it the processor.
  for (int spins = 0; shared.busy.load(std::memory_order_acquire) != 0; ++spins)
    spins < kSpinsBeforeYield ? relax() : std::this_thread::yield();
  if (shared.failure) std::rethrow_exception(shared.failure);
}

}  // namespace deskhand
