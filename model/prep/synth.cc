#include "model/prep/synth.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <numeric>
#include <span>
#include <string>
#include <utility>

#include "model/prep/pums_facts.h"
#include "model/safetensors.h"  // FileError

namespace hearsay::model::prep {

namespace {

constexpr int kFirstAge = 16;

// Not std::uniform_real_distribution: its results differ between libraries.
double Uniform(std::mt19937_64& random) {
  return static_cast<double>(random() >> 11) * 0x1p-53;
}

bool Happens(double probability, std::mt19937_64& random) {
  return Uniform(random) < probability;
}

// Index drawn in proportion to the weights.
int Draw(std::span<const double> weights, std::mt19937_64& random) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double left = Uniform(random) * total;
  std::size_t i = 0;
  while (i + 1 < weights.size() && left >= weights[i]) left -= weights[i++];
  return static_cast<int>(i);
}

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Value of the five years [15, 20), [20, 25), ... [95, 100).
double ByAge(const std::array<double, 17>& values, int age) {
  return values[static_cast<std::size_t>((age - 15) / 5)];
}

int DrawAge(int state, std::mt19937_64& random) {
  std::array<double, facts::kAge.size()> weights = facts::kAge;
  if (state > 0)
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double years = 50.0 - kFirstAge - static_cast<double>(i);
      weights[i] *= std::exp(0.4 * std::cos(2.4 * state) * years / 25);
    }
  return kFirstAge + Draw(weights, random);
}

int DrawSchooling(int age, int state, std::mt19937_64& random) {
  // Levels that the young can have reached, then everybody's.
  static constexpr std::array<double, 5> kUnder18 = {5, 20, 45, 28, 2};
  static constexpr std::array<double, 6> kUnder20 = {12, 6, 37, 4, 28, 13};
  static constexpr std::array<double, 8> kUnder23 = {1, 3, 30, 4, 20, 32, 5, 5};
  if (age < 18) return 11 + Draw(kUnder18, random);
  if (age < 20) return 14 + Draw(kUnder20, random);
  if (age < 23) return 14 + Draw(kUnder23, random);
  std::array<double, 24> weights = facts::kSchooling;
  if (state > 0)
    for (std::size_t level = 20; level <= weights.size(); ++level)
      weights[level - 1] *= std::exp(0.6 * std::sin(1.7 * state));
  return 1 + Draw(weights, random);
}

int DrawMarriage(int age, std::mt19937_64& random) {
  using Shares = std::array<double, 5>;
  static constexpr Shares kUnder20 = {1, 0, 0, 0, 99};
  static constexpr Shares kUnder30 = {20, 0, 2, 1, 77};
  static constexpr Shares kUnder50 = {58, 1, 10, 2, 29};
  static constexpr Shares kUnder70 = {61, 6, 17, 2, 14};
  static constexpr Shares kOlder = {53, 28, 14, 1, 4};
  const Shares& shares = age < 20   ? kUnder20
                         : age < 30 ? kUnder30
                         : age < 50 ? kUnder50
                         : age < 70 ? kUnder70
                                    : kOlder;
  return 1 + Draw(shares, random);
}

int DrawService(const PumsPerson& person, std::mt19937_64& random) {
  if (person.agep == kFirstAge) return PumsPerson::kNotAsked;
  const bool male = person.sex == 1;
  const double active = person.agep < 40 ? (male ? 0.02 : 0.004) : 0.001;
  const double past = !male ? 0.012 : person.agep < 60 ? 0.06 : 0.28;
  const std::array<double, 4> shares = {person.agep < 60 ? active : 0.0, past,
                                        0.013, 1 - active - past - 0.013};
  return 1 + Draw(shares, random);
}

int YesNo(double yes, std::mt19937_64& random) {
  return Happens(yes, random) ? 1 : 2;
}

