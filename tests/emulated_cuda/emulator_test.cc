// The emulation itself: what a device would punish must be seen.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "model/cuda/device.h"
#include "model/cuda/instructions.cuh"
#include "model/cuda/launch.cuh"

namespace hearsay::model::cuda {
namespace {

// To the end.
template <typename... Parameters>
void RunKernel(unsigned blocks, unsigned threads, std::size_t shared,
               void (*kernel)(Parameters...),
               std::type_identity_t<Parameters>... arguments) {
  const Stream stream = MakeStream();
  Launch(stream.get(), false, dim3(blocks), dim3(threads), shared, kernel,
         arguments...);
  Must(cudaStreamSynchronize(stream.get()), "finish");
}

__global__ void SumKernel(int* sum) {
  __shared__ int parts[64];
  parts[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncthreads();
  const int other = parts[63 - threadIdx.x];
  const int both = other + __shfl_xor_sync(0xffffffffU, other, 1);
  if (threadIdx.x % 2 == 0) atomicAdd(sum, both);
}

TEST(EmulatedTest, RunsBlocksAndThreads) {
  const auto sum = Zeros<int>(1);
  RunKernel(5, 64, 0, SumKernel, sum.get());
  int found = 0;
  Must(cudaMemcpy(&found, sum.get(), sizeof found, cudaMemcpyDeviceToHost),
       "copy");
  EXPECT_EQ(found, 5 * 63 * 64 / 2);
}

__global__ void CopyKernel(const float* from, float* seen) {
  auto* const shared = DynamicShared<float>();
  __shared__ float never;
  const unsigned to = SharedAddress(shared);
  if (threadIdx.x == 0) seen[0] = shared[0] + never;
  shared[0] = 0;
  CopyPiece(to, from, true);
  CommitCopies();
  CopyPiece(to + 16, from, false);
  CommitCopies();
  if (threadIdx.x == 0) seen[1] = shared[0];
  WaitForCopies<1>();
  if (threadIdx.x == 0) {
    seen[2] = shared[0];
    seen[3] = shared[4];
  }
  WaitForCopies<0>();
  if (threadIdx.x == 0) seen[4] = shared[4];
}

TEST(EmulatedTest, NothingIsThereBeforeItIsWaitedFor) {
  const Memory<float> from(4), seen(5);
  const std::vector<float> values(4, 3);
  UploadNow(from.get(), std::span<const float>(values));
  RunKernel(2, 1, 32, CopyKernel, from.get(), seen.get());
  std::vector<float> found(5);
  Must(cudaMemcpy(found.data(), seen.get(), seen.bytes(),
                  cudaMemcpyDeviceToHost),
       "copy");
  EXPECT_TRUE(std::isnan(found[0])) << "of a block before";
  EXPECT_TRUE(std::isnan(found[1])) << "before any wait";
  EXPECT_EQ(found[2], 3);
  EXPECT_TRUE(std::isnan(found[3])) << "the wait was for another";
  EXPECT_EQ(found[4], 0);
}

__global__ void NothingKernel() {}

TEST(EmulatedTest, RefusesLaunchesThatDoNotFit) {
  EXPECT_NO_THROW(RunKernel(1, 1024, 48 << 10, NothingKernel));
  EXPECT_THROW(RunKernel(0, 1, 0, NothingKernel), std::runtime_error);
  EXPECT_THROW(RunKernel(1, 1025, 0, NothingKernel), std::runtime_error);
  EXPECT_THROW(RunKernel(1, 1, (48 << 10) + 1, NothingKernel),
               std::runtime_error);
  EXPECT_THROW(AllowShared(NothingKernel, (227 << 10) + 1), std::runtime_error);
  AllowShared(NothingKernel, 100 << 10);
  EXPECT_NO_THROW(RunKernel(1, 1, 100 << 10, NothingKernel));
  EXPECT_THROW(RunKernel(1, 1, (100 << 10) + 1, NothingKernel),
               std::runtime_error);
}

TEST(EmulatedTest, WhatIsPutOnAStreamWaitsThere) {
  const Stream stream = MakeStream();
  const Pinned<int> pinned(1);
  const Memory<int> value(1);
  *pinned.get() = 1;
  Upload(value.get(), std::span<const int>(pinned.get(), 1), stream.get());
  *pinned.get() = 2;  // Too early.
  Must(cudaStreamSynchronize(stream.get()), "finish");
  int found = 0;
  Must(cudaMemcpy(&found, value.get(), sizeof found, cudaMemcpyDeviceToHost),
       "copy");
  EXPECT_EQ(found, 2);
  EXPECT_THROW(Upload(value.get() + 1, std::span<const int>(pinned.get(), 1),
                      stream.get()),
               std::runtime_error);
}

TEST(EmulatedTest, NobodyWaitsWhileAGraphIsRecorded) {
  const Stream stream = MakeStream(), side = MakeStream();
  const Event forked = MakeEvent();
  Must(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal),
       "record");
  EXPECT_NE(cudaStreamSynchronize(stream.get()), cudaSuccess);
  EXPECT_THROW(Memory<int>(1), std::runtime_error);
  Must(cudaEventRecord(forked.get(), stream.get()), "fork");
  Must(cudaStreamWaitEvent(side.get(), forked.get(), 0), "fork");
  Launch(side.get(), false, dim3(1), dim3(1), 0, NothingKernel);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream.get(), &graph),
            cudaErrorStreamCaptureUnjoined);
}

