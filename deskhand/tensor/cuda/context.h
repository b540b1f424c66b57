// One GPU as ops use it: a stream, a cuBLASLt handle and scratch. Backend points to one. Free of CUDA's types, so that every room may
// include it; what is inside is in handles.h. All work is done in the stream's order; a CudaContext serves one thread at a time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "deskhand/tensor/cuda/devices.h"
#include "deskhand/tensor/tensor.h"

namespace deskhand {

struct CudaHandles;

class CudaContext {
 public:
  // Of those that can be used the one of this number. Throws Error(kUsage) that says what is wrong and what to do: no CUDA in this build,
  // no GPU, a driver too old, a card below CudaDevice::kOldest.
  explicit CudaContext(int number = 0);
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  const CudaDevice& card() const;  // its memory as it was before this context took any
  std::size_t free_bytes() const;  // now
  void synchronise();              // waits for all work; what went wrong in a kernel is thrown here at the latest

  // The bytes of one view into another of the same size, each on the host or on the GPU. Returns when host memory may be used again.
  void copy(View to, ConstView from);
  Tensor to_gpu(ConstView from);
  Tensor to_host(ConstView from);

  // At least `bytes`, 256-byte aligned, contents undefined; grows to the largest need, then stays. Valid for kernels of this stream until
  // the slot is asked for again.
  std::byte* scratch(int slot, std::int64_t bytes);
  template <class T>
  T* scratch(int slot, std::int64_t count) {
    return reinterpret_cast<T*>(scratch(slot, count * static_cast<std::int64_t>(sizeof(T))));
  }
  // Host values copied into a slot of scratch. A slot that holds these very values already is left as it is: a pass gives its positions
  // and bounds to the ops of every layer. Kernels may not write into it.
  template <class T>
  const T* upload(int slot, std::span<const T> values) {
    return reinterpret_cast<const T*>(upload(slot, std::as_bytes(values)));
  }
  std::byte* upload(int slot, std::span<const std::byte> values);
  void download(std::span<std::byte> to, const void* from);  // waits

  // As scratch, with slots of its own, but of the host: kernels read and write it over the bus, at this very address. For the little whose
  // copy would take longer to begin than to be made. Waits if work that uses it may be under way since it was asked for before.
  std::byte* pinned(int slot, std::int64_t bytes);
  template <class T>
  T* pinned(int slot, std::int64_t count) {
    return reinterpret_cast<T*>(pinned(slot, count * static_cast<std::int64_t>(sizeof(T))));
  }
  // Waits until `has_come`, which looks at what the last kernel writes there, says so: sooner than synchronise() would return. What went
  // wrong in a kernel is thrown here.
  void await(const std::function<bool()>& has_come);

  CudaHandles& handles() { return *handles_; }

 private:
  std::unique_ptr<CudaHandles> handles_;
};

}  // namespace deskhand
