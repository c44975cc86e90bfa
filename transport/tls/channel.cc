#include "transport/tls/channel.h"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include "transport/tls/certificate.h"
#include "transport/tls/names.h"
#include "transport/tls/openssl.h"

namespace hearsay::transport::tls {
namespace {

// First bytes of TLS records (RFC 8446, section 5.1).
constexpr std::byte kAlert{21};
constexpr std::byte kHandshake{22};
// A fatal alert "handshake failure", by hand.
constexpr std::string_view kAlertRecord("\x15\x03\x03\x00\x02\x02\x28", 7);
constexpr std::size_t kPieceBytes = 4096;
constexpr std::chrono::seconds kBelieved{60};

Identity::End Other(Identity::End end) {
  return end == Identity::End::kDialler ? Identity::End::kAcceptor
                                        : Identity::End::kDialler;
}

}  // namespace

void Channel::Freed::operator()(ssl_st* ssl) const { SSL_free(ssl); }

Channel::Channel(std::shared_ptr<const Identity> identity, Role role)
    : identity_(std::move(identity)),
      role_(role),
      ssl_(SSL_new(identity_->context())) {
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  if (!ssl_ || in == nullptr || out == nullptr) {
    BIO_free(in);
    BIO_free(out);
    throw std::runtime_error("TLS: " + TakeError());
  }
  // An empty buffer means "later", not "never".
  BIO_set_mem_eof_return(in, -1);
  BIO_set_mem_eof_return(out, -1);
  SSL_set_bio(ssl_.get(), in, out);
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_verify(ssl_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                 &Channel::OnVerify);
  if (role == Role::kDialler)
    SSL_set_connect_state(ssl_.get());
  else
    SSL_set_accept_state(ssl_.get());
}

Channel::~Channel() = default;

// Keeps the first reason: OpenSSL's own report loses the certificate.
int Channel::OnVerify(int good, x509_store_ctx_st* context) {
  if (good == 1) return 1;
  const auto* ssl = static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(
      context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto& self = *static_cast<Channel*>(SSL_get_app_data(ssl));
  self.doubt_ = FailureOf(*context);
  // Which name has trouble is worth telling only if the name is no invention:
  // what OpenSSL looks at first is not yet the signature.
  X509* peer = X509_STORE_CTX_get0_cert(context);
  if (peer != nullptr && self.identity_->Signed(*peer))
    self.certified_ = NamesOf(*peer);
  return 0;
}

bool Channel::Over(const std::string& error) {
  error_ = error;
  return false;
}

bool Channel::Refused(const std::string& error) {
  refused_ = true;
  return Over(error);
}

bool Channel::SpeaksTls(std::span<const std::byte> wire) {
  if (heard_ || wire.empty()) return true;
  heard_ = true;
  if (wire.front() == kHandshake || wire.front() == kAlert) return true;
  last_words_ = kAlertRecord;
  return Refused("it speaks no TLS (is tls.mode \"off\" there?)");
}

bool Channel::Advance(std::span<const std::byte> wire, std::string& plain) {
  if (!error_.empty() || !SpeaksTls(wire)) return false;
  ERR_clear_error();
  if (!wire.empty() &&
      BIO_write(SSL_get_rbio(ssl_.get()), wire.data(),
                static_cast<int>(wire.size())) != static_cast<int>(wire.size()))
    return Over("out of memory");
  if (!established_) {
    const int result = SSL_do_handshake(ssl_.get());
    if (result != 1) return Fail(result);
    established_ = true;
  }
  return ReadPlain(plain);
}

bool Channel::ReadPlain(std::string& plain) {
  std::array<char, kPieceBytes> piece{};
  for (;;) {
    const int read = SSL_read(ssl_.get(), piece.data(), piece.size());
    if (read <= 0) return Fail(read);
    plain.append(piece.data(), static_cast<std::size_t>(read));
  }
}

// True if it only has to wait for more.
bool Channel::Fail(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return true;
    case SSL_ERROR_ZERO_RETURN:
      return Over("it closed the connection");
    default:
      break;
  }
  const unsigned long code = ERR_peek_error();
  const int reason =
      ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
  const std::string words = TakeError();
  if (!doubt_.empty()) return Refused(doubt_);
  // From the other end.
  if (reason >= SSL_AD_REASON_OFFSET) {
    const int alert = reason - SSL_AD_REASON_OFFSET;
    const std::string text = AlertText(alert);
    if (IsRefusal(alert))
      return Refused(text + " (serial " + identity_->serial() + ")");
    return alert == SSL_AD_PROTOCOL_VERSION ? Refused(text) : Over(text);
  }
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return Refused("it showed no certificate");
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_WRONG_SSL_VERSION:
      return Refused("it does not speak TLS 1.3");
    default:
      return Over("it sent what is no TLS: " + words);
  }
}

void Channel::Write(std::string_view plain) {
  ERR_clear_error();
  // To memory: all of it, at once.
  SSL_write(ssl_.get(), plain.data(), static_cast<int>(plain.size()));
}

void Channel::Close() {
  ERR_clear_error();
  if (established_ && error_.empty()) SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

std::string Channel::TakeOutput() {
  BIO* out = SSL_get_wbio(ssl_.get());
  std::string bytes(static_cast<std::size_t>(BIO_pending(out)), '\0');
  if (!bytes.empty())
    BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
  return bytes + std::exchange(last_words_, {});
}

std::vector<std::string> Channel::CertifiedNames() const {
  if (!established_) return certified_;
  return NamesOf(*SSL_get0_peer_certificate(ssl_.get()));
}

bool Channel::PeerIs(std::string_view node) const {
  return Belongs(NamesOf(*SSL_get0_peer_certificate(ssl_.get())), node);
}

std::string Channel::ShowPeer() const {
  return ShowNames(NamesOf(*SSL_get0_peer_certificate(ssl_.get())));
}

std::optional<std::string> Channel::Doubt(
    const std::shared_ptr<const Identity>& current) const {
  const WallTime now = WallNow();
  // A clock that was set back is no reason to believe.
  if (current == belief_.by && now >= belief_.since && now < belief_.until)
    return std::nullopt;
  WallTime until{};
  const auto doubt =
      current->Doubt(*SSL_get0_peer_certificate(ssl_.get()),
                     SSL_get_peer_cert_chain(ssl_.get()), Other(role_), &until);
  if (!doubt) belief_ = {current, now, std::min(until, now + kBelieved)};
  return doubt;
}

std::array<std::byte, Channel::kSecretBytes> Channel::Export(
    std::string_view label) const {
  std::array<std::byte, kSecretBytes> secret{};
  if (SSL_export_keying_material(
          ssl_.get(), reinterpret_cast<unsigned char*>(secret.data()),
          secret.size(), label.data(), label.size(), nullptr, 0, 0) != 1)
    throw std::runtime_error("TLS: " + TakeError());
  return secret;
}

}  // namespace hearsay::transport::tls
