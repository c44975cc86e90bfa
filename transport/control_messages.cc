#include "transport/control_messages.h"

#include <algorithm>
#include <cassert>
#include <span>
#include <utility>

#include "control.pb.h"
#include "transport/address.h"
#include "transport/chunk.h"
#include "transport/frame.h"

namespace hearsay::transport {
namespace {

// So that the largest heartbeat fits a frame: two names, an address, numbers
// and the tags of a record.
constexpr std::size_t kMaxRecordBytes =
    2 * kMaxNameBytes + kMaxAddressBytes + 64;
static_assert(kMaxReportBytes + kMaxUpdates * kMaxRecordBytes + 64 <=
              kMaxFrameBytes);
static_assert(swim::kMaxPiggyback <= kMaxUpdates);

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c > ' ' && c < 0x7f; });
}

std::uint64_t ChecksumOf(const std::string& text) {
  return Checksum(std::as_bytes(std::span(text)));
}

void Put(const Hello& from, proto::Hello& to) {
  to.set_protocol(from.protocol);
  to.set_cluster(from.cluster);
  to.set_node(from.node);
  to.set_incarnation(from.incarnation);
  to.set_model(from.model);
  to.set_address(from.address);
  to.set_age_ms(from.age_ms);
  to.set_array_bytes(from.array_bytes);
  to.set_chunk_bytes(from.chunk_bytes);
  to.set_attempt(from.attempt);
  to.set_life(from.life);
}

void Put(const Grant& from, proto::Grant& to) {
  to.set_data_token(from.data_token);
  to.set_worker_address(from.worker_address);
  to.set_worker_address_checksum(ChecksumOf(from.worker_address));
}

template <typename Message>
void Put(const std::vector<swim::Record>& from, Message& to) {
  for (const auto& record : from) {
    auto& one = *to.add_updates();
    one.set_node(record.node);
    one.set_address(record.address);
    one.set_life(record.life);
    one.set_incarnation(record.incarnation);
    one.set_state(static_cast<proto::Record::State>(
        static_cast<int>(record.state) + proto::Record::ALIVE));
    one.set_said_by(record.said_by);
  }
}

struct PutBody {
  proto::Control& to;

  void operator()(const Hello& from) const { Put(from, *to.mutable_hello()); }
  void operator()(const Welcome& from) const {
    Put(from.hello, *to.mutable_welcome()->mutable_hello());
    Put(from.grant, *to.mutable_welcome()->mutable_grant());
  }
  void operator()(const Ready& from) const {
    Put(from.grant, *to.mutable_ready()->mutable_grant());
  }
  void operator()(const Refuse& from) const {
    auto& refuse = *to.mutable_refuse();
    refuse.set_kind(
        static_cast<proto::Refuse::Kind>(static_cast<int>(from.kind)));
    Put(from.hello, *refuse.mutable_hello());
    refuse.set_other_address(from.other_address);
    refuse.set_newcomer(from.newcomer);
  }
  void operator()(const Heartbeat& from) const {
    auto& heartbeat = *to.mutable_heartbeat();
    heartbeat.set_report(from.report);
    Put(from.updates, heartbeat);
  }
  void operator()(const Leave&) const { to.mutable_leave(); }
  void operator()(const swim::Message& from) const {
    auto& probe = *to.mutable_probe();
    probe.set_kind(static_cast<proto::Probe::Kind>(from.kind));
    probe.set_probe(from.probe);
    probe.set_target(from.target);
    Put(from.updates, probe);
  }
  void operator()(const RoundProposal& from) const {
    auto& proposal = *to.mutable_round_proposal();
    proposal.set_round(from.round);
    proposal.set_name(from.name);
    for (const auto& member : from.members) proposal.add_members(member);
    proposal.set_operation(
        static_cast<proto::RoundProposal::Operation>(from.operation));
    proposal.set_algorithm(
        static_cast<proto::RoundProposal::Algorithm>(from.algorithm));
    proposal.set_bytes(from.bytes);
    proposal.set_piece_bytes(from.piece_bytes);
    proposal.set_voted(from.voted);
    proposal.set_limit_ms(from.limit_ms);
  }
  void operator()(const RoundVerdict& from) const {
    auto& verdict = *to.mutable_round_verdict();
    verdict.set_round(from.round);
    verdict.set_accepted(from.accepted);
    verdict.set_reason(from.reason);
  }
};

