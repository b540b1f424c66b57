// What ops run on, made once for a command.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

struct Engine {
  ThreadPool pool;
  Workspace workspace;
  Backend backend;

  explicit Engine(int threads, Compute compute = Compute::kAuto) : pool(threads) {
    backend = {.kind = Backend::Kind::kCpu, .pool = &pool, .workspace = &workspace, .cpu = CpuFeatures::detect(), .compute = compute};
  }
  Engine(const Engine&) = delete;  // the backend points into it
  Engine& operator=(const Engine&) = delete;
};

}  // namespace deskhand
