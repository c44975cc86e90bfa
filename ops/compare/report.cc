#include "ops/compare/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "ops/compare/html.h"
#include "ops/compare/report_parts.h"

namespace hearsay::ops {

using Json = nlohmann::ordered_json;

// Embedded by CMakeLists.txt.
extern const std::string_view kChartJs;
extern const std::string_view kReportCss;
extern const std::string_view kReportJs;

namespace {

class Page {
 public:
  // A question, its answer as a chart, and its numbers. Nothing if there is
  // neither.
  void Section(const std::string& id, const std::string& question,
               const std::string& lead, const std::vector<Json>& charts,
               const std::string& table) {
    std::string drawn;
    for (const auto& chart : charts) {
      if (chart.is_null()) continue;
      const std::string name = fmt::format("chart-{}", charts_.size());
      charts_[name] = chart;
      drawn += fmt::format(
          "<figure><div class=\"chart{}\"><canvas id=\"{}\" role=\"img\" "
          "aria-label=\"{}\"></canvas></div></figure>\n",
          chart["type"] == "bars" ? " bars" : "", name, Escaped(question));
    }
    if (drawn.empty() && !charts.empty()) return;
    body_ += fmt::format(
        "<section id=\"{}\">\n<h2>{}</h2>\n<p>{}</p>\n{}{}"
        "</section>\n",
        id, Escaped(question), Escaped(lead), drawn, table);
    contents_ += fmt::format("<a href=\"#{}\">{}</a>\n", id, Escaped(question));
  }

  void Add(const std::string& html) { body_ += html; }
  // Links to the sections come between what was added before and after.
  void Contents() { head_ = std::exchange(body_, ""); }

  std::string Text(const std::string& title) const {
    std::string text = fmt::format(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta "
        "charset=\"utf-8\">\n<meta name=\"viewport\" "
        "content=\"width=device-width, initial-scale=1\">\n<meta "
        "name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n",
        Escaped(title));
    text += "<style>\n" + std::string(kReportCss) + "</style>\n</head>\n";
    text += "<body>\n<main>\n" + head_ + "<nav>\n" + contents_ + "</nav>\n" +
            body_ + "</main>\n";
    text += "<script type=\"application/json\" id=\"charts\">" +
            ScriptJson(charts_) + "</script>\n";
    for (const auto script : {kChartJs, kReportJs})
      text += "<script>\n" + std::string(script) + "</script>\n";
    return text + "</body>\n</html>\n";
  }

