// Threads that wait for work of microseconds: they look for it for a while, and
// then sleep. Not OpenMP's, whose barriers stall for whole time slices when
// another process takes a core, as one does beside a daemon.
//
// Threads: one caller at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace hearsay::model::cpu {

class Workers {
 public:
  // The caller is one of them. Requires: count >= 1. Throws: std::system_error.
  explicit Workers(int count);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int count() const { return static_cast<int>(threads_.size()) + 1; }

  // work(w) on each, w from 0 (the caller) on; returns when all have ended.
  // Work may not throw. Who shares work out lets each take the next piece when
  // it is free, so that nobody waits for a worker whose core is taken.
  template <typename Work>
  void Run(Work& work) {
    Start([](void* context, int w) { (*static_cast<Work*>(context))(w); },
          &work);
  }

 private:
  using Call = void (*)(void* context, int worker);
  void Start(Call call, void* context);
  void Loop(int worker);

  Call call_ = nullptr;      // Written before round_, read after.
  void* context_ = nullptr;  // As call_; null: end.
  std::atomic<std::uint32_t> round_ = 0;
  std::atomic<std::uint32_t> busy_ = 0;
  std::vector<std::thread> threads_;  // Last: uses all of the above.
};

}  // namespace hearsay::model::cpu
