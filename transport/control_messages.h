// The control messages as values of ours, checked: what comes out of Decode is
// within bounds and safe to print. Pure, so that it can be fuzzed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "transport/swim/message.h"

namespace hearsay::transport {

inline constexpr std::uint32_t kProtocolVersion = 2;
inline constexpr std::size_t kMaxNameBytes = 128;  // cluster, node, model
inline constexpr std::size_t kMaxReportBytes = std::size_t{32} << 10;
inline constexpr std::size_t kMaxWorkerAddressBytes = 4096;
// Records of members in one message; longer lists go round, some at a time.
inline constexpr std::size_t kMaxUpdates = 16;
inline constexpr std::size_t kMaxRoundMembers = 64;
inline constexpr std::size_t kMaxReasonBytes = 1024;

struct Hello {
  std::uint32_t protocol = kProtocolVersion;
  std::string cluster;
  std::string node;
  std::uint64_t incarnation = 0;
  std::string model;
  std::string address;
  std::uint64_t age_ms = 0;
  std::uint64_t array_bytes = 0;
  std::uint64_t chunk_bytes = 0;
  std::uint64_t attempt = 0;
  std::uint64_t life = 0;  // swim::MakeLife

  bool operator==(const Hello&) const = default;
};

struct Grant {
  std::uint64_t data_token = 0;
  std::string worker_address;

  bool operator==(const Grant&) const = default;
};

struct Welcome {
  Hello hello;
  Grant grant;
  bool operator==(const Welcome&) const = default;
};

struct Ready {
  Grant grant;
  bool operator==(const Ready&) const = default;
};

struct Refuse {
  enum class Kind {
    kProtocol = 1,
    kCluster,
    kModel,
    kDuplicateName,
    kSelf,
    kSuperseded,
    kIdentity
  };
  Kind kind = Kind::kProtocol;
  Hello hello;
  std::string other_address;
  bool newcomer = false;
  bool operator==(const Refuse&) const = default;
};

struct Heartbeat {
  std::string report;
  std::vector<swim::Record> updates;
  bool operator==(const Heartbeat&) const = default;
};

// A round of collectives is proposed (collective/collective.h). The numbers are
// those of collective::Operation and collective::Algorithm.
struct RoundProposal {
  std::uint64_t round = 0;  // what all messages of the group carry
  std::string name;
  std::vector<std::string> members;  // the proposer first
  std::uint8_t operation = 0;
  std::uint8_t algorithm = 0;
  std::uint64_t bytes = 0;
  std::uint64_t piece_bytes = 0;
  bool voted = false;
  std::uint32_t limit_ms = 0;
  bool operator==(const RoundProposal&) const = default;
};

// A member's answer; from the proposer, what all have answered.
struct RoundVerdict {
  std::uint64_t round = 0;
  bool accepted = false;
  std::string reason;  // "" if accepted; one line
  bool operator==(const RoundVerdict&) const = default;
};

struct Leave {
  bool operator==(const Leave&) const = default;
};

using RoundMessage = std::variant<RoundProposal, RoundVerdict>;

using ControlMessage =
    std::variant<Hello, Welcome, Ready, Refuse, Heartbeat, Leave, swim::Message,
                 RoundProposal, RoundVerdict>;

// 1 to kMaxNameBytes printable ASCII characters, no space.
bool IsName(std::string_view text);

// Requires: every field within the bounds above.
std::string EncodeControl(const ControlMessage& message);

// Nothing if it is not one whole message with every field within bounds. A
// Hello (alone or within a Refuse) of another protocol version passes with
// whatever names it has that are printable, so that it can be answered.
std::optional<ControlMessage> DecodeControl(std::string_view bytes);

}  // namespace hearsay::transport
