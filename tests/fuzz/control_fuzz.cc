// The control decoder: what a stranger may send before and after the greeting.
#include <algorithm>
#include "control.pb.h"

#include "tests/fuzz/fuzz.h"
#include "transport/address.h"
#include "transport/chunk.h"
#include "transport/control_messages.h"

namespace hearsay::transport {
namespace {

using fuzz::Check;

bool IsPrintable(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c > 0x20 && c < 0x7f; });
}

// What the header promises of each message that is let through.
struct WithinBounds {
  void operator()(const Hello& hello) const {
    for (const auto* text :
         {&hello.cluster, &hello.node, &hello.model, &hello.address})
      Check(text->size() <= kMaxAddressBytes && IsPrintable(*text));
    if (hello.protocol != kProtocolVersion) return;
    Check(IsName(hello.cluster) && IsName(hello.node) && IsName(hello.model));
    const auto address = ParseHostPort(hello.address);
    Check(address && address->port > 0);
    Check(hello.array_bytes > 0);
    Check(hello.life < swim::kMaxLife);
    Check(hello.chunk_bytes > 0 && hello.chunk_bytes <= kMaxChunkBytes);
    Check(hello.array_bytes / hello.chunk_bytes < kMaxChunks);
  }
  void operator()(const Grant& grant) const {
    Check(!grant.worker_address.empty());
    Check(grant.worker_address.size() <= kMaxWorkerAddressBytes);
  }
  void operator()(const Welcome& welcome) const {
    (*this)(welcome.hello);
    (*this)(welcome.grant);
  }
  void operator()(const Ready& ready) const { (*this)(ready.grant); }
  void operator()(const Refuse& refuse) const {
    (*this)(refuse.hello);
    Check(refuse.kind >= Refuse::Kind::kProtocol &&
          refuse.kind <= Refuse::Kind::kIdentity);
    Check(refuse.other_address.size() <= kMaxAddressBytes);
    Check(IsPrintable(refuse.other_address));
  }
  void operator()(const Heartbeat& heartbeat) const {
    Check(heartbeat.report.size() <= kMaxReportBytes);
    (*this)(heartbeat.updates);
  }
  void operator()(const std::vector<swim::Record>& updates) const {
    Check(updates.size() <= kMaxUpdates);
    for (const auto& record : updates) {
      Check(IsName(record.node) && IsName(record.said_by));
      const auto address = ParseHostPort(record.address);
      Check(address && address->port > 0);
      Check(record.life < swim::kMaxLife);
      Check(record.state >= swim::State::kAlive &&
            record.state <= swim::State::kLeft);
    }
  }
  void operator()(const swim::Message& probe) const {
    using Kind = swim::Message::Kind;
    Check(probe.kind >= Kind::kPing && probe.kind <= Kind::kNack);
    Check(probe.kind == Kind::kPingRequest ? IsName(probe.target)
                                           : probe.target.empty());
    (*this)(probe.updates);
  }
  void operator()(const Leave&) const {}
  void operator()(const RoundProposal& proposal) const {
    Check(IsName(proposal.name));
    Check(!proposal.members.empty() &&
          proposal.members.size() <= kMaxRoundMembers);
    for (const auto& member : proposal.members) Check(IsName(member));
  }
  void operator()(const RoundVerdict& verdict) const {
    Check(verdict.reason.size() <= kMaxReasonBytes);
    Check(std::all_of(verdict.reason.begin(), verdict.reason.end(),
                      [](char c) { return c >= ' ' && c <= '~'; }));
  }
};

void Decode(const std::string& bytes) {
  const auto message = DecodeControl(bytes);
  if (!message) return;
  std::visit(WithinBounds{}, *message);
  Check(DecodeControl(EncodeControl(*message)) == message);
}

// A random input hardly ever carries the right checksum; a liar's does.
void Mend(proto::Grant& grant) {
  grant.set_worker_address_checksum(
      Checksum(fuzz::BytesOf(grant.worker_address())));
}

}  // namespace
}  // namespace hearsay::transport

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace hearsay::transport;  // NOLINT(google-build-using-namespace)
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  Decode(bytes);
  proto::Control control;
  if (!control.ParseFromString(bytes)) return 0;
  if (control.has_welcome() && control.welcome().has_grant())
    Mend(*control.mutable_welcome()->mutable_grant());
  else if (control.has_ready() && control.ready().has_grant())
    Mend(*control.mutable_ready()->mutable_grant());
  else
    return 0;
  Decode(control.SerializeAsString());
  return 0;
}
