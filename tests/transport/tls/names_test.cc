#include "transport/tls/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/transport/tls/forge.h"

namespace hearsay::transport::tls {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> Read(const std::vector<std::string>& names) {
  const Forge forge;
  const auto key = MakeKey();
  return NamesOf(*forge.Certify(names, *key));
}

TEST(NamesTest, AreComparedByteByByte) {
  using namespace std::string_literals;
  struct {
    std::vector<std::string> names;
    std::string node;
    bool belongs;
  } const table[] = {
      {{"a"}, "a", true},
      {{"b", "a"}, "a", true},
      {{"node-1.example_x"}, "node-1.example_x", true},
      {{"a"}, "b", false},
      {{"a"}, "A", false},
      {{"A"}, "a", false},
      {{"a."}, "a", false},
      {{"a"}, "a.", false},
      {{"aa"}, "a", false},
      {{"a"}, "", false},
      {{""}, "", false},
      {{}, "a", false},
      {{"*"}, "a", false},
      {{"*"}, "*", false},
      {{"*.example"}, "a.example", false},
      {{"*.example"}, "*.example", false},
      {{"a\0"s}, "a", false},
      {{"a\0b"s}, "a", false},
      {{"a\0b"s}, "a\0b"s, false},
      {{"a b"}, "a b", false},
      {{" a"}, "a", false},
      {{"a\n"}, "a\n", false},
      {{"\xc3\xa4"}, "\xc3\xa4", false},
  };
  for (const auto& [names, node, belongs] : table)
    EXPECT_EQ(Belongs(Read(names), node), belongs)
        << ShowNames(names) << " against '" << node << "'";
}

TEST(NamesTest, ACommonNameIsNone) {
  // Forge gives every certificate the common name "somebody".
  EXPECT_FALSE(Belongs(Read({"a"}), "somebody"));
  EXPECT_FALSE(Belongs(Read({}), "somebody"));
}

TEST(NamesTest, OtherKindsOfNamesAreNone) {
  const Forge forge;
  const auto key = MakeKey();
  const auto certificate = forge.Certify({}, *key);
  const std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name,
                          "email:a@b,URI:a,IP:127.0.0.1,DNS:c"));
  X509_add_ext(certificate.get(), extension.get(), -1);
  EXPECT_THAT(NamesOf(*certificate), ElementsAre("c"));
}

TEST(NamesTest, AnExtensionThatIsThereTwiceIsNone) {
  const Forge forge;
  const auto key = MakeKey();
  const auto certificate = forge.Certify({"a"}, *key);
  const std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:b"));
  X509_add_ext(certificate.get(), extension.get(), -1);
  EXPECT_THAT(NamesOf(*certificate), ElementsAre());
}

TEST(NamesTest, AreBoundedAndPrintableForPeople) {
  EXPECT_EQ(Read(std::vector<std::string>(kMaxNames + 9, "x")).size(),
            kMaxNames);
  EXPECT_EQ(ShowNames({}), "nobody");
  EXPECT_EQ(ShowNames(std::vector<std::string>{"a"}), "'a'");
  EXPECT_EQ(ShowNames(std::vector<std::string>{"a", "b", "c", "d", "e"}),
            "'a', 'b', 'c' and 2 more");
  const auto shown =
      ShowNames(std::vector<std::string>{"\x1b[2J\n" + std::string(9999, 'x')});
  EXPECT_LT(shown.size(), kMaxShownBytes + 8);
  EXPECT_THAT(shown, HasSubstr("'?[2J?xxx"));
}

}  // namespace
}  // namespace hearsay::transport::tls
