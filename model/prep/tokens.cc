#include "model/prep/tokens.h"

namespace hearsay::model::prep {

namespace {

bool IsWordCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' || c == '+';
}

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n'; }

bool IsKeyword(std::string_view word) {
  return word == "and" || word == "or" || word == "not" || word == "in" ||
         word == "is" || word == "missing";
}

}  // namespace

void Tokens::Fail(const std::string& expected) const {
  throw std::invalid_argument(
      "\"" + std::string(text_) + "\": at character " +
      std::to_string(token_begin_ + 1) + ": expected " + expected +
      (token_.empty() ? ", found the end" : ", found " + std::string(token_)));
}

void Tokens::Advance() {
  while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
  token_begin_ = at_;
  quoted_ = false;
  if (at_ == text_.size()) {
    token_ = {};
  } else if (text_[at_] == '\'') {
    const std::size_t end = text_.find('\'', at_ + 1);
    if (end == std::string_view::npos) {
      token_ = text_.substr(at_);
      Fail("a closing quote");
    }
    quoted_ = true;
    token_ = text_.substr(at_, end + 1 - at_);
  } else if (IsWordCharacter(text_[at_])) {
    std::size_t end = at_;
    while (end < text_.size() && IsWordCharacter(text_[end])) ++end;
    token_ = text_.substr(at_, end - at_);
  } else {
    const std::string_view two = text_.substr(at_, 2);
    const bool pair = two == "<=" || two == ">=" || two == "!=";
    token_ = text_.substr(at_, pair ? 2 : 1);
  }
  at_ += token_.size();
}

std::string Tokens::Text(const char* what) {
  if (token_.empty() || (!quoted_ && !IsWordCharacter(token_[0])) ||
      (!quoted_ && IsKeyword(token_)))
    Fail(what);
  std::string text(quoted_ ? token_.substr(1, token_.size() - 2) : token_);
  Advance();
  return text;
}

}  // namespace hearsay::model::prep
