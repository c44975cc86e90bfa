// Statistics of private rows: what one record can change, what noised sums are
// read as, and what a schema may ask.
#include "model/prep/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <numeric>
#include <random>

#include "tests/support/temporary_folder.h"

namespace hearsay::model::prep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Property;
using testing::ThrowsMessage;

__extension__ typedef __int128 Wide;

constexpr const char* kHead = R"(
name = "people"
[csv]
missing = ["", "?"]
[label]
name = "works"
classes = [{ name = "no", when = "job = 0" }, { name = "yes" }]
)";

constexpr const char* kColumns = R"(
[statistics]
noise_multiplier = 10
[[column]]
name = "sex"
kind = "categorical"
categories = ["F", "M"]
[[column]]
name = "income"
kind = "numeric"
min = 0
max = 1000000
fill = 0
indicator = true
statistics = "private"
[[column]]
name = "age"
kind = "integer"
min = 0
max = 120
statistics = "private"
deviations = 2
[[column]]
name = "town"
kind = "categorical"
categories = ["Oslo", { name = "Bergen", values = ["Bergen", "Bjorgvin"] }, "Moss"]
other = true
missing = "category"
statistics = "private"
fold_below = 20
)";

Schema Parse(const std::string& columns = kColumns) {
  return ParseSchema(kHead + columns, "s.toml");
}

class StatisticsTest : public testing::Test {
 protected:
  PrepareOptions Options(const std::string& rows) {
    std::ofstream(folder_ / "in.csv", std::ios::binary)
        << "sex,income,age,town,job\n"
        << rows;
    PrepareOptions options;
    options.schema = schema_;
    options.inputs = {folder_ / "in.csv"};
    options.out = folder_ / "out";
    options.threads = 2;
    options.block_bytes = 512;
    return options;
  }
  std::vector<std::int64_t> Sums(const std::string& rows) {
    return SumStatistics(Options(rows), grid_);
  }

  static constexpr std::int64_t kReach = std::int64_t{1} << 26;
  const Schema schema_ = Parse();
  const StatisticsGrid grid_{schema_, kReach};
  tests::TemporaryFolder folder_;
};

// By hand: rows; income at the middle, and at the end; age; towns.
TEST_F(StatisticsTest, SumsAreThoseOfTheRows) {
  const auto sums = Sums(
      "F,500000,60,Oslo,0\n"
      "M,1000000,120,Bjorgvin,1\n"
      "M,?,0,Paris,1\n"
      "F,2e9,30,?,1\n");
  const std::int64_t unit = grid_.unit();
  // Income: 0, 1, -1 (its fill) and, beyond the bounds, 1.
  EXPECT_THAT(sums,
              ElementsAre(4 * unit, unit, 3 * unit,
                          testing::AllOf(testing::Ge(-unit / 2 - 1),
                                         testing::Le(-unit / 2 + 1)),
                          testing::AllOf(testing::Ge(2 * unit + unit / 4 - 2),
                                         testing::Le(2 * unit + unit / 4)),
                          unit, unit, 0));
}

// The promise that the noise is a multiple of: of any data set, one record more
// moves the sums by a vector no longer than the reach.
// A text has as many codes in a row as its format has places.
TEST_F(StatisticsTest, CategoriesBehindATextAreCounted) {
  const Schema schema = Parse(
      "[statistics]\nnoise_multiplier = 10\n"
      "[[column]]\nname = \"sex\"\nkind = \"text\"\nlength = 5\n"
      "[[column]]\nname = \"town\"\nkind = \"categorical\"\n"
      "categories = [\"Oslo\", \"Moss\"]\nother = true\n"
      "statistics = \"private\"\nfold_below = 20\n");
  const StatisticsGrid grid(schema, kReach);
  auto options = Options("F,0,0,Oslo,0\nfemale,0,0,Moss,0\nM,0,0,Moss,1\n");
  options.schema = schema;
  const std::int64_t unit = grid.unit();
  EXPECT_THAT(SumStatistics(options, grid),
              ElementsAre(3 * unit, unit, 2 * unit));
}

