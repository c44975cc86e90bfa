#include "transport/tls/identity.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "transport/tls/certificate.h"
#include "transport/tls/names.h"
#include "transport/tls/openssl.h"
#include "transport/tls/pem.h"

namespace hearsay::transport::tls {
namespace {

using ContextPtr = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;

constexpr const char* kCiphers =
    "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
    "TLS_AES_128_GCM_SHA256";
// Of what a stranger may send before it is known.
constexpr long kMaxPeerChainBytes = long{32} << 10;
constexpr int kMaxDepth = 4;
constexpr int kSecurityLevel = 2;  // 112 bits

// The library itself is out of order, or out of memory.
void Must(long done, const char* what) {
  if (done <= 0)
    throw std::runtime_error(std::string("OpenSSL: cannot ") + what + ": " +
                             TakeError());
}

const char* PurposeAt(Identity::End end) {
  return end == Identity::End::kDialler ? "ssl_client" : "ssl_server";
}

}  // namespace

FileError::FileError(std::string key, const std::filesystem::path& file,
                     const std::string& what)
    : std::runtime_error(file.string() + ": " + what),
      key_(std::move(key)),
      file_(file) {}

struct Identity::Parts {
  std::vector<CertificatePtr> authorities;
  StorePtr store;
  ContextPtr context;
  WallTime lists_until = WallTime::max();  // The first of them expires.
};

namespace {

// With what is wrong with the list itself said at once, not to every peer.
int AddCrls(const Files& files, X509& authority, X509_STORE& store,
            WallTime& lists_until) {
  int revoked = 0;
  for (const auto& crl : ReadCrls(files.crl, "crl")) {
    if (X509_NAME_cmp(X509_CRL_get_issuer(crl.get()),
                      X509_get_subject_name(&authority)) == 0 &&
        X509_CRL_verify(crl.get(), X509_get0_pubkey(&authority)) != 1)
      throw FileError("crl", files.crl,
                      "is not signed by " + files.ca.string());
    const auto until = TimeOf(X509_CRL_get0_nextUpdate(crl.get()));
    if (until && *until <= WallNow())
      throw FileError("crl", files.crl, "has expired on " + ShowTime(until));
    if (until) lists_until = std::min(lists_until, *until);
    // -1 for none.
    revoked +=
        std::max(0, sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl.get())));
    Must(X509_STORE_add_crl(&store, crl.get()), "take a list of revoked ones");
  }
  Must(X509_STORE_set_flags(&store, X509_V_FLAG_CRL_CHECK), "look for them");
  return revoked;
}

ContextPtr MakeContext(const Files& files, X509_STORE& store,
                       const std::vector<CertificatePtr>& chain,
                       EVP_PKEY& key) {
  ContextPtr made(SSL_CTX_new(TLS_method()));
  SSL_CTX* context = made.get();
  Must(context != nullptr, "begin");
  SSL_CTX_set_security_level(context, kSecurityLevel);
  Must(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION), "set TLS 1.3");
  Must(SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION), "set TLS 1.3");
  Must(SSL_CTX_set_ciphersuites(context, kCiphers), "set the ciphers");
  // Every session proves who is there anew.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  Must(SSL_CTX_set_num_tickets(context, 0), "do without tickets");
  SSL_CTX_set_max_cert_list(context, kMaxPeerChainBytes);
  SSL_CTX_set_verify_depth(context, kMaxDepth);
  SSL_CTX_set1_cert_store(context, &store);
  SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);
  // Such as one whose key is too short.
  bool good = SSL_CTX_use_certificate(context, chain.front().get()) == 1;
  for (std::size_t i = 1; i < chain.size(); ++i)
    good = good && SSL_CTX_add1_chain_cert(context, chain[i].get()) == 1;
  if (!good)
    throw FileError("cert", files.cert, "cannot be used: " + TakeError());
  if (SSL_CTX_use_PrivateKey(context, &key) != 1)
    throw FileError("key", files.key, "cannot be used: " + TakeError());
  return made;
}

}  // namespace

Identity::Identity(const Files& files, const std::string& node) {
  auto parts = std::make_unique<Parts>();
  parts->authorities = ReadCertificates(files.ca, "ca");
  parts->store.reset(X509_STORE_new());
  Must(parts->store != nullptr, "begin");
  for (const auto& authority : parts->authorities)
    Must(X509_STORE_add_cert(parts->store.get(), authority.get()), "take a CA");
  int revoked = 0;
  if (!files.crl.empty())
    revoked = AddCrls(files, *parts->authorities.front(), *parts->store,
                      parts->lists_until);

  const auto chain = ReadCertificates(files.cert, "cert");
  X509& own = *chain.front();
  const KeyPtr key = ReadKey(files.key, "key");
  if (X509_check_private_key(&own, key.get()) != 1) {
    ERR_clear_error();
    throw FileError("key", files.key,
                    "is not the key of " + files.cert.string());
  }
  const auto names = NamesOf(own);
  if (!Belongs(names, node))
    throw FileError("cert", files.cert,
                    Title(own) + " is not for node.name '" + node + "'");
  parts->context = MakeContext(files, *parts->store, chain, *key);
  STACK_OF(X509)* others = nullptr;
  SSL_CTX_get0_chain_certs(parts->context.get(), &others);
  parts_ = std::move(parts);
  for (const End end : {End::kDialler, End::kAcceptor})
    if (const auto why = Doubt(own, others, end))
      throw FileError("cert", files.cert,
                      *why + " (" + files.ca.string() + ")");
  serial_ = SerialOf(own);
  summary_ = Title(own) + " until " +
             ShowTime(TimeOf(X509_get0_notAfter(&own))) + ", " +
             std::to_string(revoked) + " revoked";
}

Identity::~Identity() = default;

ssl_ctx_st* Identity::context() const { return parts_->context.get(); }

std::optional<std::string> Identity::Doubt(x509_st& certificate,
                                           stack_st_X509* chain, End end,
                                           WallTime* until) const {
  const StoreContextPtr context(X509_STORE_CTX_new());
  if (!context ||
      X509_STORE_CTX_init(context.get(), parts_->store.get(), &certificate,
                          chain) != 1 ||
      X509_STORE_CTX_set_default(context.get(), PurposeAt(end)) != 1)
    return "cannot verify a certificate: " + TakeError();
  X509_STORE_CTX_set_depth(context.get(), kMaxDepth);
  const bool good = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  if (!good) return FailureOf(*context);
  if (until == nullptr) return std::nullopt;
  *until = parts_->lists_until;
  const auto* verified = X509_STORE_CTX_get0_chain(context.get());
  for (int i = 0; i < sk_X509_num(verified); ++i)
    // One without a date that can be read is asked about again at once.
    *until =
        std::min(*until, TimeOf(X509_get0_notAfter(sk_X509_value(verified, i)))
                             .value_or(WallTime::min()));
  return std::nullopt;
}

bool Identity::Signed(x509_st& certificate) const {
  for (const auto& authority : parts_->authorities) {
    const bool match =
        X509_check_issued(authority.get(), &certificate) == X509_V_OK &&
        X509_verify(&certificate, X509_get0_pubkey(authority.get())) == 1;
    ERR_clear_error();
    if (match) return true;
  }
  return false;
}

Credentials::Credentials(Files files, std::string node)
    : node_(std::move(node)),
      current_(std::make_shared<const Identity>(files, node_)) {}

void Credentials::Reload(const Files& files) {
  current_ = std::make_shared<const Identity>(files, node_);
}

}  // namespace hearsay::transport::tls
