#include "transport/tls/certificate.h"

#include <openssl/bn.h>
#include <openssl/pem.h>

#include <ctime>
#include <stdexcept>

#include "transport/tls/names.h"

namespace hearsay::transport::tls {
namespace {

using NumberPtr = std::unique_ptr<BIGNUM, Freer<BN_free>>;
using ExtensionPtr =
    std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, Freer<GENERAL_NAMES_free>>;

constexpr int kSerialBits = 159;  // At most 20 octets (RFC 5280), positive.

// What an operation of OpenSSL gave, if it gave anything.
template <typename T>
T Need(T result, const char* what) {
  if (!result)
    throw std::runtime_error(std::string("cannot ") + what + ": " +
                             TakeError());
  return result;
}

template <typename F>
std::string ToPem(F&& write) {
  const BioPtr bio(Need(BIO_new(BIO_s_mem()), "write PEM"));
  Need(write(bio.get()), "write PEM");
  const char* text = nullptr;
  const long bytes = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(bytes)};
}

void AddExtension(X509& certificate, X509& issuer, int kind,
                  const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(
      Need(X509V3_EXT_conf_nid(nullptr, &context, kind, value), "certify"));
  Need(X509_add_ext(&certificate, extension.get(), -1), "certify");
}

// Not through text, in which a comma would begin another name.
void AddNames(X509& certificate, const std::vector<std::string>& names) {
  const NamesPtr entries(Need(GENERAL_NAMES_new(), "certify"));
  for (const auto& name : names) {
    GENERAL_NAME* entry = Need(GENERAL_NAME_new(), "certify");
    ASN1_IA5STRING* text = Need(ASN1_IA5STRING_new(), "certify");
    ASN1_STRING_set(text, name.data(), static_cast<int>(name.size()));
    GENERAL_NAME_set0_value(entry, GEN_DNS, text);
    sk_GENERAL_NAME_push(entries.get(), entry);
  }
  Need(X509_add1_ext_i2d(&certificate, NID_subject_alt_name, entries.get(), 0,
                         X509V3_ADD_DEFAULT),
       "certify");
}

void SetSerial(X509& certificate) {
  const NumberPtr number(Need(BN_new(), "certify"));
  Need(BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY),
       "draw a serial number");
  Need(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(&certificate)),
       "certify");
}

void SetTime(ASN1_TIME* field, WallTime time) {
  Need(ASN1_TIME_set(field, std::chrono::system_clock::to_time_t(time)),
       "certify");
}

}  // namespace

std::string SerialOf(const X509& certificate) {
  const NumberPtr number(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(&certificate), nullptr));
  if (!number) return "unreadable";
  const std::unique_ptr<char, void (*)(char*)> hex(
      BN_bn2hex(number.get()), [](char* text) { OPENSSL_free(text); });
  if (!hex) return "unreadable";
  std::string serial = Printable(hex.get());
  for (char& c : serial)
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  return serial;
}

std::optional<WallTime> TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1)
    return std::nullopt;
  return WallTime(std::chrono::seconds(timegm(&parts)));
}

std::string SubjectOf(const X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || name == nullptr ||
      X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_ONELINE) < 0)
    return "unreadable";
  const char* text = nullptr;
  const long bytes = BIO_get_mem_data(bio.get(), &text);
  return Printable({text, static_cast<std::size_t>(bytes)});
}

std::string Title(const X509& certificate) {
  const auto names = NamesOf(certificate);
  const std::string who =
      names.empty() ? "'" + SubjectOf(X509_get_subject_name(&certificate)) + "'"
                    : ShowNames(names);
  return "the certificate of " + who + " (serial " + SerialOf(certificate) +
         ")";
}

std::string VerifyFailure(int error, const X509* certificate) {
  const std::string title =
      certificate == nullptr ? "its certificate" : Title(*certificate);
  const auto at = [certificate](const ASN1_TIME* (*field)(const X509*)) {
    return ShowTime(certificate == nullptr ? std::nullopt
                                           : TimeOf(field(certificate)));
  };
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return title + " expired on " + at(X509_get0_notAfter);
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return title + " is not valid before " + at(X509_get0_notBefore) +
             " (or a clock is wrong)";
    case X509_V_ERR_CERT_REVOKED:
      return title + " was revoked";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
      return title + " is not signed by our CA";
    case X509_V_ERR_INVALID_PURPOSE:
      return title +
             " is not made for this use (extendedKeyUsage needs "
             "clientAuth and serverAuth)";
    case X509_V_ERR_CRL_HAS_EXPIRED:
      return "our list of revoked certificates (tls.crl) has expired";
    case X509_V_ERR_CRL_NOT_YET_VALID:
      return "our list of revoked certificates (tls.crl) is not valid yet";
    case X509_V_ERR_UNABLE_TO_GET_CRL:
      return "our list of revoked certificates (tls.crl) is not one of the CA "
             "that signed " +
             title;
    default:
      return title +
             " is not accepted: " + X509_verify_cert_error_string(error);
  }
}

