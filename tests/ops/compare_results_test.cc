#include "ops/compare/results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "ops/cli/verbs.h"
#include "ops/compare/results_csv.h"
#include "ops/compare/results_json.h"
#include "tests/ops/compare_results.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::ops {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;

constexpr double kRounding = 1e-12;

TEST(CompareSummaryTest, IsWhatAnybodyWouldWorkOutByHand) {
  const auto result = tests::HandMade("x", {});
  const auto summary = Summarise(result, 0.59);
  EXPECT_THAT(summary.accuracy, Optional(DoubleNear(0.85, kRounding)));
  EXPECT_THAT(summary.worst, Optional(0.8));
  EXPECT_EQ(summary.samples, 2 * 10 * 4);
  // Means of the nodes: .495, .595, ...: reached at 1 s, step 4 of both.
  EXPECT_THAT(summary.seconds_to_target, Optional(1.0));
  EXPECT_THAT(summary.samples_to_target, Optional(2 * 4 * 4.0));
  // Seen training from 0 s to 2 s, step 0 to 8.
  EXPECT_THAT(summary.healthy_steps_per_second, Optional(4.0));
  // Between 1.5 s and 3 s: 0.5/3 and 0.5/4; of two, the larger is the median.
  EXPECT_THAT(summary.distance, Optional(DoubleNear(0.5 / 3, kRounding)));
  EXPECT_THAT(summary.bytes_per_node, Optional(2000.0));
  EXPECT_THAT(summary.epsilon, Optional(0.75));
}

TEST(CompareSummaryTest, ATargetThatIsNotReachedHasNoTime) {
  const auto result = tests::HandMade("x", {});
  EXPECT_EQ(Summarise(result, 0.99).seconds_to_target, std::nullopt);
  EXPECT_EQ(Summarise(result, 0.99).samples_to_target, std::nullopt);
  EXPECT_EQ(Summarise(result, std::nullopt).seconds_to_target, std::nullopt);
}

TEST(CompareSummaryTest, ADeadNodeKeepsItsSamplesAndHasNoSay) {
  auto result = tests::HandMade("x", {});
  result.nodes[1].trouble = "was killed";
  result.nodes[1].accuracy.reset();
  result.nodes[1].step = 4;
  for (std::size_t s = 2; s < result.samples.size(); ++s)
    result.samples[s].nodes[1].reset();
  EXPECT_THAT(SamplesSoFar(result), ElementsAre(0, 32, 48, 56, 56));
  const auto summary = Summarise(result, std::nullopt);
  EXPECT_THAT(summary.accuracy, Optional(0.9));
  EXPECT_EQ(summary.samples, 56);
  EXPECT_THAT(MeanAccuracy(result.samples[2]),
              Optional(DoubleNear(0.7, kRounding)));
  EXPECT_THAT(summary.healthy_steps_per_second, Optional(4.0));
}

TEST(CompareSummaryTest, TheSlowedNodeIsNotAmongTheHealthy) {
  MatrixCell cell;
  cell.straggler = 10;
  auto result = tests::HandMade("x", cell);
  for (auto& sample : result.samples) sample.nodes[1]->step /= 4;
  EXPECT_THAT(Summarise(result, {}).healthy_steps_per_second, Optional(4.0));
}

TEST(CompareJsonTest, EverythingComesBack) {
  auto results = tests::HandMadeResults();
  results.cells[0].samples[1].nodes[0].reset();
  results.cells[0].samples[2].distance.reset();
  results.cells[1].nodes[0].epsilon.reset();
  results.cells[1].why = "\"quoted\", \xc3\xa9, <b>";
  const auto json = ToJson(results);
  const auto back = FromJson(json);
  EXPECT_EQ(ToJson(back), json);
  EXPECT_EQ(back.cells[1].cell, results.cells[1].cell);
  EXPECT_EQ(back.cells[0].samples[1].nodes[0].has_value(), false);
  EXPECT_EQ(back.cells[0].samples[1].nodes[1]->accuracy,
            results.cells[0].samples[1].nodes[1]->accuracy);
  EXPECT_EQ(back.cells[2].outcome, Outcome::kRefused);
  EXPECT_EQ(back.cells[1].why, results.cells[1].why);
  EXPECT_EQ(back.target_accuracy, results.target_accuracy);
}

