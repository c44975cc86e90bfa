// Counts of the American Community Survey 2024 (one-year public use file,
// persons of 16 and over, US Census Bureau, public domain) that the synthetic
// persons follow. Facts only; private to synth.cc.
#pragma once

#include <array>

namespace hearsay::model::prep::facts {

// AGEP 16, 17 ... 96.
inline constexpr std::array<double, 81> kAge = {
    32261, 32691, 37550, 37915, 33874, 31223, 29558, 29624, 29503, 29298, 29660,
    29757, 30423, 30326, 31954, 32179, 33036, 33860, 34086, 33773, 33080, 32981,
    33216, 33008, 33189, 31990, 32544, 32329, 32252, 31416, 30374, 30252, 29877,
    30238, 30348, 30380, 32078, 34947, 34770, 34015, 33460, 34911, 35777, 37754,
    40313, 39857, 40958, 41564, 41519, 41624, 41612, 41083, 39948, 39198, 38050,
    36544, 35654, 33578, 31717, 30875, 30555, 29735, 22501, 20478, 20012, 19617,
    16528, 14474, 12498, 11513, 10275, 8859,  7786,  6382,  4169,  1731,  1336,
    5895,  7431,  6792,  144};

// SEX 1, 2.
inline constexpr std::array<double, 2> kSex = {1117718, 1182824};

// RAC1P 1 ... 9.
inline constexpr std::array<double, 9> kRace = {
    1679316, 211270, 22584, 1593, 3265, 105591, 3181, 85408, 188334};

// HISP 1 ... 24.
inline constexpr std::array<double, 24> kHispanic = {
    2071656, 89792, 33477, 18958, 12497, 1033, 6895, 4856,
    2588,    1423,  7644,  70,    1912,  776,  1119, 10031,
    5445,    231,   4369,  528,   5271,  149,  5061, 14761};

// SCHL 1 ... 24.
inline constexpr std::array<double, 24> kSchooling = {
    35265, 642,    458,    546,    858,    1817,   1625,  2695,
    7694,  4176,   17505,  26076,  49978,  62471,  44973, 542701,
    92953, 160453, 285671, 196891, 458535, 219484, 49723, 37352};

// ENG 1 ... 4, of those who were asked.
inline constexpr std::array<double, 4> kEnglish = {206311, 68890, 43790, 19333};

}  // namespace hearsay::model::prep::facts
