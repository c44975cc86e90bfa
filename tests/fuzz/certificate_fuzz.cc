// Whose certificate it is: any bytes as a certificate against any name, and any
// names in a certificate. What is shown of it stays short and printable.
#include <algorithm>
#include <array>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "transport/tls/certificate.h"
#include "transport/tls/names.h"

namespace hearsay::transport::tls {
namespace {

using fuzz::Check;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, Freer<GENERAL_NAMES_free>>;

constexpr std::size_t kMostShown = 512;

void CheckText(const std::string& text) {
  Check(!text.empty() && text.size() <= kMostShown);
  Check(std::all_of(text.begin(), text.end(),
                    [](char c) { return c >= ' ' && c <= '~'; }));
}

// Each reads all names anew: one failure an input.
void CheckWords(const X509& certificate, unsigned which) {
  constexpr std::array kErrors = {
      X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID,
      X509_V_ERR_CERT_REVOKED, X509_V_ERR_UNSPECIFIED};
  CheckText(SerialOf(certificate));
  CheckText(ShowTime(TimeOf(X509_get0_notAfter(&certificate))));
  CheckText(VerifyFailure(kErrors[which % kErrors.size()], &certificate));
}

bool IsNoName(const std::string& node) {
  return node.empty() || std::any_of(node.begin(), node.end(), [](char c) {
           return c <= ' ' || c > '~' || c == '*';
         });
}

// Never more than what OpenSSL's own check, which is laxer, lets through.
void CheckBelongs(X509& certificate, const std::vector<std::string>& names,
                  const std::string& node) {
  const bool belongs = Belongs(names, node);
  Check(belongs ==
        (!IsNoName(node) && std::count(names.begin(), names.end(), node) > 0));
  if (!belongs || node.front() == '.') return;
  Check(X509_check_host(
            &certificate, node.data(), node.size(),
            X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS,
            nullptr) == 1);
}

void TryBytes(const std::string& node, const std::string& der, unsigned which) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const CertificatePtr certificate(
      d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (!certificate) return;
  const auto names = NamesOf(*certificate);
  Check(names.size() <= kMaxNames);
  CheckText(ShowNames(names));
  CheckWords(*certificate, which);
  CheckBelongs(*certificate, names, node);
  // OpenSSL reads all names anew for each question: not for all of them.
  if (!names.empty()) {
    CheckBelongs(*certificate, names, names.front());
    CheckBelongs(*certificate, names, names.back());
  }
}

// A certificate of nothing but names, each as long as its first byte says.
void TryNames(const std::string& node, fuzz::Input input, unsigned which) {
  const CertificatePtr certificate(X509_new());
  const NamesPtr entries(GENERAL_NAMES_new());
  std::vector<std::string> expected;
  while (!input.empty()) {
    const std::string name = input.Text(input.Take());
    ASN1_IA5STRING* text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, name.data(), static_cast<int>(name.size()));
    GENERAL_NAME* entry = GENERAL_NAME_new();
    GENERAL_NAME_set0_value(entry, GEN_DNS, text);
    sk_GENERAL_NAME_push(entries.get(), entry);
    if (expected.size() < kMaxNames) expected.push_back(name);
  }
  X509_add1_ext_i2d(certificate.get(), NID_subject_alt_name, entries.get(), 0,
                    X509V3_ADD_DEFAULT);
  const auto names = NamesOf(*certificate);
  Check(names == expected);
  CheckText(ShowNames(names));
  CheckWords(*certificate, which);
  CheckBelongs(*certificate, names, node);
}

}  // namespace
}  // namespace hearsay::transport::tls

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace hearsay;  // NOLINT(google-build-using-namespace)
  fuzz::Input input(data, size);
  const unsigned first = input.Take();
  const bool bytes = first % 2 == 0;
  const unsigned which = first / 2;
  const std::string node = input.Text(input.Take() % 32);
  if (bytes)
    transport::tls::TryBytes(node, input.Rest(), which);
  else
    transport::tls::TryNames(node, input, which);
  return 0;
}
