// One end of a TLS 1.3 session, without a socket: bytes of the wire go in,
// bytes for the wire and plain bytes come out. So it can be tried in memory,
// and Connection decides when anything is sent.
//
// It never holds more than one record of the peer's. Both ends show
// certificates; an end that does not accept the other's says so in words, and
// is told so in words if it is itself not accepted.
//
// Threads: one at a time.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "transport/tls/identity.h"

struct ssl_st;
struct x509_store_ctx_st;

namespace hearsay::transport::tls {

class Channel {
 public:
  using Role = Identity::End;
  static constexpr std::size_t kSecretBytes = 32;

  // Throws: std::runtime_error (out of memory).
  Channel(std::shared_ptr<const Identity> identity, Role role);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Goes on with what came from the wire (nothing: begins), and appends what
  // the peer says to `plain`. False: it is over, and error() says why. In
  // either case TakeOutput may have something to send.
  bool Advance(std::span<const std::byte> wire, std::string& plain);
  // Requires: established.
  void Write(std::string_view plain);
  // Says that nothing more will be written.
  void Close();
  std::string TakeOutput();

  // The handshake is through, and the peer's certificate is good.
  bool established() const { return established_; }
  // One clear line, once Advance has returned false.
  const std::string& error() const { return error_; }
  // It is over because one end does not accept who the other one is, or speaks
  // no TLS at all: a new attempt will not help soon.
  bool refused() const { return refused_; }
  // The peer's, if a CA of ours has signed its certificate, even if that is
  // not accepted; else none. Bytes as they are.
  std::vector<std::string> CertifiedNames() const;

  // Requires: established.
  bool PeerIs(std::string_view node) const;
  // "'b'", for people.
  std::string ShowPeer() const;
  // Why the peer would not be accepted now, by `current`; nothing if it would.
  // Signatures are verified again when `current` is another than last time,
  // when something has expired, and once a minute: 32 peers asked about
  // every second took 38 % of the network thread's time.
  std::optional<std::string> Doubt(
      const std::shared_ptr<const Identity>& current) const;
  // Keying material that only the two ends know (RFC 8446, section 7.5).
  std::array<std::byte, kSecretBytes> Export(std::string_view label) const;

 private:
  struct Freed {
    void operator()(ssl_st* ssl) const;
  };
  static int OnVerify(int good, x509_store_ctx_st* context);
  bool SpeaksTls(std::span<const std::byte> wire);
  bool ReadPlain(std::string& plain);
  bool Fail(int result);
  bool Over(const std::string& error);
  bool Refused(const std::string& error);

  // Of the last time that there was no doubt.
  struct Belief {
    std::shared_ptr<const Identity> by;
    WallTime since{};
    WallTime until{};
  };

  const std::shared_ptr<const Identity> identity_;
  const Role role_;
  std::unique_ptr<ssl_st, Freed> ssl_;
  mutable Belief belief_;
  bool heard_ = false;
  bool established_ = false;
  bool refused_ = false;
  std::string error_;
  std::string doubt_;                   // from OnVerify
  std::vector<std::string> certified_;  // from OnVerify
  std::string last_words_;              // to a peer that speaks no TLS
};

}  // namespace hearsay::transport::tls
