#include "ops/compare/recipe.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <sstream>

#include "daemon/config_reader.h"
#include "ops/cli/new_cluster.h"
#include "ops/cli/node_config.h"

namespace hearsay::ops {
namespace {

namespace fs = std::filesystem;
using daemon::ConfigError;
using daemon::ConfigReader;

constexpr double kMostNodes = 64;
constexpr double kMostResync = 1e9;
constexpr double kMostStraggler = 1e6;
constexpr std::size_t kMostCells = 1000;
constexpr std::int64_t kMostRows = 10'000'000;
constexpr std::string_view kSynth = "synth:";
constexpr std::string_view kNodes = "nodes.";

// What would make a cell's epsilon or its samples others than the rest's.
constexpr std::array kEqual = {"train.steps", "train.sample_rate",
                               "train.public_size"};

// What a cell decides, or compare for all of them.
constexpr std::array kAxes = {"mixing.rule", "mixing.topology",
                              "resync.every_steps", "train.throttle"};
constexpr std::array kOurs = {"cluster.name", "cluster.expect", "data.train",
                              "data.eval", "test.probe"};

std::string ReadText(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

template <typename T>
void Take(T& field, std::optional<T> value) {
  if (value) field = *value;
}

void ReadData(ConfigReader& reader, Recipe& recipe) {
  const std::string key = "compare.data";
  const auto data = reader.String(key);
  if (!data || data->empty())
    reader.Fail(key,
                "this key is required: \"synth:ROWS\", a CSV file or a folder "
                "of shards");
  recipe.data = *data;
  Take(recipe.schema, reader.Path("compare.schema"));
  Take(recipe.eval_fraction,
       reader.Number("compare.eval_fraction", 0.001, 0.9));
  Take(recipe.partition, reader.String("compare.partition"));
  if (data->starts_with(kSynth)) {
    const char* const end = data->data() + data->size();
    const auto [stop, error] =
        std::from_chars(data->data() + kSynth.size(), end, recipe.synth_rows);
    if (error != std::errc() || stop != end || recipe.synth_rows < 1 ||
        recipe.synth_rows > kMostRows)
      reader.Fail(key, fmt::format("\"{}\" is not synth:ROWS with 1 to {} rows",
                                   *data, kMostRows));
  } else {
    recipe.data_path = *reader.Path(key);
    if (!fs::exists(recipe.data_path))
      reader.Fail(key, fmt::format("{}: there is no such file or folder",
                                   recipe.data_path.string()));
  }
  const bool prepared = fs::is_directory(recipe.data_path);
  if (prepared && !recipe.schema.empty())
    reader.Fail("compare.schema", "shards need no schema: leave it out");
  if (!prepared && recipe.schema.empty())
    reader.Fail("compare.schema",
                "this key is required: what the columns mean, such as "
                "\"../schemas/pums-employed.toml\"");
  if (!prepared && !fs::exists(recipe.schema))
    reader.Fail("compare.schema", fmt::format("{}: there is no such file",
                                              recipe.schema.string()));
}

void ReadCompare(ConfigReader& reader, Recipe& recipe) {
  recipe.title = reader.String("compare.title").value_or("");
  if (recipe.title.empty())
    reader.Fail("compare.title",
                "this key is required: the question that the "
                "comparison answers");
  Take(recipe.backend, reader.Word("compare.backend", {"daemons", "sim"}));
  ReadData(reader, recipe);
  Take(recipe.sample_every, reader.Time("compare.sample_every"));
  if (recipe.sample_every < std::chrono::milliseconds(10))
    reader.Fail("compare.sample_every", "must be at least \"10ms\"");
  Take(recipe.time_limit, reader.Time("compare.time_limit"));
  Take(recipe.stalled_after, reader.Time("compare.stalled_after"));
  Take(recipe.settle, reader.Time("compare.settle"));
  if (reader.Word("compare.until", {"all", "healthy"}) == "healthy")
    recipe.until = Recipe::Until::kHealthy;
  recipe.target_accuracy = reader.Number("compare.target_accuracy", 0, 1);
}

std::vector<std::string> Words(ConfigReader& reader, const std::string& key,
                               const std::string& otherwise) {
  const auto words = reader.Strings(key);
  if (!words) return {otherwise};
  if (words->empty()) reader.Fail(key, "must have at least one value");
  return *words;
}

template <typename T>
std::vector<T> Counts(ConfigReader& reader, const std::string& key, double low,
                      double high, T otherwise) {
  const auto numbers = reader.Numbers(key, low, high);
  if (!numbers) return {otherwise};
  if (numbers->empty()) reader.Fail(key, "must have at least one value");
  std::vector<T> counts;
  for (const double number : *numbers) {
    if (std::is_integral_v<T> && number != std::floor(number))
      reader.Fail(key, fmt::format("{} is not a whole number", number));
    counts.push_back(static_cast<T>(number));
  }
  return counts;
}

void CheckKills(const ConfigReader& reader, const std::string& key,
                const Axes& axes) {
  for (const auto& text : axes.kill) {
    std::optional<Kill> kill;
    try {
      kill = ParseKill(text);
    } catch (const std::invalid_argument& error) {
      reader.Fail(key, error.what());
    }
    if (!kill) continue;
    for (const int nodes : axes.nodes) {
      bool known = false;
      for (int i = 0; i < nodes; ++i) known |= NodeName(i) == kill->node;
      if (!known)
        reader.Fail(key, fmt::format("\"{}\": a cluster of {} has no node {}; "
                                     "they are {} to {}",
                                     text, nodes, kill->node, NodeName(0),
                                     NodeName(nodes - 1)));
    }
  }
}

// Settings of single matrices leave equal what is to be equal.
std::vector<std::string> Settings(ConfigReader& reader,
                                  const std::string& key) {
  const auto settings = reader.Strings(key);
  if (!settings) return {};
  for (const auto& setting : *settings) {
    const std::string name = setting.substr(0, setting.find('='));
    if (name == setting || name.find('.') == std::string::npos)
      reader.Fail(key, fmt::format("\"{}\" is not SECTION.KEY=VALUE, such as "
                                   "\"mixing.server=a\"",
                                   setting));
    const auto is = [&](const char* known) { return name == known; };
    if (name.starts_with("privacy.") ||
        std::any_of(kEqual.begin(), kEqual.end(), is))
      reader.Fail(key, fmt::format("{} is the same in all cells: write it in "
                                   "[nodes.*]",
                                   name));
    if (std::any_of(kAxes.begin(), kAxes.end(), is) ||
        std::any_of(kOurs.begin(), kOurs.end(), is))
      reader.Fail(key,
                  fmt::format("{} is an axis, or chosen by compare", name));
  }
  return *settings;
}

void ReadMatrix(ConfigReader& reader, Recipe& recipe) {
  const MatrixCell usual;
  std::vector<Axes> matrices;
  reader.Tables("matrix", [&](const std::string& at) {
    Axes axes{
        .nodes = Counts(reader, at + ".nodes", 1, kMostNodes, usual.nodes),
        .rule = Words(reader, at + ".rule", usual.rule),
        .topology = Words(reader, at + ".topology", usual.topology),
        .resync = Counts(reader, at + ".resync", 0, kMostResync, usual.resync),
        .straggler = Counts(reader, at + ".straggler", 1, kMostStraggler,
                            usual.straggler),
        .kill = Words(reader, at + ".kill", usual.kill),
        .set = Settings(reader, at + ".set"),
        .name = reader.String(at + ".name").value_or("")};
    CheckKills(reader, at + ".kill", axes);
    matrices.push_back(std::move(axes));
  });
  if (matrices.empty())
    reader.Fail("matrix", "at least one [[matrix]] is required");
  recipe.cells = Expand(matrices);
  if (recipe.cells.size() > kMostCells)
    reader.Fail("matrix", fmt::format("{} cells are more than {}",
                                      recipe.cells.size(), kMostCells));
  recipe.ids = IdsOf(recipe.cells);
  if (recipe.schema.empty() && VaryingOf(recipe.cells).nodes)
    reader.Fail("matrix",
                "with a folder of shards every cell has the same number of "
                "nodes, or they would not train on the same records; give a "
                "CSV file instead");
}

// One value as TOML on one line, as --set takes it.
std::string Inline(const toml::node& node) {
  if (const auto* array = node.as_array()) {
    std::string text;
    for (const auto& element : *array)
      text += (text.empty() ? "" : ", ") + Inline(element);
    return "[" + text + "]";
  }
  std::ostringstream text;
  if (const auto* table = node.as_table()) {
    toml::table copy = *table;
    copy.is_inline(true);
    text << toml::toml_formatter{copy, toml::format_flags::none};
  } else {
    node.visit([&](const auto& value) {
      text << toml::toml_formatter{value, toml::format_flags::none};
    });
  }
  return text.str();
}

void ReadNodes(const ConfigReader& reader, Recipe& recipe) {
  const toml::table root = toml::parse(recipe.text, recipe.file.string());
  const auto* nodes = root["nodes"].as_table();
  if (nodes == nullptr) return;
  for (const auto& [section, keys] : *nodes) {
    const std::string name(section.str());
    const auto* table = keys.as_table();
    if (table == nullptr)
      reader.Fail(std::string(kNodes) + name,
                  "must be a section of hearsayd.toml, such as [nodes.train]");
    for (const auto& [inner, value] : *table) {
      const std::string key = name + "." + std::string(inner.str());
      for (const char* axis : kAxes)
        if (key == axis)
          reader.Fail(std::string(kNodes) + key,
                      "is an axis: write it in [[matrix]]");
      for (const char* ours : kOurs)
        if (key == ours)
          reader.Fail(std::string(kNodes) + key, "is chosen by compare");
      if (key == "train.public_size" && recipe.equal_shards())
        reader.Fail(std::string(kNodes) + key,
                    "follows from compare.data, equally for all cells");
      recipe.node_settings.push_back(key + "=" + Inline(value));
    }
  }
}

// A file of its own in the system's folder for those, removed again.
class ScratchFile {
 public:
  explicit ScratchFile(const std::string& text) {
    std::string name =
        (fs::temp_directory_path() / "hearsay-recipe-XXXXXX").string();
    const int file = mkstemp(name.data());
    if (file < 0) throw ConfigError(name + ": cannot make this file");
    close(file);
    path_ = name;
    std::ofstream(path_) << text;
  }
  ~ScratchFile() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// [nodes.*] as the daemon reads them, on shards that are not there yet and
// with the rule that every daemon knows.
void CheckNodes(const Recipe& recipe) {
  if (recipe.backend == "sim") return;  // It has keys of its own, and judges.
  auto settings = recipe.node_settings;
  settings.emplace_back("tls.mode=off");
  try {
    const ConfigTemplate nodes("", settings);
    const NodePlace place{.name = "a",
                          .index = 0,
                          .folder = "/nowhere",
                          .listen = "127.0.0.1:0",
                          .peers = {},
                          .tls = {}};
    const ShardFacts shard{.train = "/nowhere/part-0.safetensors",
                           .eval = {},
                           .public_size = 1000,
                           .classes = 2};
    const ScratchFile file(nodes.TextFor(place, 1, "compare", shard));
    try {
      daemon::LoadConfig(file.path(), {});
    } catch (const ConfigError& error) {
      throw ConfigError(recipe.Explain(nodes.Explain(error.what())));
    }
  } catch (const Exit& refusal) {
    throw ConfigError(recipe.Explain(refusal.what()));
  }
}

}  // namespace

std::string Recipe::Explain(const std::string& complaint) const {
  const toml::table root = toml::parse(text, file.string());
  const auto told = [&](const std::string& key, const std::string& what) {
    const auto node = root.at_path(std::string(kNodes) + key);
    return fmt::format("{}:{}: {}{}: {}", file.string(),
                       node.node()->source().begin.line, kNodes, key, what);
  };
  // "--set KEY=VALUE: what"
  for (const auto& setting : node_settings) {
    const std::string begin = "--set " + setting + ": ";
    if (complaint.starts_with(begin))
      return told(setting.substr(0, setting.find('=')),
                  complaint.substr(begin.size()));
  }
  // "FILE:LINE: KEY: what", of a key inside of a value.
  constexpr std::string_view kColon = ": ";
  for (auto begin = complaint.find(kColon); begin != std::string::npos;) {
    begin += kColon.size();
    const auto end = complaint.find(kColon, begin);
    if (end == std::string::npos) break;
    const std::string key = complaint.substr(begin, end - begin);
    if (root.at_path(std::string(kNodes) + key))
      return told(key, complaint.substr(end + kColon.size()));
    begin = end;
  }
  return complaint;
}

std::string Recipe::Conditions() const {
  std::string lines = fmt::format(
      "backend={}\ndata={}\nschema={}\neval_fraction={}\npartition={}\n"
      "sample_every={}\ntime_limit={}\nstalled_after={}\nsettle={}\nuntil={}\n",
      backend, data_path.empty() ? data : data_path.string(), schema.string(),
      eval_fraction, partition, sample_every.count(), time_limit.count(),
      stalled_after.count(), settle.count(),
      until == Until::kAll ? "all" : "healthy");
  for (const auto& setting : node_settings) lines += setting + "\n";
  return lines;
}

Recipe ReadRecipe(const fs::path& file) {
  ConfigReader reader(file, {});
  Recipe recipe;
  recipe.file = file;
  recipe.text = ReadText(file);
  ReadCompare(reader, recipe);
  ReadMatrix(reader, recipe);
  reader.LeaveToOthers(std::string(kNodes));
  reader.RefuseUnknown();
  ReadNodes(reader, recipe);
  CheckNodes(recipe);
  return recipe;
}

}  // namespace hearsay::ops
