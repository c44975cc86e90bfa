// What is said of certificates, and how they are made. Everything that comes
// out as text is bounded and printable, whatever the certificate holds.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "transport/tls/openssl.h"
#include "transport/tls/wall_time.h"

namespace hearsay::transport::tls {

// Hex, as `openssl x509 -serial` prints it, in lower case.
std::string SerialOf(const X509& certificate);
// Nothing if it cannot be read.
std::optional<WallTime> TimeOf(const ASN1_TIME* time);
// "the certificate of 'b' (serial 4f12)"; of a CA, by its subject.
std::string Title(const X509& certificate);
// "CN = ..., O = ...".
std::string SubjectOf(const X509_NAME* name);

// Why OpenSSL's verification ended with `error` at `certificate` (may be null).
std::string VerifyFailure(int error, const X509* certificate);
// The same of a verification that has failed: names the certificate that is to
// blame, and never a stranger's CA, of which nobody has heard.
std::string FailureOf(X509_STORE_CTX& verification);
// What the other end's alert (RFC 8446, section 6) means.
std::string AlertText(int alert);
// Such an alert says that it does not want our certificate.
bool IsRefusal(int alert);

struct CertificatePlan {
  std::string common_name;
  std::vector<std::string> dns_names;  // any bytes
  WallTime not_before;
  WallTime not_after;
  bool authority = false;
};

// Signed by `issuer` with its key; by itself if `issuer` is null.
// Throws: std::runtime_error.
CertificatePtr MakeCertificate(const CertificatePlan& plan, EVP_PKEY& key,
                               X509* issuer, EVP_PKEY& issuer_key);
// ECDSA, P-256. Throws: std::runtime_error.
KeyPtr MakeKey();

// PEM. Throws: std::runtime_error.
std::string PemOf(X509& certificate);
std::string PemOf(EVP_PKEY& key);
std::string PemOf(X509_CRL& crl);

}  // namespace hearsay::transport::tls
