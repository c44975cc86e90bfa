#include "transport/tls/names.h"

#include <algorithm>

#include "transport/tls/openssl.h"

namespace hearsay::transport::tls {
namespace {

using NamesPtr = std::unique_ptr<GENERAL_NAMES, Freer<GENERAL_NAMES_free>>;

constexpr std::size_t kShownNames = 3;

bool Prints(char c) { return c >= ' ' && c <= '~'; }

// What could be the name of a node. A '*' means "any" to other programs.
bool CouldBeNode(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return Prints(c) && c != ' ' && c != '*';
  });
}

}  // namespace

std::vector<std::string> NamesOf(const x509_st& certificate) {
  std::vector<std::string> names;
  const NamesPtr entries(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  for (int i = 0; i < sk_GENERAL_NAME_num(entries.get()); ++i) {
    const GENERAL_NAME* entry = sk_GENERAL_NAME_value(entries.get(), i);
    if (entry->type != GEN_DNS) continue;
    if (names.size() == kMaxNames) break;
    // With its own length: a NUL inside is a byte like others.
    const ASN1_IA5STRING* name = entry->d.dNSName;
    names.emplace_back(
        reinterpret_cast<const char*>(ASN1_STRING_get0_data(name)),
        static_cast<std::size_t>(ASN1_STRING_length(name)));
  }
  return names;
}

bool Belongs(std::span<const std::string> names, std::string_view node) {
  return CouldBeNode(node) &&
         std::find(names.begin(), names.end(), node) != names.end();
}

std::string Printable(std::string_view text) {
  const bool all = text.size() <= kMaxShownBytes;
  std::string shown(text.substr(0, kMaxShownBytes));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return !Prints(c); }, '?');
  return all ? shown : shown + "..";
}

std::string ShowNames(std::span<const std::string> names) {
  if (names.empty()) return "nobody";
  std::string text;
  for (const auto& name : names.first(std::min(names.size(), kShownNames)))
    text += (text.empty() ? "'" : ", '") + Printable(name) + "'";
  if (names.size() > kShownNames)
    text += " and " + std::to_string(names.size() - kShownNames) + " more";
  return text;
}

}  // namespace hearsay::transport::tls