void DrawOrigin(int state, PumsPerson& person, std::mt19937_64& random) {
  using Shares = std::array<double, 5>;
  static constexpr Shares kOtherLanguage = {38, 2, 1, 34, 25};
  static constexpr Shares kEnglishOnly = {95.5, 0.4, 1, 2, 1.1};
  person.rac1p = 1 + Draw(facts::kRace, random);
  person.hisp = 1 + Draw(facts::kHispanic, random);
  const bool asian = person.rac1p == 6;
  double odds = person.hisp > 1 ? 1.6 : asian ? 2.3 : 0.07;
  if (state > 0) odds *= std::exp(0.8 * std::sin(state));
  person.lanx = YesNo(odds / (1 + odds), random);
  const bool other = person.lanx == 1;
  person.cit = 1 + Draw(other ? kOtherLanguage : kEnglishOnly, random);
  person.eng =
      other ? 1 + Draw(facts::kEnglish, random) : PumsPerson::kNotAsked;
}

void DrawHealth(PumsPerson& person, std::mt19937_64& random) {
  const int age = person.agep;
  const double any = age < 50 ? 0.09 : age < 65 ? 0.16 : age < 75 ? 0.25 : 0.46;
  person.dis = YesNo(any, random);
  const double limit = person.dis == 1 ? 1 : 0;
  person.dear = YesNo(limit * (age < 65 ? 0.18 : 0.42), random);
  person.deye = YesNo(limit * 0.17, random);
  person.drem = YesNo(limit * (age < 50 ? 0.6 : 0.3), random);
  person.dphy = YesNo(limit * (age < 50 ? 0.25 : 0.62), random);
  person.hicov = YesNo(age < 65 ? 0.905 : 0.993, random);
}

}  // namespace

double EmployedProbability(const PumsPerson& person) {
  // The log odds of each age in the survey, a little stretched, so that with
  // the other terms about .57 are employed and .79 can be predicted, as there.
  static constexpr std::array<double, 17> kAge = {
      -0.22, 1.22,  1.86,  1.98,  1.98,  2.03,  2.03,  1.92, 1.49,
      0.82,  -0.28, -1.13, -1.78, -2.45, -3.05, -3.65, -3.85};
  double eta = ByAge(kAge, person.agep);
  if (person.dis == 1) eta -= 1.0;
  if (person.dphy == 1) eta -= 0.8;
  if (person.drem == 1) eta -= 0.4;
  eta += person.schl < 16   ? -0.5
         : person.schl < 18 ? -0.15
         : person.schl < 21 ? 0.1
         : person.schl < 22 ? 0.4
                            : 0.5;
  if (person.sex == 2) eta -= 0.25;
  if (person.sex == 2 && person.mar == 1 && person.agep >= 25 &&
      person.agep < 55)
    eta -= 0.5;
  if (person.eng == 4) eta -= 0.4;
  if (person.hicov == 2) eta -= 0.2;
  if (person.mil == 1) eta -= 8;
  return Sigmoid(eta);
}

double UnemployedProbability(const PumsPerson& person) {
  // Log odds of looking for work among those without, by age in the survey.
  static constexpr std::array<double, 17> kAge = {
      -2.2, -1.5, -1.4, -1.6, -1.7, -1.75, -1.85, -2.0, -2.4,
      -3.2, -4.4, -5.1, -5.8, -6.2, -6.9,  -6.9,  -7.5};
  double eta = ByAge(kAge, person.agep);
  if (person.dis == 1) eta -= 0.7;
  if (person.hicov == 2) eta += 0.8;
  if (person.rac1p != 1) eta += 0.3;
  if (person.mar != 1) eta += 0.2;
  if (person.moved == 1) eta += 0.2;
  return person.mil == 1 ? 0 : Sigmoid(eta);
}

PumsPerson DrawPerson(int state, std::mt19937_64& random) {
  assert(state >= 0 && state <= 50);
  PumsPerson person;
  person.agep = DrawAge(state, random);
  person.sex = 1 + Draw(facts::kSex, random);
  DrawOrigin(state, person, random);
  person.schl = DrawSchooling(person.agep, state, random);
  person.mar = DrawMarriage(person.agep, random);
  person.mil = DrawService(person, random);
  DrawHealth(person, random);
  person.moved = Happens(person.agep < 35 ? 0.21 : 0.07, random) ? 1 : 0;
  return person;
}

