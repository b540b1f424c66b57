// What ops run on, made once for a command: the processor for everything, and for language models the GPU where one is used.
#pragma once
#include <memory>

#include "deskhand/app/command.h"
#include "deskhand/ops/backend.h"
#include "deskhand/tensor/cuda/context.h"

namespace deskhand {

struct Engine {
  ThreadPool pool;
  Workspace workspace;
  std::unique_ptr<CudaContext> gpu;
  Backend backend;  // of the processor
  Backend models;   // of language models; the GPU's, or backend again

  explicit Engine(int threads, Compute compute = Compute::kAuto);
  // With the GPU if the command line asks for it, or leaves it open and there is one; said on stderr. Throws Error(kUsage) where it asks
  // for one that cannot be used.
  Engine(const Globals& globals, Compute compute);
  Engine(const Engine&) = delete;  // the backends point into it
  Engine& operator=(const Engine&) = delete;
};

// The GPU that commands would use, by its name; empty: none, or `globals` want none.
std::string gpu_in_use(const Globals& globals);

}  // namespace deskhand
