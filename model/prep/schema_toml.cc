#include <toml++/toml.h>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>

#include "model/prep/schema.h"
#include "model/prep/schema_section.h"

namespace hearsay::model::prep {

namespace {

CsvFormat ReadCsv(const Section& section) {
  section.Allow(
      {"header", "columns", "separator", "comment", "trim", "missing"});
  CsvFormat csv;
  csv.header = section.Bool("header", csv.header);
  if (section.Has("columns")) csv.columns = section.Raws("columns");
  if (csv.header && section.Has("columns"))
    section.FailAt("columns", "only for files without a header line");
  if (!csv.header && csv.columns.empty())
    section.Fail("header = false needs columns = [names in order]");
  std::set<std::string> names;
  for (const std::string& name : csv.columns)
    if (!names.insert(name).second)
      section.FailAt("columns", "\"" + name + "\" is there twice");
  const std::string separator = section.String("separator", ",");
  if (separator.size() != 1 || separator == "\"" || separator == "\n")
    section.FailAt("separator", "must be one character, and no quote");
  csv.separator = separator[0];
  csv.comment = section.String("comment", "");
  csv.trim = section.Bool("trim", csv.trim);
  if (section.Has("missing")) csv.missing = section.Raws("missing");
  return csv;
}

// A category of its own, a constant (fill), the end of the row, or of all.
void ReadMissing(const Section& section, InputColumn& column) {
  const std::string word = section.String("missing", "error");
  column.missing_category = word == "category";
  column.drop_missing = word == "drop";
  if (column.missing_category && !column.categorical())
    section.FailAt("missing",
                   "\"category\" is for categorical and binned columns: use "
                   "fill, and indicator = true");
  if (word != "error" && !column.missing_category && !column.drop_missing)
    section.FailAt("missing", "must be \"error\", \"category\" or \"drop\"");
  if (section.Has("fill") && section.Has("missing"))
    section.FailAt("fill", "stands instead of missing");
}

void ReadBounds(const Section& section, double& minimum, double& maximum) {
  minimum = section.Number("min");
  maximum = section.Number("max");
  if (!(minimum < maximum)) section.FailAt("min", "must be below max");
  if (!std::isfinite(maximum - minimum))
    section.FailAt("min", "is too far from max");
}

// Bounds that were read off the rows, if only under noise, need some to begin
// with.
void ReadStatistics(const Section& section, InputColumn& column) {
  const bool numeric = column.kind == InputColumn::Kind::kNumeric;
  const char* const key = numeric ? "deviations" : "fold_below";
  if (!section.Has("statistics")) {
    if (section.Has(key)) section.FailAt(key, "needs statistics = \"private\"");
    return;
  }
  if (section.String("statistics") != "private")
    section.FailAt("statistics",
                   "must be \"private\": released under noise, and charged");
  if (!numeric && !column.other)
    section.FailAt("statistics",
                   "needs other = true, where rare categories go");
  const double value = section.Has(key) || !numeric ? section.Number(key) : 3;
  if (!(value > 0)) section.FailAt(key, "must be above 0");
  (numeric ? column.deviations : column.fold_below) = value;
}

// "x" | 3 | ["x", "X"] | { name = "x", values = ["x", "X"] }
Category ReadCategory(const Section& section, const toml::node& node) {
  if (const auto* list = node.as_array()) {
    Category category;
    for (const toml::node& value : *list)
      category.values.push_back(section.Raw("categories", value));
    if (category.values.empty())
      section.Fail(node.source(), "categories: an empty list");
    category.name = category.values.front();
    return category;
  }
  if (node.is_table()) {
    const Section inner = section.Inner(node, "categories: ");
    inner.Allow({"name", "values"});
    return {inner.Name("name"), inner.Raws("values")};
  }
  const std::string value = section.Raw("categories", node);
  return {value, {value}};
}

void ReadCategorical(const Section& section, InputColumn& column) {
  section.Allow({"name", "from", "kind", "public", "categories", "other",
                 "missing", "fill", "statistics", "fold_below"});
  std::set<std::string> names;
  std::set<std::string> values;
  for (const toml::node& node : section.Array("categories")) {
    Category category = ReadCategory(section, node);
    if (!names.insert(category.name).second)
      section.Fail(node.source(),
                   "categories: \"" + category.name + "\" is there twice");
    for (const std::string& value : category.values)
      if (!values.insert(value).second)
        section.Fail(node.source(),
                     "categories: the value \"" + value + "\" is there twice");
    column.categories.push_back(std::move(category));
  }
  column.other = section.Bool("other", false);
  ReadMissing(section, column);
  if (section.Has("fill")) {
    column.fill_value = section.RawAt("fill");
    if (!column.other && !values.contains(*column.fill_value))
      section.FailAt(
          "fill", "\"" + *column.fill_value + "\" is a value of no category");
  }
  if (column.categories.empty())
    section.FailAt("categories", "needs at least one");
  ReadStatistics(section, column);
  if ((column.other && names.contains("other")) ||
      (column.missing_category && names.contains("missing")))
    section.FailAt("categories",
                   "\"other\" and \"missing\" are the names of the buckets "
                   "that other = true and missing = \"category\" add");
}

// Derived from columns, by `value` instead of `from`.
void ReadValue(const Section& section, InputColumn& column) {
  if (!section.Has("value")) return;
  if (section.Has("from")) section.FailAt("value", "stands instead of from");
  column.value = section.Parsed<Arithmetic>("value");
}

void ReadBinned(const Section& section, InputColumn& column) {
  section.Allow({"name", "from", "value", "kind", "public", "min", "max",
                 "width", "edges", "missing", "fill"});
  ReadValue(section, column);
  ReadMissing(section, column);
  if (section.Has("fill")) column.fill = section.Number("fill");
  if (section.Has("edges")) {
    if (section.Has("min") || section.Has("max") || section.Has("width"))
      section.FailAt("edges", "stands instead of min, max and width");
    for (const toml::node& node : section.Array("edges")) {
      const auto edge = node.value<double>();
      if (!node.is_number() || !std::isfinite(*edge) ||
          (!column.edges.empty() && *edge <= column.edges.back()))
        section.FailAt("edges", "must be increasing numbers");
      column.edges.push_back(*edge);
    }
    if (column.edges.size() < 2) section.FailAt("edges", "needs two or more");
    return;
  }
  double minimum = 0;
  double maximum = 0;
  ReadBounds(section, minimum, maximum);
  const double width = section.Number("width");
  if (width <= 0) section.FailAt("width", "must be positive");
  const double bins = std::ceil((maximum - minimum) / width);
  // Beyond this the check against 255 categories fails anyway.
  if (bins > 10'000) section.FailAt("width", "makes too many bins");
  for (int i = 0; i < static_cast<int>(bins); ++i)
    column.edges.push_back(minimum + i * width);
  column.edges.push_back(maximum);
}

void ReadIndicator(const Section& section, InputColumn& column) {
  column.missing_indicator = section.Bool("indicator", false);
  if (column.missing_indicator && !column.fill)
    section.FailAt("indicator",
                   "needs fill, the value instead of a missing one");
}

void ReadNumeric(const Section& section, InputColumn& column) {
  section.Allow({"name", "from", "value", "kind", "public", "min", "max",
                 "fill", "indicator", "missing", "statistics", "deviations"});
  ReadValue(section, column);
  if (section.Has("statistics") && !(section.Has("min") && section.Has("max")))
    section.FailAt("statistics",
                   "needs min and max: public bounds, as wide as one would "
                   "guess without the rows, that no row may pass");
  ReadBounds(section, column.minimum, column.maximum);
  ReadStatistics(section, column);
  ReadMissing(section, column);
  if (section.Has("fill")) column.fill = section.Number("fill");
  if (column.fill &&
      (*column.fill < column.minimum || *column.fill > column.maximum))
    section.FailAt("fill", "must lie between min and max");
  ReadIndicator(section, column);
}

// Spelt by the column's text, or derived from others.
void ReadBoolean(const Section& section, InputColumn& column) {
  column.maximum = 1;
  if (section.Has("when")) {
    section.Allow({"name", "kind", "when"});
    column.when = section.Condition("when");
    return;
  }
  section.Allow({"name", "from", "kind", "public", "true", "false", "fill",
                 "indicator", "missing"});
  column.categories = {
      {"false", {"0", "false", "False", "FALSE", "f", "F", "no", "No", "NO"}},
      {"true", {"1", "true", "True", "TRUE", "t", "T", "yes", "Yes", "YES"}}};
  if (section.Has("true") != section.Has("false"))
    section.Fail("needs both true = [...] and false = [...], or neither");
  if (section.Has("true")) {
    column.categories[0].values = section.Raws("false");
    column.categories[1].values = section.Raws("true");
    for (const std::string& value : column.categories[0].values)
      if (std::count(column.categories[1].values.begin(),
                     column.categories[1].values.end(), value) > 0)
        section.FailAt("false", "\"" + value + "\" is also true");
  }
  ReadMissing(section, column);
  if (section.Has("fill")) column.fill = section.Bool("fill", false) ? 1 : 0;
  ReadIndicator(section, column);
}

TextFormat ReadTextFormat(const Section& section) {
  // What describes a shard grows by a kilobyte with each place.
  constexpr double kMostPlaces = 2048;
  TextFormat text;
  const double length = section.Number("length");
  if (length < 1 || length > kMostPlaces || length != std::floor(length))
    section.FailAt("length", "must be a whole number of bytes, 1 to 2048");
  text.length = static_cast<std::size_t>(length);
  for (const auto& [key, field] :
       {std::pair{"padding", &text.padding}, std::pair{"cut", &text.cut}}) {
    const std::string word = section.String(key, "end");
    if (word != "start" && word != "end")
      section.FailAt(key, "must be \"start\" or \"end\"");
    *field = word == "start" ? TextFormat::End::kStart : TextFormat::End::kEnd;
  }
  return text;
}

void ReadText(const Section& section, InputColumn& column) {
  section.Allow({"name", "from", "kind", "public", "length", "padding", "cut",
                 "missing", "fill"});
  column.text = ReadTextFormat(section);
  ReadMissing(section, column);
  if (section.Has("fill")) column.fill_value = section.String("fill");
}

// What prep --infer proposes was read off private rows.
void RequirePublic(const Section& section) {
  if (!section.Bool("public", true))
    section.FailAt("public",
                   "what stands here was inferred from private rows: compare "
                   "it with the data's documentation, make it what is known "
                   "without the rows, and then remove this line");
}

InputColumn ReadColumn(const Section& plain, const toml::node& node) {
  const Section anonymous = plain.Inner(node, "[[column]]: ");
  InputColumn column;
  column.name = anonymous.Name("name");
  const Section section = plain.Inner(node, "column " + column.name + ": ");
  column.from = section.String("from", column.name);
  const std::string kind = section.String("kind");
  RequirePublic(section);
  if (kind == "categorical") {
    column.kind = InputColumn::Kind::kCategorical;
    ReadCategorical(section, column);
  } else if (kind == "binned") {
    column.kind = InputColumn::Kind::kBinned;
    ReadBinned(section, column);
  } else if (kind == "numeric" || kind == "integer") {
    column.kind = InputColumn::Kind::kNumeric;
    column.whole = kind == "integer";
    ReadNumeric(section, column);
  } else if (kind == "boolean") {
    column.kind = InputColumn::Kind::kBoolean;
    ReadBoolean(section, column);
  } else if (kind == "text") {
    column.kind = InputColumn::Kind::kText;
    ReadText(section, column);
  } else {
    section.FailAt("kind",
                   "must be \"categorical\", \"binned\", \"numeric\", "
                   "\"integer\", \"boolean\" or \"text\", not \"" +
                       kind + "\"");
  }
  const std::size_t categories =
      column.categories.size() + column.other + column.missing_category +
      (column.edges.empty() ? 0 : column.edges.size() - 1);
  if (categories > kMaxCategories)
    section.Fail("has " + std::to_string(categories) +
                 " categories, and at most 255 fit: merge rare ones into "
                 "one category of several values, use other = true, or wider "
                 "bins");
  return column;
}

LabelRule ReadLabel(const Section& section) {
  section.Allow(
      {"name", "description", "public", "classes", "column", "min", "max"});
  RequirePublic(section);
  LabelRule label;
  label.name = section.Name("name");
  label.description = section.String("description", "");
  if (section.Has("classes") == section.Has("column"))
    section.Fail(
        "needs either classes = [{ name, when }, ...] or column, min "
        "and max (regression)");
  if (section.Has("column")) {
    label.column = section.Name("column");
    ReadBounds(section, label.minimum, label.maximum);
    return label;
  }
  if (section.Has("min") || section.Has("max"))
    section.Fail("min and max belong to column, not to classes");
  std::set<std::string> names;
  for (const toml::node& node : section.Array("classes")) {
    const Section inner = section.Inner(node, "label: classes: ");
    inner.Allow({"name", "when"});
    if (!label.classes.empty() && !label.classes.back().when)
      inner.Fail(
          "a class without when takes all other rows, so it must be "
          "the last");
    LabelClass entry{inner.Name("name"), std::nullopt};
    if (inner.Has("when")) entry.when = inner.Condition("when");
    if (!names.insert(entry.name).second)
      inner.FailAt("name", "\"" + entry.name + "\" is there twice");
    label.classes.push_back(std::move(entry));
  }
  if (label.classes.size() < 2) section.FailAt("classes", "needs two or more");
  return label;
}

std::vector<InputColumn> ReadColumns(const toml::table& root,
                                     const Section& top) {
  const toml::node* node = root.get("column");
  if (node == nullptr || !node->is_array_of_tables())
    top.Fail("needs at least one [[column]]");
  std::vector<InputColumn> columns;
  std::set<std::string> names;
  for (const toml::node& entry : *node->as_array()) {
    columns.push_back(ReadColumn(top, entry));
    const InputColumn& column = columns.back();
    if (!names.insert(column.name).second ||
        (column.missing_indicator &&
         !names.insert(column.name + " missing").second))
      top.Fail(entry.source(),
               "two columns are called \"" + column.name + "\"");
    for (std::size_t i = 0; i < column.text.length; ++i)
      if (const std::string place = column.name + " " + std::to_string(i);
          !names.insert(place).second)
        top.Fail(entry.source(), "two columns are called \"" + place + "\"");
  }
  return columns;
}

ImageFormat ReadImages(const Section& section) {
  section.Allow({"channels", "height", "width"});
  constexpr double kMostExtent = 4096;
  constexpr std::size_t kMostPixels = std::size_t{1} << 16;
  ImageFormat images;
  for (const auto& [key, field] : {std::pair{"channels", &images.channels},
                                   std::pair{"height", &images.height},
                                   std::pair{"width", &images.width}}) {
    const double extent = section.Number(key);
    if (extent < 1 || extent != std::floor(extent) || extent > kMostExtent)
      section.FailAt(key, "must be a whole number, 1 to 4096");
    *field = static_cast<int>(extent);
  }
  if (images.bytes() > kMostPixels)
    section.Fail("an image must have 65536 values at most");
  return images;
}

// A byte or a folder says which; a class has no condition.
std::vector<LabelClass> ReadNamedClasses(const Section& section) {
  std::vector<LabelClass> classes;
  std::set<std::string> names;
  for (const toml::node& node : section.Array("classes")) {
    if (!node.is_string())
      section.FailAt("classes", "must be a list of names, in their order");
    classes.push_back({node.as_string()->get(), std::nullopt});
    if (!names.insert(classes.back().name).second)
      section.FailAt("classes",
                     "\"" + classes.back().name + "\" is there twice");
  }
  if (classes.size() < 2 || classes.size() > 256)
    section.FailAt("classes", "needs 2 to 256 names");
  return classes;
}

// Of files that are no tables.
LabelRule ReadNamedLabel(const Section& section) {
  section.Allow({"name", "description", "classes"});
  LabelRule label;
  label.name = section.Name("name");
  label.description = section.String("description", "");
  label.classes = ReadNamedClasses(section);
  return label;
}

void ReadStatisticsNoise(const toml::table& root, const Section& top,
                         Schema& schema) {
  const bool wanted = std::any_of(
      schema.columns.begin(), schema.columns.end(),
      [](const InputColumn& column) { return column.wants_statistics(); });
  const auto* statistics = root.get("statistics");
  if (statistics == nullptr) {
    if (wanted)
      top.Fail(
          "statistics = \"private\" needs their noise: [statistics] "
          "noise_multiplier = 50, say (`hearsay epsilon --q 1 --steps 1 "
          "--sigma 50 --delta 1e-5` tells what that costs)");
    return;
  }
  const Section section = top.Inner(*statistics, "statistics: ");
  section.Allow({"noise_multiplier"});
  if (!wanted) section.Fail("no column has statistics = \"private\"");
  schema.statistics_noise = section.Number("noise_multiplier");
  if (!(schema.statistics_noise >= 0.1 && schema.statistics_noise <= 1e6))
    section.FailAt("noise_multiplier", "must be 0.1 to 1000000");
}

Schema Read(const toml::table& root, const std::filesystem::path& path) {
  const Section top(root, path, "");
  top.Allow({"name", "description", "public_size", "csv", "keep", "label",
             "column", "images", "text", "statistics"});
  Schema schema;
  schema.name = top.Name("name");
  schema.description = top.String("description", "");
  if (top.Has("public_size")) {
    const double size = top.Number("public_size");
    if (size < 1 || size != std::floor(size) || size > 1e15)
      top.FailAt("public_size", "must be a positive whole number");
    schema.public_size = static_cast<std::int64_t>(size);
  }
  const auto* label = root.get("label");
  if (label == nullptr) top.Fail("needs a [label]");
  for (const char* kind : {"images", "text"}) {
    if (!top.Has(kind)) continue;
    const std::string title = std::string("[") + kind + "]";
    for (const char* other : {"csv", "keep", "column", "text", "statistics"})
      if (top.Has(other) && std::string_view(other) != kind)
        top.FailAt(other, "does not go with " + title);
    const Section inner = top.Inner(*root.get(kind), std::string(kind) + ": ");
    if (top.Has("images")) {
      schema.images = ReadImages(inner);
    } else {
      inner.Allow({"length", "padding", "cut"});
      schema.text = ReadTextFormat(inner);
    }
    schema.label = ReadNamedLabel(top.Inner(*label, "label: "));
    return schema;
  }
  if (const auto* csv = root.get("csv"))
    schema.csv = ReadCsv(top.Inner(*csv, "csv: "));
  if (top.Has("keep")) schema.keep = top.Condition("keep");
  schema.columns = ReadColumns(root, top);
  ReadStatisticsNoise(root, top, schema);
  schema.label = ReadLabel(top.Inner(*label, "label: "));
  return schema;
}

}  // namespace

Schema ParseSchema(std::string_view text, const std::filesystem::path& path) {
  toml::table root;
  try {
    root = toml::parse(text, path.string());
  } catch (const toml::parse_error& error) {
    throw FileError(path.string() + ":" +
                    std::to_string(error.source().begin.line) + ": " +
                    std::string(error.description()));
  }
  return Read(root, path);
}

Schema LoadSchema(const std::filesystem::path& path) {
  ByteSource source(path);
  std::string text;
  char block[4096];
  while (const std::size_t count = source.Read(block, sizeof block)) {
    text.append(block, count);
    // Also keeps a CSV given by mistake from being read whole.
    if (text.size() > (std::size_t{4} << 20))
      throw FileError(path.string() + ": is too large for a schema");
  }
  return ParseSchema(text, path);
}

}  // namespace hearsay::model::prep
