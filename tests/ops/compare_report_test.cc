#include "ops/compare/report.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "ops/compare/html.h"
#include "tests/ops/compare_results.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::ops {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::ordered_json;

// What the page's own script reads.
Json ChartsOf(const std::string& page) {
  const std::string begin = "<script type=\"application/json\" id=\"charts\">";
  const auto at = page.find(begin) + begin.size();
  return Json::parse(page.substr(at, page.find("</script>", at) - at));
}

// The page without the library that it carries.
std::string WithoutLibrary(const std::string& page) {
  const auto at = page.find("/*!\n * Chart.js v");
  EXPECT_NE(at, std::string::npos) << "the page carries no Chart.js";
  return page.substr(0, at) + page.substr(page.find("</script>", at));
}

std::size_t Count(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (auto at = text.find(what); at != std::string::npos;
       at = text.find(what, at + 1))
    ++count;
  return count;
}

TEST(CompareHtmlTest, NoTextBecomesMarkup) {
  EXPECT_EQ(Escaped("<b a=\"x\" c='y'>&amp;"),
            "&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp;amp;");
  const std::string table =
      TableHtml({{"<h>"}, {{"</table><script>"}, {"\" onload=\"x"}}, {}});
  EXPECT_THAT(table, AllOf(Not(HasSubstr("<h>")), Not(HasSubstr("<script")),
                           Not(HasSubstr("\" onload"))));
}

TEST(CompareHtmlTest, JsonInAScriptEndsNoScriptAndIsTheSameJson) {
  const Json json = {{"a", "</script><!--"}, {"b", "&amp; \xe2\x80\xa8"}};
  const std::string text = ScriptJson(json);
  EXPECT_EQ(text.find_first_of("<>&"), std::string::npos);
  EXPECT_EQ(Json::parse(text), json);
  EXPECT_NO_THROW(ScriptJson(Json{{"bytes", "\xff\xfe"}}));
}

TEST(CompareHtmlTest, CountsAreGroupedByThousands) {
  EXPECT_EQ(Grouped(0), "0");
  EXPECT_EQ(Grouped(999), "999");
  EXPECT_EQ(Grouped(1000), "1,000");
  EXPECT_EQ(Grouped(1234567.4), "1,234,567");
}

TEST(CompareReportTest, WhatComesFromOutsideStaysText) {
  constexpr const char* kEvil = "\"'><img src=x onerror=alert(1)></script>";
  auto results = tests::HandMadeResults();
  results.title = results.recipe = results.recipe_file = results.command =
      results.cpu = results.version = results.written = kEvil;
  for (auto& cell : results.cells) {
    cell.id = cell.cell.topology = cell.why = kEvil;
    cell.cell.rule += kEvil;
    for (auto& node : cell.nodes) node.name = node.state = node.trouble = kEvil;
  }
  results.cells[1].cell.rule += "2";  // so that labels name it
  const std::string page = ReportHtml(results);
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, HasSubstr("&lt;img src=x"));
  // Three scripts and their three ends: the data, Chart.js and ours.
  EXPECT_EQ(Count(page, "<script"), 3u);
  EXPECT_EQ(Count(page, "</script>"), 3u);
  EXPECT_THAT(ChartsOf(page).dump(), HasSubstr("<img src=x"))
      << "the data was changed rather than escaped";
}

TEST(CompareReportTest, NeedsNothingThatIsNotInIt) {
  const std::string page = WithoutLibrary(ReportHtml(tests::HandMadeResults()));
  for (const char* outside : {"http:", "https:", " src=", "@import", "url(",
                              "<link", "<iframe", "fetch("})
    EXPECT_THAT(page, Not(HasSubstr(outside)));
}

TEST(CompareReportTest, ShowsWhatTheCellsDifferInAndNothingElse) {
  const std::string page = ReportHtml(tests::HandMadeResults());
  EXPECT_THAT(page,
              AllOf(HasSubstr("id=\"stragglers\""), HasSubstr("id=\"time\""),
                    HasSubstr("id=\"samples\""), HasSubstr("id=\"distance\""),
                    HasSubstr("id=\"bytes\"")));
  EXPECT_THAT(page, AllOf(Not(HasSubstr("id=\"death\"")),
                          Not(HasSubstr("id=\"scaling\"")),
                          Not(HasSubstr("id=\"resync\""))));
  auto results = tests::HandMadeResults();
  results.cells[1].cell = results.cells[0].cell;
  results.cells[1].cell.kill = "b@2s";
  EXPECT_THAT(ReportHtml(results), AllOf(HasSubstr("id=\"death\""),
                                         Not(HasSubstr("id=\"stragglers\""))));
  results.cells[1].cell = results.cells[0].cell;
  results.cells[1].cell.nodes = 8;
  EXPECT_THAT(ReportHtml(results), HasSubstr("id=\"scaling\""));
  results.cells[1].cell = results.cells[0].cell;
  results.cells[1].cell.resync = 50;
  EXPECT_THAT(ReportHtml(results), HasSubstr("id=\"resync\""));
}