int DrawEsr(const PumsPerson& person, std::mt19937_64& random) {
  if (Happens(EmployedProbability(person), random))
    return Happens(0.018, random) ? 2 : 1;
  if (Happens(UnemployedProbability(person), random)) return 3;
  return person.mil == 1 ? (Happens(0.01, random) ? 5 : 4) : 6;
}

namespace {

constexpr const char* kHeader =
    "AGEP,SEX,RAC1P,HISP,CIT,SCHL,MAR,MIL,LANX,ENG,DIS,DEAR,DEYE,DREM,DPHY,"
    "MOVED,HICOV,ESR\n";

void AppendRow(const PumsPerson& p, int esr, std::string& text) {
  for (const int value :
       {p.agep, p.sex, p.rac1p, p.hisp, p.cit, p.schl, p.mar, p.mil, p.lanx,
        p.eng, p.dis, p.dear, p.deye, p.drem, p.dphy, p.moved, p.hicov}) {
    if (value != PumsPerson::kNotAsked) text += std::to_string(value);
    text += ',';
  }
  text += std::to_string(esr);
  text += '\n';
}

// zlib's file, transparent ("T") unless the name asks for compression; removed
// again unless it was finished.
class TextFile {
 public:
  explicit TextFile(std::filesystem::path path) : path_(std::move(path)) {
    const bool gzip = path_.extension() == ".gz";
    file_ = gzopen(path_.c_str(), gzip ? "wb6" : "wbT");
    if (file_ == nullptr) Fail("cannot create");
  }
  ~TextFile() {
    if (file_ != nullptr) gzclose(file_);
    std::error_code ignored;
    if (!finished_ && std::filesystem::is_regular_file(path_, ignored))
      std::filesystem::remove(path_, ignored);
  }
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;

  void Write(const std::string& text) {
    errno = 0;
    if (!text.empty() &&
        gzwrite(file_, text.data(), static_cast<unsigned>(text.size())) <= 0)
      Fail("cannot write");
  }

  void Finish() {
    errno = 0;
    if (gzclose(std::exchange(file_, nullptr)) != Z_OK) Fail("cannot write");
    finished_ = true;
  }

 private:
  [[noreturn]] void Fail(const std::string& what) const {
    const std::string why = errno != 0 ? std::strerror(errno) : "zlib failed";
    throw FileError(path_.string() + ": " + what + ": " + why);
  }

  std::filesystem::path path_;
  gzFile file_ = nullptr;
  bool finished_ = false;
};

}  // namespace

SynthReport SynthesizePums(const SynthOptions& options) {
  std::mt19937_64 random(options.seed);
  TextFile file(options.out);
  std::string text = kHeader;
  std::int64_t employed = 0;
  std::int64_t unemployed = 0;
  double best = 0;
  for (std::int64_t row = 0; row < options.rows; ++row) {
    const PumsPerson person = DrawPerson(options.state, random);
    const int esr = DrawEsr(person, random);
    employed += esr <= 2 ? 1 : 0;
    unemployed += esr == 3 ? 1 : 0;
    const double p = EmployedProbability(person);
    best += std::max(p, 1 - p);
    AppendRow(person, esr, text);
    if (text.size() > (std::size_t{1} << 16)) {
      file.Write(text);
      text.clear();
    }
  }
  file.Write(text);
  file.Finish();
  const auto rows = static_cast<double>(options.rows);
  SynthReport report;
  report.rows = options.rows;
  std::error_code unknown;  // A pipe has no size.
  report.bytes = std::filesystem::file_size(options.out, unknown);
  if (unknown) report.bytes = 0;
  report.employed_share = static_cast<double>(employed) / rows;
  report.unemployment_rate =
      static_cast<double>(unemployed) /
      static_cast<double>(std::max<std::int64_t>(employed + unemployed, 1));
  report.bayes_accuracy = best / rows;
  return report;
}

}  // namespace hearsay::model::prep
