#include "deskhand/tensor/cuda/context.h"

#include <algorithm>
#include <string>
#include <thread>

#include "deskhand/base/error.h"
#include "deskhand/tensor/cuda/memory.h"

#ifdef DESKHAND_CUDA
#include "deskhand/base/progress.h"
#include "deskhand/tensor/cuda/handles.h"
#endif

namespace deskhand {

#ifdef DESKHAND_CUDA
namespace {

constexpr std::int64_t kAlign = 256;
constexpr std::string_view kLessMemory =
    "end what else runs there, take smaller passes (data.pass_tokens), shorter prompts (answer.max_prompt_tokens) or a model of fewer "
    "bits, "
    "or use --device cpu";

[[noreturn]] void fail_for_memory(std::size_t bytes, std::string_view what) {
  std::size_t free = 0, total = 0;
  cudaGetLastError();  // an allocation that failed leaves an error that is not sticky
  cudaMemGetInfo(&free, &total);
  throw Error(ExitCode::kTooLarge, "out of memory on the GPU: {} needs {}, of {} there are {} free; {}", what,
              human_bytes(static_cast<double>(bytes)), human_bytes(static_cast<double>(total)), human_bytes(static_cast<double>(free)),
              kLessMemory);
}

bool is_recorded(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &status));
  return status != cudaStreamCaptureStatusNone;
}

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

std::size_t in_whole_units(std::size_t bytes) {
  constexpr std::size_t kUnit = 16;
  return std::max<std::size_t>((bytes + kUnit - 1) / kUnit, 1) * kUnit;
}

std::byte* allocate(std::size_t bytes, std::string_view what) {
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, in_whole_units(bytes));
  if (status == cudaErrorMemoryAllocation) fail_for_memory(bytes, what);
  check(status);
  return static_cast<std::byte*>(data);
}

}  // namespace

void check(cudaError_t status, std::source_location at) {
  if (status == cudaSuccess) return;
  if (status == cudaErrorMemoryAllocation)
    throw Error(ExitCode::kTooLarge, "out of memory on the GPU ({}:{}); {}", at.file_name(), at.line(), kLessMemory);
  if (status == cudaErrorNoKernelImageForDevice)
    throw Error(ExitCode::kUsage,
                "this build has no kernels for this GPU; build with its architecture in CMAKE_CUDA_ARCHITECTURES, or use --device cpu");
  throw Error(ExitCode::kInternal, "{}:{}: CUDA says {}: {}", at.file_name(), at.line(), cudaGetErrorName(status),
              cudaGetErrorString(status));
}

void check(cublasStatus_t status, std::source_location at) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw Error(ExitCode::kInternal, "{}:{}: cuBLASLt says {}", at.file_name(), at.line(), cublasLtGetStatusName(status));
}

void GpuMemory::Free::operator()(std::byte* data) const noexcept {
  cudaFree(data);
}

void PinnedMemory::Free::operator()(std::byte* data) const noexcept {
  cudaFreeHost(data);
}

std::byte* allocate_on_gpu(std::size_t bytes, std::string_view what) {
  std::byte* const data = allocate(bytes, what);
  cudaError_t status = cudaMemset(data, 0, in_whole_units(bytes));
  if (status == cudaSuccess) status = cudaDeviceSynchronize();  // streams that do not block do not wait for the memset
  if (status != cudaSuccess) cudaFree(data);
  check(status);
  return data;
}

void free_on_gpu(std::byte* data) noexcept {
  cudaFree(data);
}

void copy_through_gpu(std::byte* to, const std::byte* from, std::size_t bytes) {
  check(cudaDeviceSynchronize());
  check(cudaMemcpy(to, from, bytes, cudaMemcpyDefault));
  check(cudaDeviceSynchronize());
}

