#include "model/workers.h"

#include <stdexcept>

namespace hearsay::model {

namespace {

// About twenty microseconds: more than lies between two calls of a step that is
// worth sharing, less than anybody would miss.
constexpr int kLooks = 2000;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Until `value` is no longer `old`.
void AwaitChange(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int i = 0; i < kLooks; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

Workers::Workers(int count) {
  if (count < 1) throw std::invalid_argument("there must be a worker or more");
  threads_.reserve(static_cast<std::size_t>(count - 1));
  for (int w = 1; w < count; ++w) threads_.emplace_back([this, w] { Loop(w); });
}

Workers::~Workers() {
  call_ = nullptr;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Workers::Start(Call call, void* context) {
  call_ = call;
  context_ = context;
  busy_.store(static_cast<std::uint32_t>(threads_.size()),
              std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  call(context, 0);
  for (std::uint32_t left = busy_.load(std::memory_order_acquire); left > 0;
       left = busy_.load(std::memory_order_acquire))
    AwaitChange(busy_, left);
}

void Workers::Loop(int worker) {
  for (std::uint32_t seen = 0;;) {
    AwaitChange(round_, seen);
    ++seen;  // Nobody begins a round before all have ended the last.
    if (call_ == nullptr) return;
    call_(context_, worker);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

}  // namespace hearsay::model
