#include "transport/tls/authority.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "transport/tls/certificate.h"
#include "transport/tls/names.h"
#include "transport/tls/pem.h"

namespace hearsay::transport::tls {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCertificate = "ca.pem";
constexpr const char* kKey = "ca.key";
constexpr const char* kCrl = "crl.pem";
constexpr const char* kIndex = "issued";
constexpr mode_t kSecret = 0600;
constexpr mode_t kPublic = 0644;
constexpr std::size_t kMaxNodeName = 64;

using TimePtr = std::unique_ptr<ASN1_TIME, Freer<ASN1_TIME_free>>;
using IntegerPtr = std::unique_ptr<ASN1_INTEGER, Freer<ASN1_INTEGER_free>>;
using RevokedPtr = std::unique_ptr<X509_REVOKED, Freer<X509_REVOKED_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, Freer<BN_free>>;

[[noreturn]] void Fail(const fs::path& file, const std::string& what) {
  throw AuthorityError(file.string() + ": " + what);
}

[[noreturn]] void FailErrno(const fs::path& file, const char* doing) {
  const int error = errno;
  Fail(file, std::string("cannot ") + doing + ": " +
                 std::generic_category().message(error));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

// Whole or not at all, and on disk. A key is at no instant readable by others.
void WriteWhole(const fs::path& file, const std::string& text, mode_t mode,
                Authority::IfThere if_there) {
  const fs::path aside = file.string() + ".new";
  unlink(aside.c_str());
  {
    const Descriptor to(
        open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (to.get() < 0) FailErrno(file, "write this file");
    if (fchmod(to.get(), mode) != 0 ||
        write(to.get(), text.data(), text.size()) !=
            static_cast<ssize_t>(text.size()) ||
        fsync(to.get()) != 0) {
      const int error = errno;
      unlink(aside.c_str());
      errno = error;
      FailErrno(file, "write this file");
    }
  }
  const bool done = if_there == Authority::IfThere::kReplace
                        ? rename(aside.c_str(), file.c_str()) == 0
                        : link(aside.c_str(), file.c_str()) == 0;
  const int error = errno;
  unlink(aside.c_str());
  errno = error;
  if (!done) FailErrno(file, "write this file");
}

// What hearsayd takes for node.name; nothing that means something in a path.
bool IsNodeName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxNodeName && name.front() != '.' &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyz"
             "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == std::string::npos;
}

std::string Line(const Issued& one) {
  return one.serial + " " + one.node + " " + ShowTime(one.until) + " " +
         (one.revoked ? ShowTime(one.revoked) : "-") + "\n";
}

std::string IndexText(const std::vector<Issued>& issued) {
  std::string text;
  for (const auto& one : issued) text += Line(one);
  return text;
}

std::vector<Issued> ReadIndex(const fs::path& file) {
  std::ifstream stream(file);
  if (!stream) FailErrno(file, "read this file");
  std::vector<Issued> issued;
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    Issued one;
    std::string until;
    std::string revoked;
    words >> one.serial >> one.node >> until >> revoked;
    const auto end = ParseTime(until);
    if (revoked != "-") one.revoked = ParseTime(revoked);
    if (!end || (revoked != "-" && !one.revoked) || !IsNodeName(one.node) ||
        one.serial.find_first_not_of("0123456789abcdef") != std::string::npos)
      Fail(file, "line " + std::to_string(issued.size() + 1) +
                     " is damaged: it must be SERIAL NODE UNTIL REVOKED");
    one.until = *end;
    issued.push_back(std::move(one));
  }
  return issued;
}

TimePtr ToAsn1(WallTime time) {
  return TimePtr(
      ASN1_TIME_set(nullptr, std::chrono::system_clock::to_time_t(time)));
}

void AddRevoked(X509_CRL& crl, const Issued& one) {
  BIGNUM* parsed = nullptr;
  BN_hex2bn(&parsed, one.serial.c_str());
  const NumberPtr number(parsed);
  const IntegerPtr serial(BN_to_ASN1_INTEGER(number.get(), nullptr));
  RevokedPtr entry(X509_REVOKED_new());
  X509_REVOKED_set_serialNumber(entry.get(), serial.get());
  X509_REVOKED_set_revocationDate(entry.get(), ToAsn1(*one.revoked).get());
  X509_CRL_add0_revoked(&crl, entry.release());
}

// As good as the CA: it is replaced when something is revoked, not by a clock.
std::string CrlText(X509& authority, EVP_PKEY& key,
                    const std::vector<Issued>& issued) {
  const CrlPtr crl(X509_CRL_new());
  const WallTime now = WallNow();
  X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2);
  X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(&authority));
  // A clock that is a little behind must not find it "not valid yet".
  X509_CRL_set1_lastUpdate(
      crl.get(),
      ToAsn1(std::min(now, *TimeOf(X509_get0_notBefore(&authority)))).get());
  X509_CRL_set1_nextUpdate(crl.get(), X509_get0_notAfter(&authority));
  const IntegerPtr number(ASN1_INTEGER_new());
  ASN1_INTEGER_set_int64(number.get(), now.time_since_epoch().count());
  X509_CRL_add1_ext_i2d(crl.get(), NID_crl_number, number.get(), 0, 0);
  for (const auto& one : issued)
    if (one.revoked) AddRevoked(*crl, one);
  X509_CRL_sort(crl.get());
  if (X509_CRL_sign(crl.get(), &key, EVP_sha256()) <= 0)
    throw AuthorityError("cannot sign the list of revoked certificates: " +
                         TakeError());
  return PemOf(*crl);
}

}  // namespace

