// A pool of threads that is handed down, never global. The caller works too: a pool of one runs everything in place.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

namespace deskhand {

class ThreadPool {
 public:
  // 0 threads: as many as this process may run on (affinity and cgroup counted, not the machine's).
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const noexcept { return threads_; }

  // Calls work(begin, end, worker) for parts of [0, count) of at least `grain` each, worker in [0, size()); returns when all are done.
  // The first exception is rethrown here. Calls from inside `work` run in place.
  void parallel_for(std::int64_t count, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t, int)>& work);

 private:
  struct Shared;
  void run_worker(int worker);

  int threads_;
  std::unique_ptr<Shared> shared_;
};

int usable_processors();

}  // namespace deskhand