CudaContext::CudaContext(int number) : handles_(std::make_unique<CudaHandles>()) {
  const CudaDevices found = cuda_devices(static_cast<std::size_t>(std::max(number, 0)) + 1);
  if (found.devices.empty()) throw Error(ExitCode::kUsage, "no GPU can be used: {}, or use --device cpu", found.reason);
  if (number < 0 || static_cast<std::size_t>(number) >= found.devices.size())
    throw Error(ExitCode::kUsage, "there is no GPU {}: they are numbered 0 to {}", number, found.devices.size() - 1);
  const CudaDevice& card = found.devices[static_cast<std::size_t>(number)];
  if (!card.is_new_enough())
    throw Error(ExitCode::kUsage, "{} has compute capability {}.{}, {}.0 or newer is wanted; use --device cpu", card.name,
                card.capability_major, card.capability_minor, CudaDevice::kOldest);
  handles_->card = card;
  check(cudaSetDevice(card.number));
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  handles_->stream.reset(stream);
  cublasLtHandle_t matmul = nullptr;
  check(cublasLtCreate(&matmul));
  handles_->matmul.reset(matmul);
  handles_->matmul_workspace.data.reset(allocate(CudaHandles::kMatmulBytes, "the products' workspace"));
  handles_->matmul_workspace.bytes = CudaHandles::kMatmulBytes;
}

CudaContext::~CudaContext() {
  cudaStreamSynchronize(handles_->stream.get());
}

const CudaDevice& CudaContext::card() const {
  return handles_->card;
}

std::size_t CudaContext::free_bytes() const {
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total));
  return free;
}

void CudaContext::synchronise() {
  check(cudaStreamSynchronize(handles_->stream.get()));
  for (PinnedMemory& one : handles_->pinned) one.is_in_use = false;
}

void CudaContext::copy(View to, ConstView from) {
  DESKHAND_ASSERT(to.bytes() == from.bytes(), "views of as many bytes");
  if (to.bytes() == 0) return;
  check(cudaMemcpyAsync(to.data(), from.data(), static_cast<std::size_t>(to.bytes()), cudaMemcpyDefault, handles_->stream.get()));
  if (to.device() == Device::kCpu || from.device() == Device::kCpu) synchronise();
}

std::byte* CudaContext::scratch(int slot, std::int64_t bytes) {
  const auto index = static_cast<std::size_t>(slot);
  handles_->uploaded.erase(slot);
  if (index >= handles_->slots.size()) handles_->slots.resize(index + 1);
  GpuMemory& at = handles_->slots[index];
  if (at.bytes < bytes || !at.data) {
    DESKHAND_ASSERT(!is_recorded(handles_->stream.get()), "a pass that is recorded has grown its scratch before");
    const std::int64_t rounded = (std::max<std::int64_t>(bytes, 1) + kAlign - 1) / kAlign * kAlign;
    at.data.reset();  // waits for the kernels that use it
    at.bytes = 0;
    at.data.reset(allocate(static_cast<std::size_t>(rounded), "scratch"));
    at.bytes = rounded;
  }
  return at.data.get();
}

std::byte* CudaContext::upload(int slot, std::span<const std::byte> values) {
  if (GatheredUploads* const to = handles_->gathered) {
    std::byte* const at = scratch(slot, static_cast<std::int64_t>(values.size()));
    to->values.insert(to->values.end(), values.begin(), values.end());
    to->values.resize(to->values.size() + -values.size() % GatheredUploads::kUnit);
    to->slots.push_back({at, static_cast<std::int64_t>(to->values.size() / GatheredUploads::kUnit)});
    handles_->uploaded[slot].assign(values.begin(), values.end());
    return at;
  }
  if (const auto held = handles_->uploaded.find(slot);
      held != handles_->uploaded.end() && std::equal(held->second.begin(), held->second.end(), values.begin(), values.end()))
    return handles_->slots[static_cast<std::size_t>(slot)].data.get();
  DESKHAND_ASSERT(!is_recorded(handles_->stream.get()), "a pass that is recorded finds its values in their slots");
  std::byte* const to = scratch(slot, static_cast<std::int64_t>(values.size()));
  // From pageable memory: the call returns when the values have been read.
  if (!values.empty()) check(cudaMemcpyAsync(to, values.data(), values.size(), cudaMemcpyHostToDevice, handles_->stream.get()));
  handles_->uploaded[slot].assign(values.begin(), values.end());
  return to;
}