bool IsAddress(const std::string& text) {
  const auto address = ParseHostPort(text);
  return address && address->port != 0;
}

// Of another protocol version nothing is promised but that it can be printed.
bool IsGood(const Hello& hello) {
  const auto short_and_printable = [](const std::string& text) {
    return text.size() <= kMaxAddressBytes && IsPrintable(text);
  };
  if (hello.protocol != kProtocolVersion)
    return short_and_printable(hello.node) &&
           short_and_printable(hello.cluster) &&
           short_and_printable(hello.model) &&
           short_and_printable(hello.address);
  return IsName(hello.cluster) && IsName(hello.node) && IsName(hello.model) &&
         IsAddress(hello.address) && hello.life < swim::kMaxLife &&
         hello.array_bytes > 0 && hello.chunk_bytes > 0 &&
         hello.chunk_bytes <= kMaxChunkBytes &&
         hello.array_bytes / hello.chunk_bytes < kMaxChunks;
}

std::optional<Hello> Take(const proto::Hello& from) {
  Hello hello{.protocol = from.protocol(),
              .cluster = from.cluster(),
              .node = from.node(),
              .incarnation = from.incarnation(),
              .model = from.model(),
              .address = from.address(),
              .age_ms = from.age_ms(),
              .array_bytes = from.array_bytes(),
              .chunk_bytes = from.chunk_bytes(),
              .attempt = from.attempt(),
              .life = from.life()};
  if (!IsGood(hello)) return std::nullopt;
  return hello;
}

// The checksum because UCX trusts the address it is given.
std::optional<Grant> Take(const proto::Grant& from) {
  if (from.worker_address().empty() ||
      from.worker_address().size() > kMaxWorkerAddressBytes ||
      from.worker_address_checksum() != ChecksumOf(from.worker_address()))
    return std::nullopt;
  return Grant{.data_token = from.data_token(),
               .worker_address = from.worker_address()};
}

std::optional<ControlMessage> Take(const proto::Welcome& from) {
  auto hello = Take(from.hello());
  auto grant = Take(from.grant());
  if (!hello || !grant) return std::nullopt;
  return Welcome{.hello = std::move(*hello), .grant = std::move(*grant)};
}

std::optional<ControlMessage> Take(const proto::Ready& from) {
  auto grant = Take(from.grant());
  if (!grant) return std::nullopt;
  return Ready{.grant = std::move(*grant)};
}

std::optional<ControlMessage> Take(const proto::Refuse& from) {
  auto hello = Take(from.hello());
  if (!hello || !proto::Refuse::Kind_IsValid(from.kind()) ||
      from.kind() == proto::Refuse::UNSPECIFIED ||
      from.other_address().size() > kMaxAddressBytes ||
      !IsPrintable(from.other_address()))
    return std::nullopt;
  return Refuse{.kind = static_cast<Refuse::Kind>(from.kind()),
                .hello = std::move(*hello),
                .other_address = from.other_address(),
                .newcomer = from.newcomer()};
}

std::optional<swim::Record> Take(const proto::Record& from) {
  if (!IsName(from.node()) || !IsAddress(from.address()) ||
      !IsName(from.said_by()) || from.life() >= swim::kMaxLife ||
      !proto::Record::State_IsValid(from.state()) ||
      from.state() == proto::Record::UNKNOWN)
    return std::nullopt;
  return swim::Record{
      .node = from.node(),
      .address = from.address(),
      .life = from.life(),
      .incarnation = from.incarnation(),
      .state = static_cast<swim::State>(from.state() - proto::Record::ALIVE),
      .said_by = from.said_by()};
}

