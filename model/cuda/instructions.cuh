// The instructions that CUDA C++ has no word for: copies that run beside the
// program, matrices from shared memory to registers, products on tensor cores,
// and barriers of some of a block's threads. tests/emulated_cuda has them for a
// CPU.
//
// Of compute capability 8.0 and later. Source: PTX ISA 8.x, cp.async, ldmatrix,
// mma.m16n8k16, bar.sync.
#pragma once

#include <cuda_bf16.h>

namespace hearsay::model::cuda {

// A block's shared memory whose size the launch says.
template <typename T>
__device__ inline T* DynamicShared() {
  extern __shared__ __align__(1024) unsigned char bytes[];
  return reinterpret_cast<T*>(bytes);
}

// As the instructions below know it.
__device__ inline unsigned SharedAddress(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

// 16 bytes to shared memory; zeros unless `real`.
__device__ inline void CopyPiece(unsigned to, const void* from, bool real) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to),
               "l"(from), "r"(real ? 16 : 0));
}
__device__ inline void CopyWord(unsigned to, const void* from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(from));
}
// Of this thread's copies: those since the last call are one group; and waits
// until all but the latest groups are there.
__device__ inline void CommitCopies() {
  asm volatile("cp.async.commit_group;");
}
template <int kLatest>
__device__ inline void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLatest) : "memory");
}

// The first kThreads of a block wait for each other, and for nobody else.
template <int kThreads>
__device__ inline void SyncFirst() {
  asm volatile("bar.sync 1, %0;" ::"n"(kThreads) : "memory");
}

// Four 8x8 matrices; lane i gives the address of row i % 8 of the i / 8th.
struct Fragment {
  unsigned words[4];
};
__device__ inline Fragment LoadFragment(unsigned shared) {
  Fragment f;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(f.words[0]), "=r"(f.words[1]), "=r"(f.words[2]),
                 "=r"(f.words[3])
               : "r"(shared)
               : "memory");
  return f;
}
__device__ inline Fragment LoadTransposed(unsigned shared) {
  Fragment f;
  asm volatile(
      "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
      : "=r"(f.words[0]), "=r"(f.words[1]), "=r"(f.words[2]), "=r"(f.words[3])
      : "r"(shared)
      : "memory");
  return f;
}

// sum (16, 8) += a (16, 16) times (16, 8). A lane holds of rows lane / 4 and
// lane / 4 + 8 the columns 2 (lane % 4) and the next.
__device__ inline void MultiplyAdd(float (&sum)[4], const Fragment& a,
                                   unsigned b_low, unsigned b_high) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
      "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a.words[0]), "r"(a.words[1]), "r"(a.words[2]), "r"(a.words[3]),
        "r"(b_low), "r"(b_high));
}

}  // namespace hearsay::model::cuda
