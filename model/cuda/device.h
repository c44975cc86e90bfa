// Ownership on the device, and errors as exceptions that say what failed.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

namespace hearsay::model::cuda {

inline void Must(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  // Else the next launch, which asks for the last error, would be blamed.
  static_cast<void>(cudaGetLastError());
  throw std::runtime_error(std::string("CUDA: cannot ") + what + ": " +
                           cudaGetErrorString(error));
}

inline void Must(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw std::runtime_error(std::string("cuBLAS: cannot ") + what + ": " +
                             cublasLtGetStatusString(status));
}

// `count` values on the device, or (kPinned) on the host where the device
// copies from without a detour. Not initialised.
enum class Where { kDevice, kPinned };

template <typename T, Where where = Where::kDevice>
class Memory {
 public:
  Memory() = default;
  explicit Memory(std::size_t count) : count_(count) {
    if (count == 0) return;
    void* at = nullptr;
    if constexpr (where == Where::kDevice)
      Must(cudaMalloc(&at, count * sizeof(T)), "allocate device memory");
    else
      Must(cudaMallocHost(&at, count * sizeof(T)), "allocate pinned memory");
    at_ = static_cast<T*>(at);
  }
  ~Memory() {
    if constexpr (where == Where::kDevice)
      cudaFree(at_);
    else
      cudaFreeHost(at_);
  }
  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(count_, other.count_);
    return *this;
  }

  T* get() const { return at_; }
  std::size_t size() const { return count_; }
  std::size_t bytes() const { return count_ * sizeof(T); }

 private:
  T* at_ = nullptr;
  std::size_t count_ = 0;
};

template <typename T>
using Pinned = Memory<T, Where::kPinned>;

// Owns a handle that `make` makes and `destroy` destroys.
template <typename Handle, auto destroy>
class Owned {
 public:
  Owned() = default;
  explicit Owned(Handle handle) : handle_(handle) {}
  ~Owned() {
    if (handle_ != nullptr) destroy(handle_);
  }
  Owned(Owned&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  Handle get() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};

using Stream = Owned<cudaStream_t, cudaStreamDestroy>;
using Event = Owned<cudaEvent_t, cudaEventDestroy>;
using Graph = Owned<cudaGraph_t, cudaGraphDestroy>;
using GraphExec = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;

inline Stream MakeStream() {
  cudaStream_t stream = nullptr;
  Must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
       "make a stream");
  return Stream(stream);
}

inline Event MakeEvent() {
  cudaEvent_t event = nullptr;
  Must(cudaEventCreateWithFlags(&event, cudaEventDisableTiming),
       "make an event");
  return Event(event);
}

// Streams of ours do not wait for the one of calls that name none, nor does the
// host: what was put there has ended after this.
inline void FinishUnnamed() { Must(cudaStreamSynchronize(nullptr), "finish"); }

// Memory that reads as 0, on every stream.
template <typename T>
Memory<T> Zeros(std::size_t count) {
  Memory<T> memory(count);
  if (count == 0) return memory;
  Must(cudaMemset(memory.get(), 0, memory.bytes()), "clear");
  FinishUnnamed();
  return memory;
}

template <typename T>
void Upload(T* to, std::span<const T> from, cudaStream_t stream) {
  if (from.empty()) return;
  Must(cudaMemcpyAsync(to, from.data(), from.size_bytes(),
                       cudaMemcpyHostToDevice, stream),
       "copy to the device");
}

// The same, and every stream sees it.
template <typename T>
void UploadNow(T* to, std::span<const T> from) {
  Upload(to, from, nullptr);
  FinishUnnamed();
}

template <typename T>
void Download(std::span<T> to, const T* from, cudaStream_t stream) {
  if (to.empty()) return;
  Must(cudaMemcpyAsync(to.data(), from, to.size_bytes(), cudaMemcpyDeviceToHost,
                       stream),
       "copy from the device");
}

}  // namespace hearsay::model::cuda
