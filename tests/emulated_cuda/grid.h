// Runs a kernel: blocks one after the other, in no order that anybody could
// rely upon, the threads of a block as fibers. What would be wrong on a device
// ends the process and says where: what no thread may do, and waits that end
// nowhere.
//
// Threads: one at a time.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <source_location>
#include <vector>

#include "tests/emulated_cuda/fibers.h"

namespace emulated_cuda {

inline constexpr int kWarp = 32;
inline constexpr std::size_t kSharedWithoutAsking = std::size_t{48} << 10;
inline constexpr std::size_t kMostShared = std::size_t{227} << 10;
// Where shared memory begins, for instructions: not at 0, which is a mistake.
inline constexpr unsigned kSharedBase = 1U << 14;

// What is not initialised: NaN in every format, and no index of anything.
inline constexpr int kPoison = 0xff;

// Of everything that happens in no certain order. $HEARSAY_EMULATION_SEED
// begins it elsewhere.
std::mt19937& Chance();

struct Configuration {
  dim3 grid, block;
  std::size_t shared = 0;
  // May begin before what came before it has ended.
  bool early = false;
  std::source_location where;
};

// A copy to shared memory that is under way.
struct PendingCopy {
  std::byte* to;
  const std::byte* from;  // null: zeros
  std::size_t bytes;
  int group;
};

struct Warp;
struct Thread {
  explicit Thread(void (*main)()) : fiber(main) {}
  Fiber fiber;
  uint3 index{};
  int number = 0, lane = 0;
  Warp* warp = nullptr;
  bool done = false, awaited = false;
  const char* waits_for = "";
  void* argument = nullptr;  // of the warp's operation
  std::vector<PendingCopy> copies;
  int group = 0;  // of the copies to come
};

struct Warp {
  std::array<Thread*, kWarp> lanes{};
  int live = 0, arrived = 0;
  const char* operation = "";
};

// The thread that runs. device.h makes CUDA's words of these.
extern Thread* current;
extern uint3 block_index;
extern Configuration running;

// One launch.
void RunGrid(const Configuration& configuration,
             const std::function<void()>& kernel);

[[noreturn]] void Fail(const char* what);

// Barrier 0 is of all threads that have not ended, who must come to it in one
// place; barrier 1 of the first `threads`.
void SyncBlock(const std::source_location& where);
void SyncFirstThreads(int threads);

// All lanes of the warp come together, with an argument each; the last of them
// does `work` for all. `name` says what they do: all the same. A device would
// let those go on without whom a lane has ended; nothing here means to.
using Lanes = std::array<void*, kWarp>;
void InWarp(const char* name, void* argument, void (*work)(const Lanes&));

std::byte* SharedBytes();
unsigned SharedNumber(const void* at);
// Of `bytes` bytes, aligned to as much.
std::byte* SharedAt(unsigned number, std::size_t bytes);

void BeginCopy(unsigned to, const void* from, std::size_t bytes, bool real);
void CommitCopyGroup();
void FinishCopyGroups(int but_latest);

}  // namespace emulated_cuda
