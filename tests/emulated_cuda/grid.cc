#include "tests/emulated_cuda/grid.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <numeric>
#include <string>

// The linker's: around all variables of __shared__.
extern "C" {
extern std::byte __start_emulated_shared[];
extern std::byte __stop_emulated_shared[];
}

namespace emulated_cuda {

Thread* current = nullptr;
uint3 block_index{};
Configuration running;

namespace {

struct Barrier {
  std::vector<Thread*> waiting;
  int threads = 0;  // that it is of; 0: all that have not ended
  unsigned line = 0;
};

struct Free {
  void operator()(void* at) const { std::free(at); }
};

constexpr std::size_t kSharedAlignment = 1024;

Fiber host;
const std::function<void()>* kernel = nullptr;
std::vector<std::unique_ptr<Thread>> threads;  // of all blocks, in turn
std::size_t block_threads = 0;
int live = 0;  // of them
std::vector<Warp> warps;
Barrier barriers[2];
std::unique_ptr<std::byte, Free> shared;

// Who may go on. A block takes them from one end or from the other: warps that
// run ahead as far as they can see other faults than warps side by side.
std::deque<Thread*> ready;
bool ahead = true;

void MakeReady(Thread* thread) {
  thread->waits_for = "";
  ready.push_back(thread);
}

[[noreturn]] void FailToEnd() {
  std::string what = "threads wait for others that never come:";
  const char* last = nullptr;
  for (std::size_t t = 0; t < block_threads; ++t) {
    const Thread& thread = *threads[t];
    const char* state = thread.done ? "has ended" : thread.waits_for;
    if (last != nullptr && std::strcmp(state, last) == 0) continue;
    last = state;
    what += " from thread " + std::to_string(t) + " on: " + state + ";";
  }
  Fail(what.c_str());
}

// The next that may; gives back when this one may again.
void Yield() {
  if (ready.empty()) FailToEnd();
  Thread* const self = current;
  Thread* const next = ahead ? ready.back() : ready.front();
  if (ahead)
    ready.pop_back();
  else
    ready.pop_front();
  if (next == self) return;
  current = next;
  self->fiber.SwitchTo(next->fiber);
}

void ReleaseIfAll(Barrier& barrier) {
  const int all = barrier.threads > 0 ? barrier.threads : live;
  if (barrier.waiting.empty() || static_cast<int>(barrier.waiting.size()) < all)
    return;
  // Warps in any order; the lanes of one stay together.
  const auto first = static_cast<std::ptrdiff_t>(
      Chance()() % barrier.waiting.size() / kWarp * kWarp);
  std::rotate(barrier.waiting.begin(), barrier.waiting.begin() + first,
              barrier.waiting.end());
  if (Chance()() % 2 == 0)
    std::reverse(barrier.waiting.begin(), barrier.waiting.end());
  for (Thread* thread : barrier.waiting) MakeReady(thread);
  barrier.waiting.clear();
}

void WaitAt(Barrier& barrier, const char* name) {
  current->waits_for = name;
  barrier.waiting.push_back(current);
  ReleaseIfAll(barrier);
  Yield();
}

void End() {
  Warp& warp = *current->warp;
  if (!current->copies.empty()) Fail("ends while copies are under way");
  if (running.early && !current->awaited)
    Fail("was launched early, and ends without AwaitPrevious");
  current->done = true;
  --warp.live;
  --live;
  if (warp.arrived > 0)
    Fail((std::string("ends while others of its warp are in ") + warp.operation)
             .c_str());
  for (Barrier& barrier : barriers) ReleaseIfAll(barrier);
  if (ready.empty() && live == 0) {
    Thread* const self = current;
    current = nullptr;
    self->fiber.SwitchTo(host);
  } else {
    Yield();
  }
}

// Of every fiber. It is used again by the next block.
void RunThread() {
  for (;;) {
    (*kernel)();
    End();
  }
}

void PrepareThreads() {
  const dim3 block = running.block;
  block_threads = std::size_t{block.x} * block.y * block.z;
  while (threads.size() < block_threads)
    threads.push_back(std::make_unique<Thread>(&RunThread));
  live = static_cast<int>(block_threads);
  warps.assign((block_threads + kWarp - 1) / kWarp, Warp{});
  for (std::size_t t = 0; t < block_threads; ++t) {
    Thread& thread = *threads[t];
    const auto number = static_cast<unsigned>(t);
    thread.index = {number % block.x, number / block.x % block.y,
                    number / block.x / block.y};
    thread.number = static_cast<int>(t);
    thread.lane = static_cast<int>(t % kWarp);
    thread.warp = &warps[t / kWarp];
    thread.done = thread.awaited = false;
    thread.group = 0;
    thread.warp->lanes[t % kWarp] = &thread;
    ++thread.warp->live;
  }
}

void RunBlock() {
  PrepareThreads();
  std::memset(__start_emulated_shared, kPoison,
              static_cast<std::size_t>(__stop_emulated_shared -
                                       __start_emulated_shared));
  if (running.shared > 0) std::memset(shared.get(), kPoison, running.shared);
  barriers[0].threads = barriers[1].threads = 0;
  ahead = Chance()() % 4 != 0;
  std::vector<std::size_t> order(warps.size());
  std::iota(order.begin(), order.end(), 0U);
  std::shuffle(order.begin(), order.end(), Chance());
  const bool backwards = Chance()() % 2 == 0;
  for (const std::size_t w : order)
    for (std::size_t i = 0; i < kWarp; ++i)
      if (Thread* thread = warps[w].lanes[backwards ? kWarp - 1 - i : i];
          thread != nullptr)
        MakeReady(thread);
  current = ready.back();
  ready.pop_back();
  host.SwitchTo(current->fiber);
}

}  // namespace

std::mt19937& Chance() {
  static std::mt19937 engine([] {
    const char* seed = std::getenv("HEARSAY_EMULATION_SEED");
    return seed == nullptr
               ? 1U
               : static_cast<unsigned>(std::strtoul(seed, nullptr, 10));
  }());
  return engine;
}

void Fail(const char* what) {
  std::fprintf(stderr, "emulated CUDA: launched in %s:%u, %s\n",
               running.where.file_name(), running.where.line(),
               running.where.function_name());
  if (current != nullptr)
    std::fprintf(stderr,
                 "  block (%u, %u, %u), thread (%u, %u, %u): ", block_index.x,
                 block_index.y, block_index.z, current->index.x,
                 current->index.y, current->index.z);
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

void RunGrid(const Configuration& configuration,
             const std::function<void()>& body) {
  running = configuration;
  kernel = &body;
  // Of no more than was asked for, so that what lies behind it is out of
  // bounds.
  void* bytes = nullptr;
  if (running.shared > 0 &&
      posix_memalign(&bytes, kSharedAlignment, running.shared) != 0)
    Fail("no memory");
  shared.reset(static_cast<std::byte*>(bytes));
  const dim3 grid = running.grid;
  std::vector<unsigned> order(std::size_t{grid.x} * grid.y * grid.z);
  std::iota(order.begin(), order.end(), 0U);
  std::shuffle(order.begin(), order.end(), Chance());
  for (const unsigned number : order) {
    block_index = {number % grid.x, number / grid.x % grid.y,
                   number / grid.x / grid.y};
    RunBlock();
  }
  shared.reset();
}

void SyncBlock(const std::source_location& where) {
  Barrier& barrier = barriers[0];
  if (!barrier.waiting.empty() && barrier.line != where.line())
    Fail(("is in __syncthreads of line " + std::to_string(where.line()) +
          " while others are in that of line " + std::to_string(barrier.line))
             .c_str());
  barrier.line = where.line();
  WaitAt(barrier, "waits in __syncthreads");
}

void SyncFirstThreads(int count) {
  Barrier& barrier = barriers[1];
  if (current->number >= count || count % kWarp != 0 ||
      (!barrier.waiting.empty() && barrier.threads != count))
    Fail("is none of those whose barrier this is");
  barrier.threads = count;
  WaitAt(barrier, "waits in SyncFirst");
}

void InWarp(const char* name, void* argument, void (*work)(const Lanes&)) {
  Warp& warp = *current->warp;
  if (warp.live < kWarp)
    Fail(
        (std::string("is in ") + name + ", but its warp is not whole").c_str());
  if (warp.arrived > 0 && warp.operation != name &&
      std::strcmp(warp.operation, name) != 0)
    Fail((std::string("is in ") + name + " while others of its warp are in " +
          warp.operation)
             .c_str());
  warp.operation = name;
  current->waits_for = name;
  current->argument = argument;
  if (++warp.arrived < kWarp) return Yield();
  Lanes arguments{};
  for (std::size_t lane = 0; lane < kWarp; ++lane)
    arguments[lane] = warp.lanes[lane]->argument;
  work(arguments);
  warp.arrived = 0;
  for (Thread* thread : warp.lanes)
    if (thread != current) MakeReady(thread);
}

std::byte* SharedBytes() { return shared.get(); }

unsigned SharedNumber(const void* at) {
  const auto offset = static_cast<const std::byte*>(at) - shared.get();
  if (offset < 0 || static_cast<std::size_t>(offset) > running.shared)
    Fail("takes the address of what is not dynamic shared memory");
  return kSharedBase + static_cast<unsigned>(offset);
}

std::byte* SharedAt(unsigned number, std::size_t bytes) {
  if (number % bytes != 0) Fail("an address in shared memory is not aligned");
  if (number < kSharedBase || number - kSharedBase + bytes > running.shared)
    Fail("an address is not in shared memory");
  return shared.get() + (number - kSharedBase);
}

// What is copied to is no longer what it was, and not yet what it will be.
void BeginCopy(unsigned to, const void* from, std::size_t bytes, bool real) {
  std::byte* const at = SharedAt(to, bytes);
  if (reinterpret_cast<std::uintptr_t>(from) % bytes != 0)
    Fail("a copy's source is not aligned");
  std::memset(at, kPoison, bytes);
  const auto* const source = static_cast<const std::byte*>(from);
  if (real) {  // Here, where it can be said whose fault it is.
    std::byte seen[16];
    std::memcpy(seen, source, bytes);
  }
  current->copies.push_back({.to = at,
                             .from = real ? source : nullptr,
                             .bytes = bytes,
                             .group = current->group});
}

void CommitCopyGroup() { ++current->group; }

void FinishCopyGroups(int but_latest) {
  auto& copies = current->copies;
  const auto finished = [&](const PendingCopy& copy) {
    return copy.group + but_latest < current->group;
  };
  for (const PendingCopy& copy : copies) {
    if (!finished(copy)) continue;
    if (copy.from == nullptr)
      std::memset(copy.to, 0, copy.bytes);
    else
      std::memcpy(copy.to, copy.from, copy.bytes);
  }
  std::erase_if(copies, finished);
}

}  // namespace emulated_cuda