struct Authority::Parts {
  explicit Parts(const fs::path& folder)
      : lock(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}
  const Descriptor lock;
  CertificatePtr certificate;
  KeyPtr key;
};

void Authority::Create(const fs::path& folder, const std::string& cluster,
                       const Validity& validity) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) Fail(folder, "cannot make this folder: " + error.message());
  for (const char* name : {kKey, kCertificate, kIndex, kCrl})
    if (fs::exists(folder / name))
      Fail(folder / name,
           "is there already: this folder holds a CA, which is kept");
  const KeyPtr key = MakeKey();
  const CertificatePtr certificate =
      MakeCertificate({.common_name = cluster + " CA",
                       .dns_names = {},
                       .not_before = validity.from,
                       .not_after = validity.until,
                       .authority = true},
                      *key, nullptr, *key);
  WriteWhole(folder / kKey, PemOf(*key), kSecret, IfThere::kRefuse);
  WriteWhole(folder / kIndex, "", kPublic, IfThere::kRefuse);
  WriteWhole(folder / kCrl, CrlText(*certificate, *key, {}), kPublic,
             IfThere::kRefuse);
  WriteWhole(folder / kCertificate, PemOf(*certificate), kPublic,
             IfThere::kRefuse);
}

Authority::Authority(const fs::path& folder)
    : folder_(folder), parts_(std::make_unique<Parts>(folder)) {
  if (parts_->lock.get() < 0 || !fs::exists(folder / kKey))
    Fail(folder, "holds no CA (ca.key); `hearsay tls init --dir " +
                     folder.string() + "` makes one");
  if (flock(parts_->lock.get(), LOCK_EX) != 0) FailErrno(folder, "lock it");
  try {
    parts_->certificate =
        std::move(ReadCertificates(folder / kCertificate, "ca").front());
    parts_->key = ReadKey(folder / kKey, "key");
  } catch (const FileError& error) {
    throw AuthorityError(error.what());
  }
  if (X509_check_private_key(parts_->certificate.get(), parts_->key.get()) != 1)
    Fail(folder / kKey, "is not the key of ca.pem: " + TakeError());
  issued_ = ReadIndex(folder / kIndex);
}

Authority::~Authority() = default;

WallTime Authority::until() const {
  return TimeOf(X509_get0_notAfter(parts_->certificate.get()))
      .value_or(WallTime());
}

Issued Authority::Issue(const std::string& node, const Validity& validity,
                        const fs::path& out, IfThere if_there) {
  if (!IsNodeName(node))
    throw AuthorityError("'" + Printable(node) +
                         "' is no node.name: 1 to 64 letters, digits, '-', '_' "
                         "or '.'");
  const fs::path certificate_file = out / (node + ".pem");
  const fs::path key_file = out / (node + ".key");
  if (if_there == IfThere::kRefuse)
    for (const auto& file : {certificate_file, key_file})
      if (fs::exists(file)) Fail(file, "is there already");
  std::error_code error;
  fs::create_directories(out, error);
  if (error) Fail(out, "cannot make this folder: " + error.message());

  const KeyPtr key = MakeKey();
  const WallTime end = std::min(validity.until, until());
  const CertificatePtr certificate =
      MakeCertificate({.common_name = node,
                       .dns_names = {node},
                       .not_before = validity.from,
                       .not_after = end},
                      *key, parts_->certificate.get(), *parts_->key);
  // The index first: nothing may be out there that it does not know.
  issued_.push_back({SerialOf(*certificate), node, end, std::nullopt});
  WriteWhole(folder_ / kIndex, IndexText(issued_), kPublic, IfThere::kReplace);
  WriteWhole(key_file, PemOf(*key), kSecret, if_there);
  WriteWhole(certificate_file, PemOf(*certificate), kPublic, if_there);
  return issued_.back();
}

template <typename Chosen>
std::vector<Issued> Authority::Revoke(const Chosen& chosen,
                                      const std::string& whom) {
  std::vector<Issued> revoked;
  for (auto& one : issued_) {
    if (one.revoked || !chosen(one)) continue;
    one.revoked = WallNow();
    revoked.push_back(one);
  }
  if (revoked.empty())
    Fail(folder_ / kIndex,
         "no certificate " + whom + " that is not revoked already");
  WriteWhole(folder_ / kIndex, IndexText(issued_), kPublic, IfThere::kReplace);
  WriteWhole(folder_ / kCrl,
             CrlText(*parts_->certificate, *parts_->key, issued_), kPublic,
             IfThere::kReplace);
  return revoked;
}

std::vector<Issued> Authority::RevokeNode(const std::string& node) {
  return Revoke([&](const Issued& one) { return one.node == node; },
                "of '" + Printable(node) + "'");
}

std::vector<Issued> Authority::RevokeSerial(const std::string& serial) {
  return Revoke([&](const Issued& one) { return one.serial == serial; },
                "with serial " + Printable(serial));
}

std::vector<CertificateFacts> Describe(const fs::path& file) {
  std::vector<CertificateFacts> all;
  try {
    for (const auto& certificate : ReadCertificates(file, "cert")) {
      const X509* one = certificate.get();
      CertificateFacts facts{.subject = SubjectOf(X509_get_subject_name(one)),
                             .issuer = SubjectOf(X509_get_issuer_name(one)),
                             .serial = SerialOf(*one),
                             .names = {},
                             .from = TimeOf(X509_get0_notBefore(one)),
                             .until = TimeOf(X509_get0_notAfter(one))};
      for (const auto& name : NamesOf(*one))
        facts.names.push_back(Printable(name));
      all.push_back(std::move(facts));
    }
  } catch (const FileError& error) {
    throw AuthorityError(error.what());
  }
  return all;
}

}  // namespace hearsay::transport::tls
