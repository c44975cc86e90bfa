// Ledger files as tests make them and look at them, and what is said of bad
// ones.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "dp/ledger.h"

namespace hearsay::dp {

inline constexpr const char* kNonce = "00112233445566778899aabbccddeeff";

inline std::string Text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void Write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary) << text;
}

// What LedgerError says, or "" if there is none.
inline std::string Complaint(const std::function<void()>& act) {
  try {
    act();
  } catch (const LedgerError& error) {
    return error.what();
  }
  return "";
}

}  // namespace hearsay::dp
