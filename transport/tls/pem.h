// Reads PEM files; each error names the file and says how to get a good one.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "transport/tls/identity.h"
#include "transport/tls/openssl.h"

namespace hearsay::transport::tls {

// At most so much is read of any file.
inline constexpr std::size_t kMaxPemBytes = std::size_t{1} << 20;

// All throw FileError for `key` (a member of Files).
std::vector<CertificatePtr> ReadCertificates(const std::filesystem::path& file,
                                             const std::string& key);
std::vector<CrlPtr> ReadCrls(const std::filesystem::path& file,
                             const std::string& key);
// Refuses a key that others than its owner could read, as ssh does.
KeyPtr ReadKey(const std::filesystem::path& file, const std::string& key);

}  // namespace hearsay::transport::tls
