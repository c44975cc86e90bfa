#include "transport/tls/pem.h"

#include <openssl/pem.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

namespace hearsay::transport::tls {
namespace {

constexpr mode_t kOthers = 077;

std::string ReadText(const std::filesystem::path& file,
                     const std::string& key) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(
      std::fopen(file.c_str(), "re"), &std::fclose);
  struct stat facts {};
  if (!stream || fstat(fileno(stream.get()), &facts) != 0)
    throw FileError(key, file, std::generic_category().message(errno));
  if (!S_ISREG(facts.st_mode)) throw FileError(key, file, "is not a file");
  if (key == "key" && (facts.st_mode & kOthers) != 0)
    throw FileError(key, file,
                    "others than its owner may read this key: chmod 600 it");
  std::string text(kMaxPemBytes, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), stream.get()));
  if (std::ferror(stream.get()) != 0)
    throw FileError(key, file, std::generic_category().message(errno));
  if (text.size() == kMaxPemBytes)
    throw FileError(key, file, "is too long to be a PEM file of ours");
  return text;
}

BioPtr Over(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// A key that is encrypted would ask on the terminal.
int NoPassphrase(char* /*buffer*/, int /*size*/, int /*write*/,
                 void* /*data*/) {
  return -1;
}

// All objects of one kind in a file; other kinds are passed over.
template <typename Ptr, typename Read>
std::vector<Ptr> ReadAll(const std::filesystem::path& file,
                         const std::string& key, const char* what,
                         const Read& read) {
  const std::string text = ReadText(file, key);
  const BioPtr bio = Over(text);
  std::vector<Ptr> objects;
  while (Ptr object{read(bio.get(), nullptr, &NoPassphrase, nullptr)})
    objects.push_back(std::move(object));
  const unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  if (objects.empty())
    throw FileError(key, file, std::string("holds no ") + what + " in PEM");
  if (ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
    throw FileError(key, file, std::string("holds a damaged ") + what);
  return objects;
}

}  // namespace

std::vector<CertificatePtr> ReadCertificates(const std::filesystem::path& file,
                                             const std::string& key) {
  return ReadAll<CertificatePtr>(file, key, "certificate", &PEM_read_bio_X509);
}

std::vector<CrlPtr> ReadCrls(const std::filesystem::path& file,
                             const std::string& key) {
  return ReadAll<CrlPtr>(file, key, "list of revoked certificates",
                         &PEM_read_bio_X509_CRL);
}

KeyPtr ReadKey(const std::filesystem::path& file, const std::string& key) {
  std::string text = ReadText(file, key);
  KeyPtr read(PEM_read_bio_PrivateKey(Over(text).get(), nullptr, &NoPassphrase,
                                      nullptr));
  ERR_clear_error();
  const bool encrypted = text.find("ENCRYPTED") != std::string::npos;
  OPENSSL_cleanse(text.data(), text.size());
  if (!read)
    throw FileError(key, file,
                    encrypted ? "is encrypted; hearsayd has nobody to ask for "
                                "the passphrase"
                              : "holds no private key in PEM");
  return read;
}

}  // namespace hearsay::transport::tls
