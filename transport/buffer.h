// Long-lived, aligned byte buffers of one size, for whole messages.
//
// UCX may still touch a buffer after an exchange has timed out (a forced close
// returns before its sends complete), so a buffer goes back to its pool only
// when the last Buffer that refers to it is gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace hearsay::transport {

// A shared reference to one pooled buffer; empty when default-made or when the
// pool is exhausted. Copies are references. (shared_ptr: the reference count is
// the whole point, see above.) Aligned to 64 bytes at least.
using Buffer = std::shared_ptr<std::span<std::byte>>;

// Threads: any.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  // Throws: std::invalid_argument if bytes_each is 0.
  static std::shared_ptr<BufferPool> Make(std::size_t bytes_each,
                                          std::size_t limit);
  // nullptr at the limit: the caller drops the message and counts it. Contents
  // are whatever the last user left.
  // Throws: std::bad_alloc.
  Buffer Take();
  // Lets the pool hold more; a smaller limit is ignored, because buffers that
  // are out cannot be called back.
  void RaiseLimit(std::size_t limit);
  std::size_t bytes_each() const { return bytes_each_; }
  // Buffers that somebody holds now.
  std::size_t taken() const;
  std::size_t limit() const;

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  using Memory = std::unique_ptr<std::byte[], Free>;

  BufferPool(std::size_t bytes_each, std::size_t limit);
  Memory Allocate() const;
  void Return(Memory memory);

  const std::size_t bytes_each_;
  mutable std::mutex mutex_;
  std::size_t limit_;         // Guarded by mutex_.
  std::vector<Memory> free_;  // Guarded by mutex_.
  std::size_t made_ = 0;      // Guarded by mutex_.
};

}  // namespace hearsay::transport
