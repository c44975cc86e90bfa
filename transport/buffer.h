// Long-lived, aligned byte buffers of one size, for whole messages.
//
// UCX may still touch a buffer after an exchange has timed out (a forced close
// returns before its sends complete), so a buffer goes back to its pool only
// when the last Buffer that refers to it is gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace hearsay::transport {

// A shared reference to one pooled buffer; empty when default-made or when the
// pool is exhausted. Copies are references. (shared_ptr: the reference count is
// the whole point, see above.)
using Buffer = std::shared_ptr<std::span<std::byte>>;

// Threads: any.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  static std::shared_ptr<BufferPool> Make(std::size_t bytes_each,
                                          std::size_t limit);
  // nullptr at the limit: the caller drops the message and counts it.
  Buffer Take();
  std::size_t bytes_each() const { return bytes_each_; }

 private:
  BufferPool(std::size_t bytes_each, std::size_t limit);

  const std::size_t bytes_each_;
  const std::size_t limit_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<std::byte[]>> free_;  // Guarded by mutex_.
  std::size_t made_ = 0;                            // Guarded by mutex_.
};

}  // namespace hearsay::transport