std::string FailureOf(X509_STORE_CTX& verification) {
  const int error = X509_STORE_CTX_get_error(&verification);
  return VerifyFailure(error,
                       error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
                           ? X509_STORE_CTX_get0_cert(&verification)
                           : X509_STORE_CTX_get_current_cert(&verification));
}

std::string AlertText(int alert) {
  switch (alert) {
    case SSL3_AD_BAD_CERTIFICATE:
      return "it refused our certificate: not valid (yet), or damaged";
    case SSL3_AD_UNSUPPORTED_CERTIFICATE:
      return "it refused our certificate: not made for this use";
    case SSL3_AD_CERTIFICATE_REVOKED:
      return "it refused our certificate: revoked";
    case SSL3_AD_CERTIFICATE_EXPIRED:
      return "it refused our certificate: expired (or its clock is wrong)";
    case SSL3_AD_CERTIFICATE_UNKNOWN:
      return "it refused our certificate";
    case TLS1_AD_UNKNOWN_CA:
      return "it refused our certificate: not signed by its CA";
    case TLS13_AD_CERTIFICATE_REQUIRED:
      return "it wants a certificate, and none was shown";
    case TLS1_AD_PROTOCOL_VERSION:
      return "it has no version of TLS in common with us";
    case SSL3_AD_HANDSHAKE_FAILURE:
      return "it ended the TLS handshake";
    default: {
      const char* words = SSL_alert_desc_string_long(alert);
      return std::string("it ended TLS: ") +
             (words == nullptr ? "unknown alert" : words);
    }
  }
}

bool IsRefusal(int alert) {
  switch (alert) {
    case SSL3_AD_BAD_CERTIFICATE:
    case SSL3_AD_UNSUPPORTED_CERTIFICATE:
    case SSL3_AD_CERTIFICATE_REVOKED:
    case SSL3_AD_CERTIFICATE_EXPIRED:
    case SSL3_AD_CERTIFICATE_UNKNOWN:
    case TLS1_AD_UNKNOWN_CA:
    case TLS13_AD_CERTIFICATE_REQUIRED:
      return true;
    default:
      return false;
  }
}

CertificatePtr MakeCertificate(const CertificatePlan& plan, EVP_PKEY& key,
                               X509* issuer, EVP_PKEY& issuer_key) {
  CertificatePtr made(Need(X509_new(), "certify"));
  X509& certificate = *made;
  X509& signer = issuer == nullptr ? certificate : *issuer;
  Need(X509_set_version(&certificate, X509_VERSION_3), "certify");
  SetSerial(certificate);
  SetTime(X509_getm_notBefore(&certificate), plan.not_before);
  SetTime(X509_getm_notAfter(&certificate), plan.not_after);
  Need(X509_NAME_add_entry_by_txt(
           X509_get_subject_name(&certificate), "CN", MBSTRING_UTF8,
           reinterpret_cast<const unsigned char*>(plan.common_name.data()),
           static_cast<int>(plan.common_name.size()), -1, 0),
       "certify");
  Need(X509_set_issuer_name(&certificate, X509_get_subject_name(&signer)),
       "certify");
  Need(X509_set_pubkey(&certificate, &key), "certify");
  const auto extend = [&](int kind, const char* value) {
    AddExtension(certificate, signer, kind, value);
  };
  extend(NID_basic_constraints,
         plan.authority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE");
  extend(NID_key_usage, plan.authority ? "critical,keyCertSign,cRLSign"
                                       : "critical,digitalSignature");
  extend(NID_subject_key_identifier, "hash");
  extend(NID_authority_key_identifier, "keyid");
  if (!plan.authority) extend(NID_ext_key_usage, "serverAuth,clientAuth");
  if (!plan.dns_names.empty()) AddNames(certificate, plan.dns_names);
  Need(X509_sign(&certificate, &issuer_key, EVP_sha256()), "certify");
  return made;
}

KeyPtr MakeKey() { return KeyPtr(Need(EVP_EC_gen("P-256"), "make a key")); }

std::string PemOf(X509& certificate) {
  return ToPem([&](BIO* bio) { return PEM_write_bio_X509(bio, &certificate); });
}

std::string PemOf(EVP_PKEY& key) {
  return ToPem([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, &key, nullptr, nullptr, 0,
                                         nullptr, nullptr);
  });
}

std::string PemOf(X509_CRL& crl) {
  return ToPem([&](BIO* bio) { return PEM_write_bio_X509_CRL(bio, &crl); });
}

}  // namespace hearsay::transport::tls
