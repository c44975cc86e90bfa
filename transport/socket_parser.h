// What arrives on one data socket, taken apart (socket_frame.h): the owner
// reads bytes into Places() and says how many with Consume(). No socket here,
// so that it can be fuzzed.
//
// Threads: one at a time. Memory: bounded, whatever arrives; the payload of a
// message that is wanted is read straight to where it goes.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "transport/wire.h"

namespace hearsay::transport {

class SocketParser {
 public:
  explicit SocketParser(Wire::OnMessage on_message);

  // Where the next bytes go, the first place before the second; a place may be
  // empty, not both. Good until the next call of anything here.
  std::array<std::span<std::byte>, 2> Places();

  // So many bytes have been read there. False if the stream makes no sense or
  // none of its first messages was wanted: for good. Calls on_message, and
  // `done`, which alone may call Abandon.
  // Requires: not abandoned; bytes within Places().
  bool Consume(std::size_t bytes);

  // What is arriving is given up: its `done` is called with false. Idempotent.
  void Abandon();

  // Whoever dialled is a stranger until a message of his was wanted.
  bool stranger() const { return stranger_; }
  bool receiving() const { return receive_.has_value(); }

 private:
  // Takes messages from the inbox until one wants more than is there.
  bool Parse();
  // False if the message is one too many of a stranger's.
  bool Begin(std::span<const std::byte> header, std::size_t payload_bytes);
  // Moves what the inbox holds of the payload.
  void TakeFromInbox();
  void Delivered();

  Wire::OnMessage on_message_;
  bool greeted_ = false;
  bool stranger_ = true;
  std::size_t unwanted_ = 0;  // messages while a stranger
  bool over_ = false;         // broken or abandoned

  // Prefixes, headers and whatever came with them: [begin, end).
  std::array<std::byte, 4096> inbox_{};
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  // The payload on its way: into `receive_`, or to nowhere.
  std::optional<Wire::Receive> receive_;
  std::size_t missing_ = 0;
  std::vector<std::byte> nowhere_;
};

}  // namespace hearsay::transport
