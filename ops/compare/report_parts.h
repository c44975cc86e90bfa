// The parts that report.cc puts together. Everything here is of `results`
// alone; what is returned as HTML is escaped, what is returned as text is not.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "ops/compare/results.h"

namespace hearsay::ops {

// The cells that ran, with what is made of them once.
struct Ran {
  const CellResult* result = nullptr;
  std::string label;
  // Cells of one way to mix have one colour; its variants are dashed.
  int colour = 0;
  int dash = 0;
  Summary summary;
};

struct ReportData {
  const Results* results = nullptr;
  Varying varying;  // of those that ran: what can be compared
  Varying naming;   // of all: what tells cells apart
  std::vector<Ran> ran;
};
// `results` must outlive it.
ReportData ReportDataOf(const Results& results);

// Sentences that answer the question, from the numbers; as text.
std::vector<std::string> Findings(const ReportData& data);
// What a reader must know before believing them; as text.
std::vector<std::string> Warnings(const ReportData& data);

// Charts, for report.js to draw; null where the cells say nothing about it.
nlohmann::ordered_json AccuracyOverTime(const ReportData& data);
nlohmann::ordered_json AccuracyOverSamples(const ReportData& data);
nlohmann::ordered_json DistanceOverTime(const ReportData& data);
nlohmann::ordered_json BytesOfCells(const ReportData& data);
nlohmann::ordered_json StepsOverStragglers(const ReportData& data);
nlohmann::ordered_json StepTimeOverNodes(const ReportData& data);
nlohmann::ordered_json AccuracyOverResync(const ReportData& data);
nlohmann::ordered_json DistanceOverResync(const ReportData& data);
nlohmann::ordered_json StepsOverTime(const ReportData& data);

// Tables, as HTML.
std::string GlanceTable(const ReportData& data);
std::string TimeTable(const ReportData& data);
std::string SamplesTable(const ReportData& data);
std::string DistanceTable(const ReportData& data);
std::string BytesTable(const ReportData& data);
std::string StragglerTable(const ReportData& data);
std::string ScalingTable(const ReportData& data);
std::string ResyncTable(const ReportData& data);
std::string DeathTable(const ReportData& data);
std::string ConditionsTable(const ReportData& data);
std::string NodesTable(const ReportData& data);

// An axis along which cells are compared that are otherwise the same.
enum class Axis { kStraggler, kNodes, kResync };
struct Family {
  std::string label;  // of what its cells share
  int colour = 0;
  std::vector<std::pair<double, const Ran*>> members;  // by value of the axis
};
// Empty if the axis does not vary.
std::vector<Family> FamiliesAlong(const ReportData& data, Axis axis);
// All values that any cell has, in order.
std::vector<double> ValuesOf(const std::vector<Family>& families);
// When its samples were taken.
std::vector<double> SecondsOf(const CellResult& result);

}  // namespace hearsay::ops
