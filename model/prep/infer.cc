#include "model/prep/infer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "model/prep/expression.h"
#include "model/shard.h"

namespace hearsay::model::prep {

namespace {

// Beyond so many different values a column is text, or a number.
constexpr std::size_t kMostValues = kMaxCategories;
// A number of so few different values may be a code.
constexpr std::size_t kFewValues = 12;

bool StandsForMissing(std::string_view field) {
  constexpr std::array<std::string_view, 10> kSpellings = {
      "", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "."};
  return std::find(kSpellings.begin(), kSpellings.end(), field) !=
         kSpellings.end();
}

// Of one column, what its fields have been so far.
struct Seen {
  std::string name;
  std::map<std::string, std::uint64_t, std::less<>> values;
  bool many = false;  // More than kMostValues of them.
  bool numbers = true;
  bool whole = true;
  double least = std::numeric_limits<double>::infinity();
  double most = -std::numeric_limits<double>::infinity();
  std::uint64_t missing = 0;
  std::uint64_t rows = 0;

  void Add(std::string_view field) {
    if (StandsForMissing(field)) {
      ++missing;
      return;
    }
    ++rows;
    if (!many) {
      const auto found = values.find(field);
      if (found != values.end())
        ++found->second;
      else if (values.size() == kMostValues)
        many = true;
      else
        values.emplace(field, 1);
    }
    const auto number = numbers ? ParseNumber(field) : std::nullopt;
    numbers = numbers && number;
    if (!number) return;
    whole = whole && *number == std::floor(*number);
    least = std::min(least, *number);
    most = std::max(most, *number);
  }
};

std::string TomlText(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    constexpr char kDigits[] = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (byte < ' ' || byte == 0x7f) {
      quoted += std::string("\\u00") + kDigits[byte >> 4] + kDigits[byte & 15];
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string Number(double number) {
  if (number == std::floor(number) && std::abs(number) < 1e15)
    return std::to_string(static_cast<std::int64_t>(number));
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", number);
  return text;
}

// Outwards to one digit, so that no row's own value shows: 16..97 -> 10..100.
double Rounded(double number, bool up) {
  if (number == 0) return 0;
  const double unit = std::pow(10, std::floor(std::log10(std::abs(number))));
  const double steps = number / unit;
  return (up ? std::ceil(steps) : std::floor(steps)) * unit;
}

constexpr const char* kMark =
    "public = false      # private until you declare it public\n";

bool IsBoolean(const Seen& seen) {
  const auto spelt = [&](const char* no, const char* yes) {
    return std::all_of(seen.values.begin(), seen.values.end(),
                       [&](const auto& value) {
                         return value.first == no || value.first == yes;
                       });
  };
  return !seen.many && seen.values.size() == 2 &&
         (spelt("0", "1") || spelt("false", "true") || spelt("False", "True") ||
          spelt("no", "yes") || spelt("f", "t"));
}

std::string Categories(const Seen& seen) {
  std::string list = "categories = [";
  std::string line;
  std::string separator;
  for (const auto& [value, count] : seen.values) {
    const std::string next = TomlText(value);
    line += separator;
    if (line.size() + next.size() > 76) {
      list += line + "\n  ";
      line = next;
    } else {
      line += (separator.empty() ? "" : " ") + next;
    }
    separator = ",";
  }
  return list + line + "]\n";
}

std::string Column(const Seen& seen) {
  std::string text = "\n[[column]]\nname = " + TomlText(seen.name) + "\n";
  const bool few = !seen.many && seen.values.size() <= kFewValues;
  const bool numbers = seen.numbers && seen.rows > 0;
  std::string kind;
  std::string missing;
  if (IsBoolean(seen)) {
    kind = "kind = \"boolean\"\n";
    missing =
        "fill = false        # and indicator = true tells it apart\n"
        "indicator = true\n";
  } else if (numbers && !(few && seen.whole)) {
    const double least = Rounded(seen.least, false);
    const double most = Rounded(seen.most, true);
    kind = std::string("kind = ") +
           (seen.whole ? "\"integer\"" : "\"numeric\"") + "\n" + kMark +
           "min = " + Number(least) +
           "\nmax = " + Number(least < most ? most : least + 1) + "\n";
    missing = "fill = " + Number(least) +
              "\nindicator = true    # one more input: was it missing?\n";
  } else if (!seen.many && seen.rows > 0) {
    kind = std::string("kind = \"categorical\"\n") + kMark + Categories(seen);
    missing = "missing = \"category\"\n";
  } else {
    const char* const why =
        seen.rows == 0 ? "has no values in the rows looked at"
                       : "is text of many different values, a name perhaps";
    return "\n# Left out: column " + TomlText(seen.name) + " " + why + ".\n";
  }
  return text + kind + (seen.missing > 0 ? missing : "");
}

std::string Word(std::string_view text) {
  const bool plain =
      !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
      });
  return plain ? std::string(text) : "'" + std::string(text) + "'";
}

std::string Label(const Seen& seen) {
  std::string text = "\n[label]\nname = " + TomlText(seen.name) + "\n" + kMark;
  const bool few = !seen.many && seen.values.size() <= kFewValues;
  if (seen.numbers && !(few && seen.whole))
    return text + "column = " + TomlText(seen.name) +
           "      # regression\nmin = " + Number(Rounded(seen.least, false)) +
           "\nmax = " + Number(Rounded(seen.most, true)) + "\n";
  text += "classes = [\n";
  for (const auto& [value, count] : seen.values) {
    const std::string when =
        Word(seen.name) + " = " + (seen.numbers ? value : "'" + value + "'");
    text += "  { name = " + TomlText(value) + ", when = " + TomlText(when) +
            " },\n";
  }
  return text + "]\n";
}

char GuessSeparator(const std::filesystem::path& file) {
  ByteSource source(file);
  std::string start(std::size_t{1} << 16, '\0');
  std::size_t size = 0;
  while (const std::size_t count =
             source.Read(start.data() + size, start.size() - size))
    size += count;
  const std::string_view line =
      std::string_view(start).substr(0, std::min(size, start.find('\n')));
  const std::string_view separators = ",;\t|";
  return *std::max_element(separators.begin(), separators.end(),
                           [&](char a, char b) {
                             return std::count(line.begin(), line.end(), a) <
                                    std::count(line.begin(), line.end(), b);
                           });
}

// A header of numbers alone is a row.
bool IsHeader(const std::vector<std::string>& names) {
  return std::none_of(names.begin(), names.end(), [](const std::string& name) {
    return ParseNumber(name).has_value() || StandsForMissing(name);
  });
}

}  // namespace

std::string InferSchema(const InferOptions& options) {
  const auto fail = [&](const std::string& what) {
    throw FileError(options.file.string() + ": " + what);
  };
  CsvFormat format;
  format.separator = GuessSeparator(options.file);
  format.trim = true;
  format.header = false;
  CsvReader reader(options.file, format);
  std::vector<std::string_view> fields;
  if (!reader.Next(fields)) fail("has no rows");
  std::vector<std::string> names(fields.begin(), fields.end());
  const bool header = IsHeader(names);
  std::vector<Seen> columns(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!header) names[i] = "column" + std::to_string(i + 1);
    columns[i].name = names[i];
  }
  if (columns.size() < 2)
    fail("has one column only (separators looked for: , ; tab and |)");
  std::uint64_t rows = 0;
  std::uint64_t skipped = 0;
  bool more = !header || reader.Next(fields);
  for (; more && rows < options.rows; more = reader.Next(fields), ++rows) {
    if (fields.size() != columns.size()) {
      ++skipped;
      continue;
    }
    for (std::size_t i = 0; i < columns.size(); ++i) columns[i].Add(fields[i]);
  }
  if (rows == skipped) fail("has no rows that fit its first line");
  const auto label =
      options.label.empty()
          ? columns.end() - 1
          : std::find_if(columns.begin(), columns.end(), [&](const Seen& seen) {
              return seen.name == options.label;
            });
  if (label == columns.end()) fail("has no column " + options.label);
  const bool regression = label->numbers && label->rows > 0;
  if (label->values.size() < 2 || (label->many && !regression))
    fail("column " + label->name + " has " +
         (label->many ? "too many" : "too few") +
         " different values for a label: name another with --label");