TEST(CompareReportTest, ChartsDrawTheNumbersOfTheCells) {
  const Json charts = ChartsOf(ReportHtml(tests::HandMadeResults()));
  const Json* accuracy = nullptr;
  const Json* stragglers = nullptr;
  for (const auto& chart : charts) {
    EXPECT_THAT(chart["y"]["title"].get<std::string>(),
                Not(testing::IsEmpty()));
    if (chart["y"]["format"] == "percent" && chart["x"]["format"] == "count")
      accuracy = &chart;
    if (chart["y"]["title"].get<std::string>().starts_with("Steps a second"))
      stragglers = &chart;
  }
  ASSERT_NE(accuracy, nullptr);
  EXPECT_EQ((*accuracy)["series"].size(), 2u) << "a refused cell has no line";
  EXPECT_EQ((*accuracy)["series"][0]["points"][1], Json({32, 0.595}));
  EXPECT_EQ((*accuracy)["series"][0]["worst"][1], Json({32, 0.59}));
  EXPECT_EQ((*accuracy)["lines"][0]["label"], "target 59.0 %");
  ASSERT_NE(stragglers, nullptr);
  EXPECT_EQ((*stragglers)["x"]["categories"],
            Json({"all equal", "10x slower"}));
  EXPECT_EQ((*stragglers)["series"][0]["points"], Json({{0, 4}, {1, 4}}));
}

TEST(CompareReportTest, UnequalConditionsAndABusyMachineAreSaid) {
  auto results = tests::HandMadeResults();
  const char* unequal = "do not have the same samples, noise";
  EXPECT_THAT(ReportHtml(results), Not(HasSubstr(unequal)));
  results.cells[1].nodes[0].noise_multiplier = 1.6;
  EXPECT_THAT(ReportHtml(results), HasSubstr(unequal));
  results = tests::HandMadeResults();
  results.cells[1].planned_samples *= 2;
  EXPECT_THAT(ReportHtml(results), HasSubstr(unequal));
  results = tests::HandMadeResults();
  EXPECT_THAT(ReportHtml(results), Not(HasSubstr("of the machine")));
  results.cells[1].others_fraction = 0.4;
  EXPECT_THAT(ReportHtml(results), HasSubstr("up to 40 % of the machine"));
}

// The only test that runs the page's script: where there is a browser.
TEST(CompareReportTest, ABrowserDrawsEveryChart) {
  if (std::system("command -v chromium >/dev/null") != 0)
    GTEST_SKIP() << "there is no chromium here";
  const tests::TemporaryFolder folder;
  const std::string page = ReportHtml(tests::HandMadeResults());
  std::ofstream(folder / "report.html") << page;
  const std::string dir = folder.path().string();
  const std::string command = fmt::format(
      "HOME={0} timeout 100 chromium --headless --no-sandbox --disable-gpu "
      "--user-data-dir={0}/profile --virtual-time-budget=3000 --dump-dom "
      "file://{0}/report.html >{0}/dom 2>{0}/err",
      dir);
  ASSERT_EQ(std::system(command.c_str()), 0);
  std::ifstream stream(folder / "dom");
  const std::string dom{std::istreambuf_iterator<char>(stream), {}};
  // Set by the last line of the script.
  EXPECT_THAT(
      dom, HasSubstr(fmt::format("data-drawn=\"{}\"", ChartsOf(page).size())));
}

TEST(CompareReportTest, IsAPageEvenIfNothingRan) {
  auto results = tests::HandMadeResults();
  results.cells = {tests::Refused("x", "no"), tests::Refused("y", "no"),
                   tests::Refused("z", "never")};
  const std::string page = ReportHtml(results);
  EXPECT_THAT(page, AllOf(HasSubstr("nothing to compare"),
                          HasSubstr("x, y: refused: no"),
                          HasSubstr("z: refused: never")));
  results.cells.clear();
  EXPECT_THAT(ReportHtml(results), HasSubstr("nothing to compare"));
}

}  // namespace
}  // namespace hearsay::ops
