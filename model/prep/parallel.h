// Runs a function for 0 .. count - 1 on a few threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace hearsay::model::prep {

// Throws what function(i) threw, of the smallest i that did. `function` may be
// called for some i beyond that.
template <typename Function>
void ForEach(std::size_t count, int threads, const Function& function) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::size_t failed = count;
  std::exception_ptr failure;
  const auto work = [&] {
    for (std::size_t i = next++; i < count; i = next++) try {
        function(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (i < failed) {
          failed = i;
          failure = std::current_exception();
        }
        next = count;
      }
  };
  {
    std::vector<std::jthread> helpers;
    const auto most = static_cast<std::size_t>(std::max(threads, 1));
    for (std::size_t i = 1; i < std::min(most, count); ++i)
      helpers.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace hearsay::model::prep