  std::string text =
      "# Drafted by hearsay prep --infer from " + std::to_string(rows) +
      " rows; " + std::to_string(skipped) +
      " of them did not fit the first line.\n#\n"
      "# Bounds, categories and classes below were read off private rows, so "
      "they are\n# private until you declare them public: make each what the "
      "data's documentation\n# says, then remove its line \"public = false\". "
      "prep refuses the schema until then.\n#\n"
      "# Where only bounds that are far too wide can be declared, or a list of "
      "mostly\n# rare categories: statistics = \"private\" in that column, and "
      "noise_multiplier = 50\n# in a section [statistics], make better ones of "
      "the rows, released once under noise\n# that prep --ledger FOLDER "
      "charges (ops/schemas/adult.toml says how).\n";
  std::string stem = options.file.filename().string();
  text +=
      "\nname = " + TomlText(stem.substr(0, stem.find('.'))) + "\n\n[csv]\n";
  text += std::string("header = ") + (header ? "true" : "false") + "\n";
  if (!header) {
    text += "columns = [";
    for (const std::string& name : names)
      text += (&name == &names.front() ? "" : ", ") + TomlText(name);
    text += "]\n";
  }
  if (format.separator != ',')
    text += "separator = " +
            (format.separator == '\t' ? std::string("\"\\t\"")
                                      : TomlText({&format.separator, 1})) +
            "\n";
  text +=
      "trim = true\nmissing = [\"\", \"?\", \"NA\", \"N/A\", \"n/a\", "
      "\"NaN\", \"nan\", \"NULL\", \"null\", \".\"]\n";
  text += Label(*label);
  for (auto column = columns.begin(); column != columns.end(); ++column)
    if (column != label) text += Column(*column);
  return text;
}

}  // namespace hearsay::model::prep