__global__ void TwoBarriersKernel() {
  if (threadIdx.x < 32)
    SyncFirst<64>();
  else
    __syncthreads();
}
TEST(EmulatedDeathTest, ABarrierThatNotAllReach) {
  EXPECT_DEATH(RunKernel(1, 64, 0, TwoBarriersKernel),
               "emulator_test.*wait.*SyncFirst.*from thread 32 on.*"
               "__syncthreads");
}

__global__ void TwoPlacesKernel() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}
TEST(EmulatedDeathTest, ABarrierInTwoPlaces) {
  EXPECT_DEATH(RunKernel(1, 64, 0, TwoPlacesKernel), "while others are in");
}

__global__ void HalfAWarpKernel() {
  if (threadIdx.x % 32 < 16) __syncwarp();
}
TEST(EmulatedDeathTest, AWarpsOperationThatNotAllReach) {
  EXPECT_DEATH(RunKernel(1, 64, 0, HalfAWarpKernel), "__syncwarp");
}

__global__ void TwoOperationsKernel(int* value) {
  if (threadIdx.x % 32 < 16)
    __syncwarp();
  else
    *value = __shfl_sync(0xffffffffU, 1, 0);
}
TEST(EmulatedDeathTest, AWarpInTwoOperations) {
  const Memory<int> value(1);
  EXPECT_DEATH(RunKernel(1, 64, 0, TwoOperationsKernel, value.get()),
               "while others of its warp are in");
}

__global__ void CopyFromKernel(const float* from, unsigned offset, bool waits) {
  CopyPiece(SharedAddress(DynamicShared<float>()) + offset, from, true);
  CommitCopies();
  if (waits) WaitForCopies<0>();
}
TEST(EmulatedDeathTest, CopiesThatMayNotBe) {
  const Memory<float> from(8);
  RunKernel(1, 1, 16, CopyFromKernel, from.get(), 0, true);
  EXPECT_DEATH(RunKernel(1, 1, 32, CopyFromKernel, from.get(), 8, true),
               "not aligned");
  EXPECT_DEATH(RunKernel(1, 1, 32, CopyFromKernel, from.get() + 1, 0, true),
               "not aligned");
  EXPECT_DEATH(RunKernel(1, 1, 16, CopyFromKernel, from.get(), 16, true),
               "not in shared memory");
  EXPECT_DEATH(RunKernel(1, 1, 16, CopyFromKernel, from.get(), 0, false),
               "under way");
}

void RunEarly() {
  const Stream stream = MakeStream();
  Launch(stream.get(), true, dim3(1), dim3(1), 0, NothingKernel);
  Must(cudaStreamSynchronize(stream.get()), "finish");
}
TEST(EmulatedDeathTest, AnEarlyLaunchThatDoesNotAwaitTheOneBefore) {
  EXPECT_DEATH(RunEarly(), "AwaitPrevious");
}

}  // namespace
}  // namespace hearsay::model::cuda