std::byte* CudaContext::pinned(int slot, std::int64_t bytes) {
  const auto index = static_cast<std::size_t>(slot);
  if (index >= handles_->pinned.size()) handles_->pinned.resize(index + 1);
  PinnedMemory& at = handles_->pinned[index];
  if (at.is_in_use) synchronise();
  if (at.bytes < bytes || !at.data) {
    constexpr std::int64_t kLeast = 4096;
    const std::int64_t wanted = std::max(bytes, std::max(2 * at.bytes, kLeast));
    at.data.reset();
    at.bytes = 0;
    void* made = nullptr;
    if (cudaHostAlloc(&made, static_cast<std::size_t>(wanted), cudaHostAllocMapped) != cudaSuccess) {
      cudaGetLastError();
      throw Error(ExitCode::kTooLarge, "the host has no {} of memory that the GPU can read; end other programs, or use --device cpu",
                  human_bytes(static_cast<double>(wanted)));
    }
    at.data.reset(static_cast<std::byte*>(made));
    at.bytes = wanted;
  }
  at.is_in_use = true;
  return at.data.get();
}

void CudaContext::await(const std::function<bool()>& has_come) {
  constexpr int kLooks = 1000;  // some 50 us
  for (bool has_ended = false;;) {
    for (int i = 0; i < kLooks; ++i) {
      if (has_come()) {
        for (PinnedMemory& one : handles_->pinned) one.is_in_use = false;
        return;
      }
      relax();
    }
    DESKHAND_ASSERT(!has_ended, "a kernel that writes what is waited for");
    const cudaError_t status = cudaStreamQuery(handles_->stream.get());
    has_ended = status == cudaSuccess;
    if (status != cudaErrorNotReady) check(status);
    std::this_thread::yield();  // between two questions to the driver: a build without it was slower (docs/cuda.md)
  }
}

void CudaContext::download(std::span<std::byte> to, const void* from) {
  if (!to.empty()) check(cudaMemcpyAsync(to.data(), from, to.size(), cudaMemcpyDeviceToHost, handles_->stream.get()));
  synchronise();
}

#else

struct CudaHandles {
  CudaDevice card;
};

namespace {

[[noreturn]] void fail_without_cuda() {
  throw Error(ExitCode::kUsage, "this build has no CUDA: build with DESKHAND_CUDA=ON (CMake preset `cuda`), or use --device cpu");
}

}  // namespace

std::byte* allocate_on_gpu(std::size_t, std::string_view) {
  fail_without_cuda();
}
void free_on_gpu(std::byte*) noexcept {}
void copy_through_gpu(std::byte*, const std::byte*, std::size_t) {
  fail_without_cuda();
}

CudaContext::CudaContext(int) {
  fail_without_cuda();
}
CudaContext::~CudaContext() = default;
const CudaDevice& CudaContext::card() const {
  return handles_->card;
}
std::size_t CudaContext::free_bytes() const {
  return 0;
}
void CudaContext::synchronise() {}
void CudaContext::copy(View, ConstView) {
  fail_without_cuda();
}
std::byte* CudaContext::scratch(int, std::int64_t) {
  fail_without_cuda();
}
std::byte* CudaContext::upload(int, std::span<const std::byte>) {
  fail_without_cuda();
}
void CudaContext::download(std::span<std::byte>, const void*) {
  fail_without_cuda();
}
std::byte* CudaContext::pinned(int, std::int64_t) {
  fail_without_cuda();
}
void CudaContext::await(const std::function<bool()>&) {
  fail_without_cuda();
}

#endif

Tensor CudaContext::to_gpu(ConstView from) {
  Tensor tensor(from.type(), from.shape(), Device::kCuda);
  copy(tensor, from);
  return tensor;
}

Tensor CudaContext::to_host(ConstView from) {
  Tensor tensor(from.type(), from.shape());
  copy(tensor, from);
  return tensor;
}

}  // namespace deskhand
