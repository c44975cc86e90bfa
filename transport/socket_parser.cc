#include "transport/socket_parser.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "transport/socket_frame.h"

namespace hearsay::transport {
namespace {

// Messages of a stranger without any that is wanted. The first few may be a
// member's whose session is known here a moment later than there.
constexpr std::size_t kMaxUnwanted = 64;
// Unwanted payloads are read into this much, over and over.
constexpr std::size_t kNowhereBytes = std::size_t{64} << 10;

}  // namespace

SocketParser::SocketParser(Wire::OnMessage on_message)
    : on_message_(std::move(on_message)) {}

std::array<std::span<std::byte>, 2> SocketParser::Places() {
  // The payload goes to its place; what follows it comes along.
  std::array<std::span<std::byte>, 2> places;
  if (missing_ > 0 && receive_) {
    places[0] = receive_->into.last(missing_);
  } else if (missing_ > 0) {
    nowhere_.resize(kNowhereBytes);
    places[0] = std::span(nowhere_).first(std::min(missing_, kNowhereBytes));
    return places;
  }
  places[1] = std::span(inbox_).subspan(end_);
  return places;
}

bool SocketParser::Consume(std::size_t bytes) {
  assert(!over_);
  const std::size_t payload = std::min(bytes, missing_);
  missing_ -= payload;
  end_ += bytes - payload;
  assert(end_ <= inbox_.size());
  if (payload > 0 && missing_ == 0) Delivered();
  if (!over_ && !Parse()) over_ = true;
  return !over_;
}

bool SocketParser::Parse() {
  const auto rest = [this] {
    return std::span<const std::byte>(inbox_).subspan(begin_, end_ - begin_);
  };
  if (!greeted_) {
    if (rest().size() < kSocketGreeting.size()) return true;
    greeted_ = std::equal(kSocketGreeting.begin(), kSocketGreeting.end(),
                          rest().begin());
    if (!greeted_) return false;
    begin_ += kSocketGreeting.size();
  }
  while (missing_ == 0 && rest().size() >= kSocketPrefixBytes) {
    const auto prefix = DecodePrefix(rest().first(kSocketPrefixBytes));
    if (!prefix) return false;
    const std::size_t head = kSocketPrefixBytes + prefix->header_bytes;
    if (rest().size() < head) break;
    if (!Begin(rest().subspan(kSocketPrefixBytes, prefix->header_bytes),
               prefix->payload_bytes))
      return false;
    if (over_) return false;
    begin_ += head;
    TakeFromInbox();
    if (over_) return false;
  }
  std::memmove(inbox_.data(), inbox_.data() + begin_, end_ - begin_);
  end_ -= std::exchange(begin_, 0);
  return true;
}

bool SocketParser::Begin(std::span<const std::byte> header,
                         std::size_t payload_bytes) {
  auto receive = on_message_(header, payload_bytes);
  if (receive && receive->nonsense) return false;
  if (!receive && stranger_ && ++unwanted_ > kMaxUnwanted) return false;
  if (receive) stranger_ = false;
  receive_ = std::move(receive);
  missing_ = payload_bytes;
  if (missing_ == 0) Delivered();
  return true;
}

void SocketParser::TakeFromInbox() {
  const std::size_t bytes = std::min(missing_, end_ - begin_);
  if (bytes == 0) return;
  if (receive_)
    std::memcpy(receive_->into.last(missing_).data(), inbox_.data() + begin_,
                bytes);
  begin_ += bytes;
  missing_ -= bytes;
  if (missing_ == 0) Delivered();
}

void SocketParser::Delivered() {
  const auto receive = std::exchange(receive_, std::nullopt);
  if (receive && receive->done) receive->done(true);
}

void SocketParser::Abandon() {
  over_ = true;
  const auto receive = std::exchange(receive_, std::nullopt);
  if (receive && receive->done) receive->done(false);
}

}  // namespace hearsay::transport
