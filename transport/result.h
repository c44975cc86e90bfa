// Result<T>: a value, or the reason there is none.
//
// Used only where failure is an ordinary outcome, which in this project means
// the network. A stand-in for C++23's std::expected with the same member
// names, so that moving to it later is a change of one line.
#pragma once

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace hearsay::transport {

enum class ErrorCode { kTimeout, kPeerGone, kMalformed, kRefused, kClosed };

struct Error {
  ErrorCode code;
  std::string detail;  // For a log line; never parsed.
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  T& operator*() { return *Get(); }
  const T& operator*() const { return *Get(); }
  T* operator->() { return Get(); }
  const T* operator->() const { return Get(); }
  const Error& error() const {
    assert(!has_value());
    return *std::get_if<1>(&state_);
  }

 private:
  T* Get() {
    assert(has_value());
    return std::get_if<0>(&state_);
  }
  const T* Get() const {
    assert(has_value());
    return std::get_if<0>(&state_);
  }

  std::variant<T, Error> state_;
};

}  // namespace hearsay::transport
