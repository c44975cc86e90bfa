#include "transport/buffer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

namespace hearsay::transport {
namespace {

TEST(BufferPoolTest, GivesAlignedBuffersOfTheSizeAsked) {
  for (const std::size_t bytes : {1UL, 4UL, 63UL, 64UL, 1000UL, 5UL << 20}) {
    const auto pool = BufferPool::Make(bytes, 2);
    const Buffer buffer = pool->Take();
    ASSERT_TRUE(buffer);
    EXPECT_EQ(buffer->size(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % 64, 0U);
    std::memset(buffer->data(), 1, buffer->size());
  }
}

TEST(BufferPoolTest, IsEmptyAtItsLimitUntilTheLastReferenceIsGone) {
  const auto pool = BufferPool::Make(16, 2);
  Buffer first = pool->Take();
  const Buffer second = pool->Take();
  EXPECT_EQ(pool->Take(), nullptr);
  Buffer copy = first;
  first.reset();
  EXPECT_EQ(pool->Take(), nullptr);
  EXPECT_EQ(pool->taken(), 2U);
  copy.reset();
  EXPECT_EQ(pool->taken(), 1U);
  EXPECT_NE(pool->Take(), nullptr);
}

TEST(BufferPoolTest, UsesMemoryAgain) {
  const auto pool = BufferPool::Make(16, 8);
  const void* first = pool->Take()->data();
  EXPECT_EQ(pool->Take()->data(), first);
}

TEST(BufferPoolTest, RaisesItsLimitButNeverLowersIt) {
  const auto pool = BufferPool::Make(16, 1);
  const Buffer one = pool->Take();
  pool->RaiseLimit(2);
  const Buffer two = pool->Take();
  EXPECT_NE(two, nullptr);
  pool->RaiseLimit(1);
  EXPECT_EQ(pool->limit(), 2U);
  EXPECT_EQ(pool->Take(), nullptr);
}

TEST(BufferPoolTest, ABufferOutlivesItsPool) {
  auto pool = BufferPool::Make(1000, 1);
  const Buffer buffer = pool->Take();
  pool.reset();
  std::memset(buffer->data(), 7, buffer->size());
  EXPECT_EQ((*buffer)[999], std::byte{7});
}

TEST(BufferPoolTest, RejectsBuffersOfNothing) {
  EXPECT_THROW(BufferPool::Make(0, 1), std::invalid_argument);
}

TEST(BufferPoolTest, NeverGivesOneBufferToTwoThreads) {
  const auto pool = BufferPool::Make(sizeof(int), 3);
  std::atomic<int> clashes = 0;
  std::vector<std::thread> threads;
  for (int id = 1; id <= 4; ++id)
    threads.emplace_back([&, id] {
      for (int i = 0; i < 2000; ++i) {
        const Buffer buffer = pool->Take();
        if (!buffer) continue;
        std::memcpy(buffer->data(), &id, sizeof id);
        std::this_thread::yield();
        int seen = 0;
        std::memcpy(&seen, buffer->data(), sizeof seen);
        if (seen != id) ++clashes;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(clashes, 0);
  EXPECT_EQ(pool->taken(), 0U);
}

}  // namespace
}  // namespace hearsay::transport
