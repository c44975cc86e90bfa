// How fast the formats of the wire are: an ask encoded and decoded, for one
// model, on one core.
//
//   hearsay_wire_bench [--weights=N] [--rounds=N]
//
// Rates count the weights' own bytes (4 each), so that formats compare; after
// every round some weights move, as in training. A line of JSON each.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "daemon/mixing/wire.h"

namespace {

using hearsay::mixing::Fault;
using hearsay::mixing::Memory;
using hearsay::mixing::ParseWire;
using hearsay::mixing::Random;

struct Plan {
  std::size_t weights = std::size_t{4} << 20;
  int rounds = 40;
};

template <typename Pass>
double Seconds(Pass pass) {
  const auto start = std::chrono::steady_clock::now();
  pass();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

double Median(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Measure(const std::string& name, const Plan& plan) {
  const auto format = ParseWire(name);
  Random random(1);
  Random::Words words;
  std::vector<float> weights(plan.weights);
  std::vector<float> decoded(plan.weights);
  std::vector<std::byte> bytes(format->Bytes(plan.weights));
  Memory memory;
  std::vector<double> encode, decode;
  for (int round = 0; round < plan.rounds; ++round) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (i % words.size() == 0) random.Fill(words);
      weights[i] += static_cast<float>(
                        static_cast<std::int32_t>(words[i % words.size()])) *
                    0x1p-31F;
    }
    encode.push_back(
        Seconds([&] { format->EncodeAsk(weights, memory, random, bytes); }));
    bool fit = false;
    decode.push_back(Seconds(
        [&] { fit = !format->DecodeAnswer(bytes, bytes, memory, decoded); }));
    if (!fit) throw std::logic_error("a message of its own is not fit");
  }
  const double gigabytes = 4e-9 * static_cast<double>(plan.weights);
  std::printf(
      "{\"wire\":\"%s\",\"weights\":%zu,\"bytes\":%zu,\"encode_gb_per_s\":%.2f,"
      "\"decode_gb_per_s\":%.2f,\"rounds\":%d}\n",
      name.c_str(), plan.weights, bytes.size(), gigabytes / Median(encode),
      gigabytes / Median(decode), plan.rounds);
}

bool Take(const std::string& argument, Plan& plan) {
  const auto equals = std::min(argument.find('='), argument.size() - 1);
  const std::string name = argument.substr(0, equals);
  if (name == "--weights")
    plan.weights = std::stoul(argument.substr(equals + 1));
  else if (name == "--rounds")
    plan.rounds = std::stoi(argument.substr(equals + 1));
  else
    return false;
  return plan.weights > 0 && plan.rounds > 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Plan plan;
    for (int i = 1; i < argc; ++i)
      if (!Take(argv[i], plan)) {
        std::fprintf(stderr, "hearsay_wire_bench: no such flag: %s\n", argv[i]);
        return 2;
      }
    for (const char* name : {"fp32", "bf16", "int8", "topk:0.01", "topk:0.1"})
      Measure(name, plan);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hearsay_wire_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