TEST_F(StatisticsTest, NeighboursDifferByTheReachAtMost) {
  std::mt19937_64 random(11);
  const char* const towns[] = {"Oslo", "Bjorgvin", "Moss", "?", "Paris"};
  const char* const incomes[] = {"0", "1000000",         "-1e300", "1e300",
                                 "?", "999999.99999999", "3"};
  const char* const ages[] = {"0", "120", "-7", "1000000", "59", "61"};
  const auto record = [&] {
    return std::string(random() % 2 ? "F" : "M") + "," +
           incomes[random() % std::size(incomes)] + "," +
           ages[random() % std::size(ages)] + "," +
           towns[random() % std::size(towns)] + ",1\n";
  };
  // The longest: both numbers at a bound, a town that is counted.
  std::string rows;
  double longest = 0;
  for (int i = 0; i < 60; ++i) {
    const auto before =
        rows.empty() ? std::vector<std::int64_t>(grid_.size()) : Sums(rows);
    rows += i == 30 ? "F,1000000,0,Moss,1\n" : record();
    const auto after = Sums(rows);
    Wide length = 0;
    for (std::size_t k = 0; k < after.size(); ++k) {
      const Wide moved = after[k] - before[k];
      length += moved * moved;
    }
    EXPECT_TRUE(length <= static_cast<Wide>(kReach) * kReach) << rows;
    longest = std::max(longest, std::sqrt(static_cast<double>(length)));
  }
  // And no noise is wasted: some record is as long as that.
  EXPECT_GT(longest, 0.999 * kReach);
}

TEST_F(StatisticsTest, DoNotDependOnThreadsOrBlocks) {
  std::mt19937_64 random(5);
  std::string rows;
  for (int i = 0; i < 500; ++i)
    rows += "M," + std::to_string(random() % 1000000) + "," +
            std::to_string(random() % 100) + ",Moss,1\n";
  const auto sums = Sums(rows);
  auto options = Options(rows);
  options.threads = 1;
  options.block_bytes = 1 << 20;
  options.memory_bytes = 1;  // All of it waits on disk.
  EXPECT_EQ(SumStatistics(options, grid_), sums);
}

TEST_F(StatisticsTest, AFileGivenTwiceWouldCountTwice) {
  auto options = Options("M,1,1,Moss,1\n");
  options.inputs.push_back(options.inputs[0]);
  EXPECT_THAT([&] { SumStatistics(options, grid_); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("given twice")));
}

// Sums without noise give what the rows' mean and deviation are.
TEST_F(StatisticsTest, AreReadAsMeansDeviationsAndCounts) {
  std::mt19937_64 random(2);
  std::normal_distribution<double> income(60000, 9000);
  std::vector<double> drawn;
  std::string rows;
  for (int i = 0; i < 200'000; ++i) {
    drawn.push_back(std::round(income(random)));
    rows += "F," + std::to_string(static_cast<long>(drawn.back())) + ",40," +
            (i < 19    ? "Oslo"
             : i < 100 ? "Bergen"
                       : "Paris") +
            ",1\n";
  }
  const double mean =
      std::accumulate(drawn.begin(), drawn.end(), 0.0) / 200'000;
  auto quiet = Parse();
  quiet.statistics_noise = 0.1;
  const auto statistics =
      ReadStatistics(quiet, StatisticsGrid(quiet, kReach), Sums(rows));
  ASSERT_EQ(statistics.size(), 3U);
  EXPECT_EQ(statistics[0].name, "income");
  EXPECT_NEAR(statistics[0].mean, mean, 1);
  EXPECT_NEAR(statistics[0].deviation, 9000, 100);
  EXPECT_NEAR(statistics[0].minimum, 60000 - 27000, 300);
  EXPECT_NEAR(statistics[0].maximum, 60000 + 27000, 300);
  // All are 40: what remains is what the noise allows to say.
  EXPECT_NEAR(statistics[1].mean, 40, 1e-3);
  EXPECT_GT(statistics[1].deviation, 0.05);
  EXPECT_LT(statistics[1].maximum, 41);
  EXPECT_NEAR(statistics[2].counts[0], 19, 1e-3);
  EXPECT_NEAR(statistics[2].counts[1], 81, 1e-3);
  EXPECT_THAT(statistics[2].kept, ElementsAre("Bergen"));
}

// Much noise on few rows, negative counts among it: the declared bounds stand.
TEST_F(StatisticsTest, NoiseAloneLeavesTheDeclaredBounds) {
  const std::int64_t unit = grid_.unit();
  for (const auto& sums : std::vector<std::vector<std::int64_t>>{
           {-5 * unit, 70 * unit, -9 * unit, -3 * unit, 2 * unit, 0, 0, 0},
           {3 * unit, -unit, unit, unit, -unit, -unit, -unit, -unit}}) {
    const auto statistics = ReadStatistics(schema_, grid_, sums);
    EXPECT_EQ(statistics[0].minimum, 0);
    EXPECT_EQ(statistics[0].maximum, 1e6);
    EXPECT_EQ(statistics[1].minimum, 0);
    EXPECT_EQ(statistics[1].maximum, 120);
    EXPECT_TRUE(statistics[2].kept.empty());
  }
}

