// Persons shaped like the American Community Survey's public use file, drawn
// from a ground truth that is written down here, so that everything runs
// without a download and the best possible accuracy is known.
//
// Marginals of single columns follow the survey of 2024 (persons of 16 and
// over); how columns hang together is simplified. Not statistics: never draw a
// conclusion about people from it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <random>

namespace hearsay::model::prep {

// The survey's codes; kNotAsked where the survey leaves the field empty.
struct PumsPerson {
  static constexpr int kNotAsked = -1;
  int agep = 0;   // years, 16 to 96
  int sex = 0;    // 1 male, 2 female
  int rac1p = 0;  // 1 to 9
  int hisp = 0;   // 1 to 24
  int cit = 0;    // 1 to 5
  int schl = 0;   // 1 to 24
  int mar = 0;    // 1 to 5
  int mil = 0;    // 1 to 4, not asked at 16
  int lanx = 0;   // 1 other language at home, 2 no
  int eng = 0;    // 1 to 4, not asked if lanx is 2
  int dis = 0;    // 1 yes, 2 no, and so on
  int dear = 0;
  int deye = 0;
  int drem = 0;
  int dphy = 0;
  int moved = 0;  // 0, 1
  int hicov = 0;  // 1, 2
};

// P(ESR in {1, 2} | person) = 1 / (1 + exp(-eta)), with eta the sum of
//   a value for each five years of age (see the .cc),
//   -1.0 if disabled, another -0.8 in walking, another -0.4 in remembering,
//   schooling: -0.5 below high school, -0.15 high school, 0.1 some college,
//     0.4 bachelor, 0.5 beyond,
//   -0.25 for women, another -0.5 for married women of 25 to 54 (so the truth
//     is not linear in one-hot inputs),
//   -0.4 without English, -0.2 without health insurance, -8 on active duty.
double EmployedProbability(const PumsPerson& person);

// P(ESR = 3 | person, not employed): for the task pums-unemployment.
double UnemployedProbability(const PumsPerson& person);

// state 0: the nation. 1 to 50: ages tilt by exp(0.4 cos(2.4 state) z), z = (50
// - age) / 25, schooling from 20 up by exp(0.6 sin(1.7 state)), and other
// languages by exp(0.8 sin(state)): shards that differ as states do. The ground
// truth is the same everywhere.
// Requires: 0 <= state <= 50.
PumsPerson DrawPerson(int state, std::mt19937_64& random);
int DrawEsr(const PumsPerson& person, std::mt19937_64& random);

struct SynthOptions {
  std::int64_t rows = 0;
  std::filesystem::path out;  // .gz compresses
  std::uint64_t seed = 1;
  int state = 0;
};

struct SynthReport {
  std::int64_t rows = 0;
  std::uint64_t bytes = 0;
  double employed_share = 0;
  double unemployment_rate = 0;  // within ESR 1, 2, 3
  // Accuracy of "employed if the probability is above one half": the mean of
  // max(p, 1 - p) over the drawn persons. No model can be expected to beat it.
  double bayes_accuracy = 0;
};

// Writes a CSV with the columns of the survey's file. The same options give the
// same bytes (before compression) on any machine with IEEE doubles.
// Throws: FileError; what was written is removed again.
SynthReport SynthesizePums(const SynthOptions& options);

}  // namespace hearsay::model::prep
