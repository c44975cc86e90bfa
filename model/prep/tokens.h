// Words, quoted text and signs of the schema's small languages. Private to
// expression.cc and arithmetic.cc.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace hearsay::model::prep {

// Parentheses and "not"s inside each other; the parsers are recursive.
inline constexpr int kMaxDepth = 64;

// Stands at a token. Requires: the text outlives it.
class Tokens {
 public:
  explicit Tokens(std::string_view text) : text_(text) { Advance(); }

  bool AtEnd() const { return token_.empty(); }
  bool quoted() const { return quoted_; }
  std::string_view token() const { return token_; }

  // Throws: std::invalid_argument.
  [[noreturn]] void Fail(const std::string& expected) const;

  // Goes on if it stands at this word or sign.
  bool Take(std::string_view token) {
    if (quoted_ || token_ != token) return false;
    Advance();
    return true;
  }
  void Expect(std::string_view token) {
    if (!Take(token)) Fail("'" + std::string(token) + "'");
  }
  // A column or a value: a word that is no keyword, or quoted text.
  std::string Text(const char* what);

 private:
  void Advance();

  std::string_view text_;
  std::size_t at_ = 0;
  std::string_view token_;  // Empty: the end.
  std::size_t token_begin_ = 0;
  bool quoted_ = false;
};

}  // namespace hearsay::model::prep
