// The memo of an encoder against a map: it may forget, it must not err.
#include "model/prep/memo.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace hearsay::model::prep {
namespace {

TEST(MemoTest, NeverTakesOneTextForAnother) {
  // Few letters, zero bytes among them, so that texts are alike in length and
  // in most of their bytes.
  constexpr char kLetters[] = {'a', 'b', '\0', '\xff'};
  std::mt19937_64 random(1);
  Memo memo;
  std::map<std::string, std::int32_t> known;
  int remembered = 0;
  for (std::int32_t i = 0; i < 200'000; ++i) {
    std::string text(random() % 19, ' ');
    const char filler = kLetters[random() % 4];
    for (char& c : text)
      c = random() % 4 == 0 ? kLetters[random() % 4] : filler;
    const std::int32_t found = memo.Find(text);
    if (found != Memo::kUnknown) {
      ++remembered;
      ASSERT_EQ(found, known.at(text)) << testing::PrintToString(text);
    }
    known[text] = i;
    memo.Put(text, i);
  }
  EXPECT_GT(remembered, 50'000);
}

TEST(MemoTest, KnowsTheEmptyTextAndForgetsLongOnes) {
  Memo memo;
  EXPECT_EQ(memo.Find(""), Memo::kUnknown);
  memo.Put("", 3);
  EXPECT_EQ(memo.Find(""), 3);
  const std::string longest(16, 'x');
  memo.Put(longest, 4);
  EXPECT_EQ(memo.Find(longest), 4);
  memo.Put(longest + "x", 5);
  EXPECT_EQ(memo.Find(longest + "x"), Memo::kUnknown);
  EXPECT_EQ(memo.Find(longest), 4);
}

}  // namespace
}  // namespace hearsay::model::prep