TEST(CompareJsonTest, WhatJsonCannotSayIsNull) {
  auto results = tests::HandMadeResults();
  results.cells[0].nodes[0].epsilon = std::numeric_limits<double>::infinity();
  const auto json = ToJson(results);
  EXPECT_TRUE(json["cells"][0]["nodes"][0]["epsilon"].is_null());
  EXPECT_EQ(FromJson(json).cells[0].nodes[0].epsilon, std::nullopt);
}

TEST(CompareJsonTest, ADamagedFileIsAnErrorThatSaysWhatToDo) {
  const tests::TemporaryFolder folder;
  const auto file = folder / "results.json";
  EXPECT_FALSE(ReadResults(file).has_value());
  auto whole = ToJson(tests::HandMadeResults());
  std::vector<std::string> bad = {"", "[]", "{", "{\"schema\":2}",
                                  whole.dump().substr(0, 700)};
  auto changed = whole;
  changed["cells"][0]["outcome"] = "splendid";
  bad.push_back(changed.dump());
  changed = whole;
  changed["cells"][0]["samples"][0]["nodes"].push_back(nullptr);
  bad.push_back(changed.dump());
  changed = whole;
  changed["cells"][0]["seconds"] = "three";
  bad.push_back(changed.dump());
  for (const auto& text : bad) {
    std::ofstream(file) << text;
    EXPECT_THAT([&] { ReadResults(file); },
                ::testing::ThrowsMessage<Exit>(HasSubstr("remove it")))
        << text.substr(0, 60);
  }
}

// Reads RFC 4180 back, as a spreadsheet would.
std::vector<std::map<std::string, std::string>> ParseCsv(
    const std::string& text) {
  std::vector<std::vector<std::string>> rows(1, {""});
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"')
        rows.back().back() += c;
      else if (i + 1 < text.size() && text[i + 1] == '"')
        rows.back().back() += text[++i];
      else
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      rows.back().emplace_back();
    } else if (c == '\n') {
      rows.push_back({""});
    } else {
      rows.back().back() += c;
    }
  }
  EXPECT_EQ(rows.back(), std::vector<std::string>{""}) << "no last newline";
  rows.pop_back();
  std::vector<std::map<std::string, std::string>> lines;
  for (std::size_t r = 1; r < rows.size(); ++r) {
    EXPECT_EQ(rows[r].size(), rows[0].size()) << "line " << r;
    lines.emplace_back();
    for (std::size_t c = 0; c < rows[0].size(); ++c)
      lines.back()[rows[0][c]] = rows[r].at(c);
  }
  return lines;
}

TEST(CompareCsvTest, EveryFieldComesBackWhateverIsInIt) {
  auto results = tests::HandMadeResults();
  const std::vector<std::string> words = {
      "plain", "a, b", "say \"no\"", "two\nlines", ",", "\"", "caf\xc3\xa9"};
  for (const auto& word : words) {
    results.cells[2].why = word;
    const auto lines = ParseCsv(CellsCsv(results));
    ASSERT_EQ(lines.size(), 3u);
    EXPECT_EQ(lines[2].at("why"), word);
    EXPECT_EQ(lines[2].at("outcome"), "refused");
    EXPECT_EQ(lines[2].at("accuracy_mean"), "");
    EXPECT_EQ(lines[1].at("straggler"), "10");
    EXPECT_EQ(lines[0].at("samples_to_target"), "32");
    EXPECT_EQ(std::stod(lines[0].at("epsilon_largest")), 0.75);
  }
  const auto samples = ParseCsv(SamplesCsv(results));
  ASSERT_EQ(samples.size(), 2u * 5u * 2u);
  EXPECT_EQ(samples[3].at("node"), "b");
  EXPECT_EQ(samples[3].at("step"), "4");
  EXPECT_EQ(std::stod(samples[3].at("accuracy")),
            *results.cells[0].samples[1].nodes[1]->accuracy);
}

TEST(CompareCsvTest, ASpreadsheetIsGivenNoFormula) {
  auto results = tests::HandMadeResults();
  for (const char* formula : {"=1+1", "+1", "-1", "@x"}) {
    results.cells[2].why = formula;
    EXPECT_EQ(ParseCsv(CellsCsv(results))[2].at("why"),
              std::string("'") + formula);
  }
}

}  // namespace
}  // namespace hearsay::ops