TEST_F(StatisticsTest, ResolveTheSchema) {
  ColumnStatistics income{.name = "income", .minimum = 10, .maximum = 90};
  ColumnStatistics age{.name = "age", .minimum = 20, .maximum = 60};
  ColumnStatistics town{
      .name = "town", .counts = {1, 90, 2}, .kept = {"Bergen"}};
  const auto resolved = Resolve(schema_, {income, age, town});
  EXPECT_EQ(resolved.statistics_noise, 0);
  EXPECT_EQ(resolved.columns[1].minimum, 10);
  EXPECT_EQ(resolved.columns[2].maximum, 60);
  const auto columns = ShardColumns(resolved);
  EXPECT_THAT(columns.back().categories,
              ElementsAre("Bergen", "other", "missing"));
  EXPECT_FALSE(std::any_of(
      resolved.columns.begin(), resolved.columns.end(),
      [](const InputColumn& column) { return column.wants_statistics(); }));
  const auto refuse = [&](std::vector<ColumnStatistics> some) {
    EXPECT_THROW(Resolve(schema_, some), std::invalid_argument);
  };
  refuse({income, age});
  refuse({age, income, town});
  refuse({income, age, town, town});
  age.maximum = 121;
  refuse({income, age, town});
}

TEST_F(StatisticsTest, AreNotForgottenByPrepare) {
  EXPECT_THAT(
      [&] { Prepare(Options("M,1,1,Moss,1\n")); },
      ThrowsMessage<std::invalid_argument>(HasSubstr("none were released")));
}

TEST_F(StatisticsTest, AGridThatIsTooCoarseIsRefused) {
  EXPECT_THROW(StatisticsGrid(schema_, 2000), std::invalid_argument);
  EXPECT_NO_THROW(StatisticsGrid(schema_, 3000));
  // 1 + 2 + 2 + 1 squares.
  EXPECT_DOUBLE_EQ(grid_.sensitivity(), std::sqrt(6.0));
}

TEST(StatisticsSchemaTest, WhatIsWrongIsSaid) {
  struct {
    const char* from;
    const char* to;
    const char* says;
  } const rows[] = {
      {"min = 0\nmax = 1000000\n", "", "income: statistics: needs min and max"},
      {"max = 120\n", "", "age: statistics: needs min and max"},
      {"[statistics]\nnoise_multiplier = 10\n", "", "needs their noise"},
      {"noise_multiplier = 10", "noise_multiplier = 0", "0.1 to 1000000"},
      {"noise_multiplier = 10", "noise_multiplier = inf", "finite number"},
      {"noise_multiplier = 10", "noise = 10", "unknown key"},
      {"deviations = 2", "deviations = 0", "deviations: must be above 0"},
      {"deviations = 2", "fold_below = 2", "unknown key"},
      {"other = true", "other = false", "needs other = true"},
      {"fold_below = 20", "", "fold_below"},
      {"fold_below = 20", "fold_below = -1", "must be above 0"},
      {"statistics = \"private\"\ndeviations",
       "statistics = \"open\"\ndeviations", "must be \"private\""},
      {"statistics = \"private\"\ndeviations", "deviations",
       "deviations: needs statistics"},
  };
  for (const auto& row : rows) {
    std::string text = kColumns;
    const auto at = text.find(row.from);
    ASSERT_NE(at, std::string::npos) << row.from;
    text.replace(at, std::string(row.from).size(), row.to);
    EXPECT_THAT([&] { Parse(text); },
                ThrowsMessage<FileError>(testing::AllOf(
                    testing::StartsWith("s.toml:"), HasSubstr(row.says))))
        << row.to;
  }
  EXPECT_THAT(
      [] {
        Parse(
            "[statistics]\nnoise_multiplier = 1\n[[column]]\nname = \"a\"\n"
            "kind = \"numeric\"\nmin = 0\nmax = 1\n");
      },
      ThrowsMessage<FileError>(HasSubstr("no column has")));
}

}  // namespace
}  // namespace hearsay::model::prep
