// Who this node is and whom it believes: its certificate and key, the CA, and
// which certificates were revoked, read from PEM files and made into a context
// for TLS 1.3 with certificates on both ends.
//
// An Identity never changes; a session keeps the one that it began with.
// Credentials hold the one for new sessions, and read the files again when they
// are told to. Nothing half read is ever in use.
//
// Threads: Credentials on one thread; an Identity anywhere.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "transport/tls/wall_time.h"

struct ssl_ctx_st;
struct stack_st_X509;
struct x509_st;

namespace hearsay::transport::tls {

struct Files {
  std::filesystem::path ca;    // PEM: certificates of the CA
  std::filesystem::path cert;  // PEM: this node's, then any intermediate ones
  std::filesystem::path key;   // PEM, for nobody but its owner to read
  std::filesystem::path crl;   // PEM: what was revoked; "" = nothing

  bool operator==(const Files&) const = default;
};

// what() names the file and what is wrong with it; key() is the member of
// Files.
class FileError : public std::runtime_error {
 public:
  FileError(std::string key, const std::filesystem::path& file,
            const std::string& what);
  const std::string& key() const { return key_; }
  const std::filesystem::path& file() const { return file_; }

 private:
  std::string key_;
  std::filesystem::path file_;
};

class Identity {
 public:
  // Which end of a session a certificate must be good for.
  enum class End { kDialler, kAcceptor };

  // Throws: FileError: a file is missing, no PEM, readable by others (a key);
  // the key is another certificate's; the certificate is not of this CA, not
  // valid now, revoked, or not for a node of the name `node`.
  Identity(const Files& files, const std::string& node);
  ~Identity();
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;

  // Why a peer's certificate is not (or no longer) believed; nothing if it is.
  // Then `until`, if given, becomes when the first of its chain, or of the
  // lists of revoked ones, expires.
  std::optional<std::string> Doubt(x509_st& certificate, stack_st_X509* chain,
                                   End end, WallTime* until = nullptr) const;
  // Signed by a CA of ours, whatever else may be wrong with it.
  bool Signed(x509_st& certificate) const;

  const std::string& serial() const { return serial_; }
  // "certificate of 'a' (serial 4f..) until 2027-..., 2 revoked".
  const std::string& summary() const { return summary_; }
  // For tls/channel.cc.
  ssl_ctx_st* context() const;

 private:
  struct Parts;
  std::unique_ptr<const Parts> parts_;
  std::string serial_;
  std::string summary_;
};

class Credentials {
 public:
  // Throws: FileError.
  Credentials(Files files, std::string node);
  // For new sessions, and for what is believed from now on. If it throws, what
  // was there stays. Throws: FileError.
  void Reload(const Files& files);
  std::shared_ptr<const Identity> current() const { return current_; }

 private:
  const std::string node_;
  std::shared_ptr<const Identity> current_;
};

}  // namespace hearsay::transport::tls