template <typename Message>
std::optional<std::vector<swim::Record>> TakeUpdates(const Message& from) {
  if (from.updates_size() > static_cast<int>(kMaxUpdates)) return std::nullopt;
  std::vector<swim::Record> updates;
  for (const auto& one : from.updates()) {
    auto record = Take(one);
    if (!record) return std::nullopt;
    updates.push_back(*std::move(record));
  }
  return updates;
}

std::optional<ControlMessage> Take(const proto::Heartbeat& from) {
  auto updates = TakeUpdates(from);
  if (!updates || from.report().size() > kMaxReportBytes) return std::nullopt;
  return Heartbeat{.report = from.report(), .updates = *std::move(updates)};
}

std::optional<ControlMessage> Take(const proto::Probe& from) {
  auto updates = TakeUpdates(from);
  const bool targeted = from.kind() == proto::Probe::PING_REQUEST;
  if (!updates || !proto::Probe::Kind_IsValid(from.kind()) ||
      from.kind() == proto::Probe::NO_KIND ||
      (targeted ? !IsName(from.target()) : !from.target().empty()))
    return std::nullopt;
  return swim::Message{.kind = static_cast<swim::Message::Kind>(from.kind()),
                       .probe = from.probe(),
                       .target = from.target(),
                       .updates = *std::move(updates)};
}

std::optional<ControlMessage> Take(const proto::RoundProposal& from) {
  using Proposal = proto::RoundProposal;
  const auto members = static_cast<std::size_t>(from.members_size());
  if (!IsName(from.name()) || members == 0 || members > kMaxRoundMembers ||
      !std::all_of(from.members().begin(), from.members().end(), IsName) ||
      !Proposal::Operation_IsValid(from.operation()) ||
      from.operation() == Proposal::NO_OPERATION ||
      !Proposal::Algorithm_IsValid(from.algorithm()) ||
      from.algorithm() == Proposal::NO_ALGORITHM || from.piece_bytes() == 0 ||
      from.piece_bytes() > kMaxChunkBytes)
    return std::nullopt;
  return RoundProposal{
      .round = from.round(),
      .name = from.name(),
      .members = {from.members().begin(), from.members().end()},
      .operation = static_cast<std::uint8_t>(from.operation()),
      .algorithm = static_cast<std::uint8_t>(from.algorithm()),
      .bytes = from.bytes(),
      .piece_bytes = from.piece_bytes(),
      .voted = from.voted(),
      .limit_ms = from.limit_ms()};
}

std::optional<ControlMessage> Take(const proto::RoundVerdict& from) {
  const auto is_text = [](char c) { return c >= ' ' && c < 0x7f; };
  if (from.reason().size() > kMaxReasonBytes ||
      !std::all_of(from.reason().begin(), from.reason().end(), is_text))
    return std::nullopt;
  return RoundVerdict{.round = from.round(),
                      .accepted = from.accepted(),
                      .reason = from.reason()};
}

}  // namespace

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes && IsPrintable(text);
}

std::string EncodeControl(const ControlMessage& message) {
  proto::Control control;
  std::visit(PutBody{control}, message);
  return control.SerializeAsString();
}

std::optional<ControlMessage> DecodeControl(std::string_view bytes) {
  proto::Control control;
  if (!control.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return std::nullopt;
  switch (control.body_case()) {
    case proto::Control::kHello: {
      auto hello = Take(control.hello());
      if (!hello) return std::nullopt;
      return std::move(*hello);
    }
    case proto::Control::kWelcome:
      return Take(control.welcome());
    case proto::Control::kReady:
      return Take(control.ready());
    case proto::Control::kRefuse:
      return Take(control.refuse());
    case proto::Control::kHeartbeat:
      return Take(control.heartbeat());
    case proto::Control::kLeave:
      return Leave{};
    case proto::Control::kProbe:
      return Take(control.probe());
    case proto::Control::kRoundProposal:
      return Take(control.round_proposal());
    case proto::Control::kRoundVerdict:
      return Take(control.round_verdict());
    case proto::Control::BODY_NOT_SET:
      break;
  }
  return std::nullopt;
}

}  // namespace hearsay::transport
