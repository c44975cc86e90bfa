// A CA for tests that certifies anything: any names, any dates, any mistake.
// Its files are in a folder of their own.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"
#include "transport/tls/authority.h"
#include "transport/tls/certificate.h"
#include "transport/tls/identity.h"

namespace hearsay::transport::tls {

inline void WriteFile(const std::filesystem::path& file,
                      const std::string& text) {
  std::ofstream(file) << text;
}

inline Validity Valid(std::chrono::seconds from = std::chrono::hours(-1),
                      std::chrono::seconds until = std::chrono::hours(1)) {
  return {WallNow() + from, WallNow() + until};
}

class Forge {
 public:
  explicit Forge(const std::string& name = "test")
      : key_(MakeKey()),
        certificate_(MakeCertificate({.common_name = name,
                                      .dns_names = {},
                                      .not_before = Valid().from,
                                      .not_after = Valid().until,
                                      .authority = true},
                                     *key_, nullptr, *key_)) {
    WriteFile(folder_ / "ca.pem", PemOf(*certificate_));
  }

  CertificatePtr Certify(const std::vector<std::string>& names, EVP_PKEY& key,
                         const Validity& valid = Valid()) const {
    return MakeCertificate({.common_name = "somebody",
                            .dns_names = names,
                            .not_before = valid.from,
                            .not_after = valid.until},
                           key, certificate_.get(), *key_);
  }
  // Files of a node: NAME.pem, NAME.key, and the CA's.
  Files Issue(const std::string& name, const Validity& valid = Valid()) {
    const auto key = MakeKey();
    return Write(name, *Certify({name}, *key, valid), *key);
  }
  Files Write(const std::string& name, X509& certificate, EVP_PKEY& key) {
    const Files files{.ca = folder_ / "ca.pem",
                      .cert = folder_ / (name + ".pem"),
                      .key = folder_ / (name + ".key"),
                      .crl = {}};
    WriteFile(files.cert, PemOf(certificate));
    WriteFile(files.key, PemOf(key));
    chmod(files.key.c_str(), 0600);
    return files;
  }
  std::filesystem::path operator/(const std::string& name) const {
    return folder_ / name;
  }
  X509& certificate() { return *certificate_; }
  EVP_PKEY& key() { return *key_; }

 private:
  hearsay::tests::TemporaryFolder folder_;
  KeyPtr key_;
  CertificatePtr certificate_;
};

}  // namespace hearsay::transport::tls
