// Threads that wait for work of microseconds: they look for it for a while, and
// then sleep. Not OpenMP's, whose barriers stall for whole time slices when
// another process takes a core, as one does beside a daemon.
//
// Threads: one caller at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace hearsay::model {

class Workers {
 public:
  // The caller is one of them. Throws: std::invalid_argument (count < 1),
  // std::system_error.
  explicit Workers(int count);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int count() const { return static_cast<int>(threads_.size()) + 1; }

  // each(w, first, size) for pieces of up to `piece` that together are
  // 0 .. count - 1. Who is free takes the next one, so that nobody waits for a
  // worker whose core is taken. It may not throw.
  template <typename Each>
  void Share(std::size_t count, std::size_t piece, const Each& each) {
    if (count <= piece) {
      if (count > 0) each(0, std::size_t{0}, count);
      return;
    }
    std::atomic<std::size_t> next = 0;
    auto work = [&](int w) {
      for (std::size_t first = next.fetch_add(piece, std::memory_order_relaxed);
           first < count;
           first = next.fetch_add(piece, std::memory_order_relaxed))
        each(w, first, std::min(piece, count - first));
    };
    Run(work);
  }

  // work(w) on each, w from 0 (the caller) on; returns when all have ended.
  // Work may not throw.
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

}  // namespace hearsay::model
