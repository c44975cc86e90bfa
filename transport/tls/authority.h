// A small CA for a cluster, kept in a folder: makes itself, issues and revokes
// the certificates of nodes. What `hearsay tls` and `hearsay up` stand on.
//
//   ca.pem, ca.key   its certificate, and the key that nobody else may have
//   issued           one line each: serial, node, until when, revoked when
//   crl.pem          what was revoked; as good as the CA, replaced by Revoke
//   NAME.pem, .key   of a node, here or in another folder
//
// Files appear whole or not at all; keys are for their owner only.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "transport/tls/wall_time.h"

namespace hearsay::transport::tls {

// One clear line, with the file.
class AuthorityError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Validity {
  WallTime from;
  WallTime until;
};

struct Issued {
  std::string serial;  // hex, lower case
  std::string node;
  WallTime until;
  std::optional<WallTime> revoked;
};

class Authority {
 public:
  enum class IfThere { kRefuse, kReplace };

  // Makes a CA in `folder`, and the folder. `cluster` is for people to read.
  // Throws: AuthorityError, also if there is a CA already.
  static void Create(const std::filesystem::path& folder,
                     const std::string& cluster, const Validity& validity);
  // Opens one, and keeps others from it until the end. Throws: AuthorityError.
  explicit Authority(const std::filesystem::path& folder);
  ~Authority();
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  // NODE.pem and NODE.key in `out`, valid no longer than the CA itself.
  // Throws: AuthorityError: no name for a node, the files are there.
  Issued Issue(const std::string& node, const Validity& validity,
               const std::filesystem::path& out, IfThere if_there);
  // All of a node's that are not revoked yet, or the one of a serial.
  // Throws: AuthorityError if there is none.
  std::vector<Issued> RevokeNode(const std::string& node);
  std::vector<Issued> RevokeSerial(const std::string& serial);

  const std::vector<Issued>& issued() const { return issued_; }
  WallTime until() const;

 private:
  struct Parts;
  template <typename Chosen>
  std::vector<Issued> Revoke(const Chosen& chosen, const std::string& whom);

  const std::filesystem::path folder_;
  std::unique_ptr<Parts> parts_;
  std::vector<Issued> issued_;
};

// What a PEM file of certificates says, for people; the first one first.
struct CertificateFacts {
  std::string subject;
  std::string issuer;
  std::string serial;
  std::vector<std::string> names;  // printable
  std::optional<WallTime> from;
  std::optional<WallTime> until;
};
// Throws: AuthorityError.
std::vector<CertificateFacts> Describe(const std::filesystem::path& file);

}  // namespace hearsay::transport::tls
