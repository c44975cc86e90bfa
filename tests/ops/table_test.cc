#include "ops/cli/table.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace hearsay::ops {
namespace {

using Json = nlohmann::ordered_json;

TEST(TableTest, AlignsColumnsAndLeavesNoTrailingSpace) {
  Table table({{"NAME"}, {"STEP", Align::kRight}, {"NOTE"}});
  table.Add({"a", "5", ""});
  table.Add({"longer", "12345", "x"});
  EXPECT_EQ(table.Text(),
            "NAME     STEP  NOTE\n"
            "a           5\n"
            "longer  12345  x\n");
}

TEST(TableTest, ShowsADashForWhatIsNotThere) {
  for (const Json& nothing : {Json(nullptr), Json(""), Json::array()}) {
    EXPECT_EQ(Cell(nothing), "-");
    EXPECT_EQ(FixedCell(nothing, 2), "-");
    EXPECT_EQ(PercentCell(nothing), "-");
    EXPECT_EQ(SecondsCell(nothing), "-");
    EXPECT_EQ(RateCell(nothing), "-");
  }
  EXPECT_TRUE(At(Json::array({1}), "key").is_null());
  EXPECT_TRUE(At(Json{{"other", 1}}, "key").is_null());
}

TEST(TableTest, WritesNumbersForPeople) {
  EXPECT_EQ(Cell(1234), "1234");
  EXPECT_EQ(FixedCell(0.98765, 2), "0.99");
  EXPECT_EQ(PercentCell(0.7914), "79.1%");
  EXPECT_EQ(SecondsCell(0.004), "4.0 ms");
  EXPECT_EQ(SecondsCell(59.95), "60.0 s");
  EXPECT_EQ(SecondsCell(7200), "120 min");
  EXPECT_EQ(RateCell(999), "999.0 B/s");
  EXPECT_EQ(RateCell(1.2e8), "120.0 MB/s");
  EXPECT_EQ(RateCell(5e12), "5000.0 GB/s");
}

}  // namespace
}  // namespace hearsay::ops
