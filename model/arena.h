// One flat, 64-byte aligned, zeroed array of float32 that owns its memory.
//
// All parameters of a model live in one arena, so that noise, optimiser,
// mixing, snapshot, checkpoint, sketch and all-reduce are each one streaming
// pass over one array. Large arenas ask for huge pages: a first touch of 4 KiB
// pages costs about 1 us each in virtual machines.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace hearsay::model {

class Arena {
 public:
  Arena() = default;
  // Throws: std::bad_alloc.
  explicit Arena(std::size_t size);

  std::size_t size() const { return size_; }
  std::span<float> span() { return {data_.get(), size_}; }
  std::span<const float> span() const { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(float* data) const;
  };
  std::unique_ptr<float[], Free> data_;
  std::size_t size_ = 0;
};

}  // namespace hearsay::model
