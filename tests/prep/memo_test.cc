// The memo of an encoder against a map: it may forget, it must not err.
#include "model/prep/memo.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <string_view>

#include "model/prep/expression.h"
#include "model/prep/quick_number.h"
#include "model/prep/quick_numbers.h"

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
    std::string room(19 + kFieldMargin, 'x');
    std::string text(random() % 19, ' ');
    const char filler = kLetters[random() % 4];
    for (char& c : text)
      c = random() % 4 == 0 ? kLetters[random() % 4] : filler;
    // What is behind a text must not matter.
    for (char& c : room) c = kLetters[random() % 4];
    room.replace(0, text.size(), text);
    const std::string_view field(room.data(), text.size());
    const std::int32_t found = memo.Find(field);
    if (found != Memo::kUnknown) {
      ++remembered;
      ASSERT_EQ(found, known.at(text)) << testing::PrintToString(text);
    }
    known[text] = i;
    memo.Put(field, i);
  }
  EXPECT_GT(remembered, 50'000);
}

TEST(MemoTest, KnowsTheEmptyTextAndForgetsLongOnes) {
  Memo memo;
  const std::string x(17 + kFieldMargin, 'x');
  const auto text = [&](std::size_t size) {
    return std::string_view(x.data(), size);
  };
  EXPECT_EQ(memo.Find(text(0)), Memo::kUnknown);
  memo.Put(text(0), 3);
  EXPECT_EQ(memo.Find(text(0)), 3);
  EXPECT_EQ(memo.Find(text(16)), Memo::kUnknown);
  memo.Put(text(16), 4);
  memo.Put(text(17), 5);
  EXPECT_EQ(memo.Find(text(17)), Memo::kUnknown);
  EXPECT_EQ(memo.Find(text(16)), 4);
}

// Against from_chars, over texts that are numbers and texts that nearly are.
TEST(QuickNumberTest, GivesWhatParseNumberGivesOrNothing) {
  constexpr std::string_view kLetters = "0123456789.-+e 09./:\0\xb0";
  std::mt19937_64 random(2);
  int numbers = 0;
  for (int i = 0; i < 500'000; ++i) {
    std::string room(12 + kFieldMargin, ' ');
    const std::size_t size = random() % 11;
    const std::size_t letters = i % 2 == 0 ? 11 : kLetters.size();
    for (char& c : room) c = kLetters[random() % letters];
    const std::string_view text(room.data(), size);
    double quick = 0;
    const bool is_quick = QuickNumber(text, quick);
    const auto number = ParseNumber(text);
    const bool plain =
        size >= 1 && size <= 8 &&
        text.find_first_not_of("0123456789.") == std::string_view::npos;
    ASSERT_EQ(is_quick, plain && number.has_value())
        << testing::PrintToString(text);
    if (!is_quick) continue;
    ++numbers;
    ASSERT_EQ(quick, *number) << text;
  }
  EXPECT_GT(numbers, 100'000);
}

// Lane by lane what is done for one, to the bit, whatever the lanes beside it
// are.
TEST(QuickNumbersTest, AreWhatOneIs) {
  constexpr std::string_view kLetters = "0123456789.-+e 09./:\0\xb0";
  std::mt19937_64 random(3);
  QuickNumbers many;
  int taken = 0;
  for (int batch = 0; batch < 10'000; ++batch) {
    const std::size_t count = 1 + random() % QuickNumbers::kMost;
    // Whole numbers only, decimals too, or anything.
    const std::size_t letters =
        std::array{10UL, 11UL, kLetters.size()}[batch % 3];
    const QuickNumbers::Range range{.minimum = 16,
                                    .maximum = batch % 2 == 0 ? 99.5 : 7e6,
                                    .whole = batch % 5 == 0};
    std::vector<std::string> rooms;
    std::vector<std::string_view> texts;
    for (std::size_t i = 0; i < count; ++i) {
      auto& room = rooms.emplace_back(12 + kFieldMargin, ' ');
      for (char& c : room) c = kLetters[random() % letters];
    }
    for (std::size_t i = 0; i < count; ++i) {
      texts.emplace_back(rooms[i].data(), random() % 11);
      many.Set(i, texts[i]);
    }
    many.Scale(count, range);
    for (std::size_t i = 0; i < count; ++i) {
      double number = 0;
      const bool is_one = QuickNumber(texts[i], number) &&
                          (!range.whole || number == std::floor(number));
      ASSERT_EQ(many.is_taken(i), is_one) << testing::PrintToString(texts[i]);
      if (!is_one) continue;
      ++taken;
      ASSERT_EQ(std::bit_cast<std::uint32_t>(many.scaled(i)),
                std::bit_cast<std::uint32_t>(
                    ScaledNumber(number, range.minimum, range.maximum)))
          << texts[i];
    }
  }
  EXPECT_GT(taken, 100'000);
}

}  // namespace
}  // namespace hearsay::model::prep