 private:
  std::string head_;
  std::string contents_;
  std::string body_;
  Json charts_ = Json::object();
};

std::string List(const char* css_class, const std::vector<std::string>& lines) {
  if (lines.empty()) return "";
  std::string html = fmt::format("<ul class=\"{}\">\n", css_class);
  for (const auto& line : lines)
    html += fmt::format("<li>{}</li>\n", Escaped(line));
  return html + "</ul>\n";
}

std::vector<std::string> Remarks(const ReportData& data) {
  std::vector<std::string> lines;
  for (const auto& ran : data.ran)
    if (!ran.result->why.empty())
      lines.push_back(fmt::format("{}: {}", ran.label, ran.result->why));
  return lines;
}

// A line a reason, with all the cells that it kept from running.
std::vector<std::string> Refusals(const Results& results) {
  std::vector<std::pair<std::string, std::string>> reasons;  // why, who
  for (const auto& cell : results.cells) {
    if (cell.ran()) continue;
    const std::string why = fmt::format("{}: {}", Word(cell.outcome), cell.why);
    const auto known =
        std::find_if(reasons.begin(), reasons.end(),
                     [&](const auto& reason) { return reason.first == why; });
    if (known == reasons.end())
      reasons.emplace_back(why, cell.id);
    else
      known->second += ", " + cell.id;
  }
  std::vector<std::string> lines;
  for (const auto& [why, who] : reasons)
    lines.push_back(fmt::format("{}: {}", who, why));
  return lines;
}

std::string Provenance(const Results& results) {
  HtmlTable table{{"What", "Value"}, {}, {1}};
  table.rows = {
      {"Command", results.command},
      {"Recipe", results.recipe_file},
      {"Version", "hearsay " + results.version},
      {"Machine", fmt::format("{}, {} cores", results.cpu, results.cores)},
      {"Written", results.written}};
  return TableHtml(table) + "<pre>" + Escaped(results.recipe) + "</pre>\n";
}

void AddCharts(const ReportData& data, Page& page) {
  page.Section("stragglers", "What does one slow machine cost the others?",
               "Steps a second of the nodes that nobody slowed. A rule that "
               "waits falls with its slowest member.",
               {StepsOverStragglers(data)}, StragglerTable(data));
  page.Section("death", "What happens when a node dies?",
               "A line that goes flat is a cluster that stands still.",
               {StepsOverTime(data)}, DeathTable(data));
  page.Section("scaling", "Does it scale?",
               "The same records dealt out to more nodes: every node takes as "
               "many steps, each with a smaller batch.",
               {StepTimeOverNodes(data)}, ScalingTable(data));
  page.Section("resync", "How often should all nodes average?",
               "On top of the exchanges between neighbours, every k steps.",
               {AccuracyOverResync(data), DistanceOverResync(data)},
               ResyncTable(data));
  page.Section("time", "Which gets to an accuracy first?",
               "Mean of the nodes' own models, as each of them reported it; "
               "the last point is after they had averaged on for a moment "
               "without training.",
               {AccuracyOverTime(data)}, TimeTable(data));
  page.Section("samples", "Which learns most from a sample?",
               "The same accuracies, over the expected number of records that "
               "all nodes together had drawn: time and its waste left out.",
               {AccuracyOverSamples(data)}, SamplesTable(data));
  page.Section("distance", "Do the nodes agree?",
               "Root mean square distance of the nodes' weights from their "
               "mean, relative to the mean's length; below 0.02 they are said "
               "to agree.",
               {DistanceOverTime(data)}, DistanceTable(data));
  page.Section("bytes", "What does it cost on the wire?",
               "Bytes of arrays that a node sent until the last step, mean of "
               "the nodes.",
               {BytesOfCells(data)}, BytesTable(data));
}

}  // namespace

std::string ReportHtml(const Results& results) {
  const ReportData data = ReportDataOf(results);
  Page page;
  page.Add(fmt::format(
      "<header>\n<p class=\"kicker\">Hearsay comparison</p>\n<h1>{}</h1>\n"
      "<p class=\"facts\">{} of {} cells ran on real daemons &middot; {} "
      "&middot; {} cores &middot; {}</p>\n</header>\n",
      Escaped(results.title), data.ran.size(), results.cells.size(),
      Escaped(results.cpu), results.cores, Escaped(results.written)));
  page.Add(List("findings", Findings(data)));
  page.Add(List("warnings", Warnings(data)));
  if (const auto refused = Refusals(results); !refused.empty())
    page.Add("<h3>Not run</h3>\n" + List("refusals", refused));
  page.Contents();
  page.Section("glance", "All cells at a glance",
               "Accuracy of the weights that the nodes held at the end, judged "
               "by this program on the public evaluation set.",
               {}, GlanceTable(data) + List("notes", Remarks(data)));
  AddCharts(data, page);
  page.Section("conditions", "Are the conditions equal?",
               "Same noise, same sample rate, same number of steps: the same "
               "epsilon for each record, and the same expected samples over "
               "the cluster however many nodes it has. A node that was slowed "
               "or killed took, and spent, less.",
               {}, ConditionsTable(data));
  page.Section("nodes", "Each node at its end",
               "Public and released numbers only: nothing private was asked of "
               "a node.",
               {},
               "<details><summary>All nodes of all cells</summary>\n" +
                   NodesTable(data) + "</details>\n");
  page.Section("provenance", "How this was made", "", {}, Provenance(results));
  return page.Text(results.title);
}

}  // namespace hearsay::ops
