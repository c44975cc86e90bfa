// Models, one for each combination of layers that is worth a test, with names
// for the tests that are made of them.
#pragma once

#include <utility>
#include <vector>

#include "model/spec.h"

namespace hearsay::model {

struct Tested {
  const char* name;
  ModelSpec spec;
};

inline ModelSpec Images(Shape shape, std::vector<Layer> layers,
                        Loss loss = Loss::kSoftmaxCrossEntropy) {
  int values = 1;
  for (const int extent : shape) values *= extent;
  return {values, std::move(layers), loss, std::move(shape)};
}

// The first layer's inputs need no gradient: what is tested stands second too.
inline std::vector<Tested> ImageModels() {
  using enum Activation;
  return {
      {"Conv",
       Images({1, 5, 4},
              {Conv2d{.filters = 3, .kernel = {3, 2}}, Flatten{}, {3}})},
      {"ConvAsTheLastLayer",
       Images({2, 3, 3}, {Conv2d{.filters = 4, .kernel = {3, 3}}, Flatten{}})},
      // 2 T^2 = 32 <= d p = 3 * 9 * 4: ghost norms in the second.
      {"ConvTwice", Images({2, 6, 6}, {Conv2d{.filters = 3, .kernel = {3, 3}},
                                       Activate{kTanh},
                                       Conv2d{.filters = 4, .kernel = {3, 3}},
                                       Activate{kSigmoid},
                                       Flatten{},
                                       {2}})},
      {"ConvStrided", Images({2, 7, 8}, {Conv2d{.filters = 2,
                                                .kernel = {2, 3},
                                                .stride = {2, 3},
                                                .padding = {1, 2}},
                                         Conv2d{.filters = 3,
                                                .kernel = {3, 2},
                                                .stride = {1, 2},
                                                .padding = {2, 1}},
                                         Activate{kGelu},
                                         Flatten{},
                                         {3}})},
      {"ConvDilated",
       Images({1, 7, 7},
              {Conv2d{.filters = 2,
                      .kernel = {3, 2},
                      .padding = {1, 0},
                      .dilation = {2, 3}},
               Conv2d{.filters = 2, .kernel = {2, 2}, .dilation = {2, 1}},
               Flatten{},
               {3}})},
      {"ConvGrouped",
       Images({4, 4, 4}, {Conv2d{.filters = 6, .kernel = {2, 2}, .groups = 2},
                          Activate{kTanh},
                          Conv2d{.filters = 6, .kernel = {3, 3}, .groups = 3},
                          Flatten{},
                          {2}})},
      {"ConvDepthwise",
       Images(
           {3, 4, 4},
           {Conv2d{
                .filters = 3, .kernel = {3, 3}, .padding = {1, 1}, .groups = 3},
            Conv2d{.filters = 2, .kernel = {1, 1}},
            Flatten{},
            {2}})},
      {"ConvMostlyPadding",
       Images({1, 2, 2},
              {Conv2d{.filters = 2, .kernel = {5, 5}, .padding = {4, 4}},
               Conv2d{.filters = 2,
                      .kernel = {3, 3},
                      .stride = {4, 4},
                      .padding = {3, 3}},
               Flatten{},
               {2}})},
      {"ConvWide", Images({9, 2, 4}, {Conv2d{.filters = 17, .kernel = {2, 2}},
                                      Activate{kTanh},
                                      Conv2d{.filters = 2, .kernel = {1, 2}},
                                      Flatten{},
                                      {2}})},
      // Sixteen filters give images channels last: from one convolution to the
      // next, with and without padding; through a pool that keeps the order;
      // through one that turns it, whose windows do not lie side by side; and
      // not where only an activation follows.
      {"ChannelsLast",
       Images({1, 4, 3},
              {Conv2d{.filters = 16, .kernel = {2, 2}},
               Conv2d{.filters = 16, .kernel = {1, 1}, .padding = {1, 1}},
               Activate{kGelu},
               Conv2d{.filters = 4, .kernel = {2, 2}, .groups = 2},
               Activate{kTanh},
               Flatten{},
               {2}})},
      {"ChannelsLastPooled",
       Images({1, 5, 5},
              {Conv2d{.filters = 16, .kernel = {2, 2}},
               Activate{kTanh},
               MaxPool2d{.kernel = {2, 2}, .stride = {1, 1}},
               Conv2d{.filters = 16, .kernel = {1, 2}, .padding = {1, 0}},
               Activate{kSigmoid},
               MaxPool2d{.kernel = {3, 2}, .stride = {2, 2}},
               Activate{kTanh},
               Flatten{},
               {3}})},
      {"ChannelsLastPooledTwice",
       Images({1, 7, 6}, {Conv2d{.filters = 16, .kernel = {2, 2}},
                          Activate{kRelu},
                          MaxPool2d{.kernel = {2, 3}, .stride = {2, 1}},
                          MaxPool2d{.kernel = {2, 2}, .stride = {1, 1}},
                          AvgPool2d{.kernel = {1, 2}, .stride = {1, 1}},
                          Flatten{},
                          {2}})},
      // A pool with padding takes no part.
      {"ChannelsLastCut",
       Images({1, 3, 3},
              {Conv2d{.filters = 16, .kernel = {2, 2}},
               Activate{kSigmoid},
               MaxPool2d{.kernel = {2, 2}, .stride = {1, 1}, .padding = {1, 1}},
               Flatten{},
               {2}})},
      {"MaxPool",
       Images({2, 6, 5},
              {Conv2d{.filters = 2, .kernel = {2, 2}},
               MaxPool2d{.kernel = {2, 3}, .stride = {2, 1}, .padding = {1, 1}},
               Flatten{},
               {3}})},
      // Gelu falls before it rises, so it may not change places with a pool.
      {"MaxPoolOfGelu",
       Images({1, 6, 6}, {Conv2d{.filters = 4, .kernel = {2, 2}},
                          Activate{kGelu},
                          MaxPool2d{.kernel = {2, 2}, .stride = {1, 1}},
                          Flatten{},
                          {3}})},
      {"AvgPool",
       Images({2, 6, 5},
              {Conv2d{.filters = 2, .kernel = {2, 2}},
               AvgPool2d{.kernel = {3, 2}, .stride = {1, 2}, .padding = {1, 1}},
               Flatten{},
               {3}})},
      {"PoolsFirst",
       Images({1, 8, 8}, {MaxPool2d{.kernel = {2, 2}, .stride = {1, 1}},
                          AvgPool2d{.kernel = {3, 3}, .stride = {2, 2}},
                          Activate{kRelu},
                          Flatten{},
                          {5, kTanh},
                          {2}})},
      {"FlattenFirst", Images({1, 2, 3}, {Flatten{}, {4, kSigmoid}, {2}})},
      {"Regression",
       Images({1, 4, 4},
              {Conv2d{.filters = 2, .kernel = {2, 2}, .stride = {2, 2}},
               Activate{kGelu},
               Flatten{},
               {2}},
              Loss::kMse)},
      {"Binary", Images({1, 4, 4},
                        {Conv2d{.filters = 2, .kernel = {3, 3}},
                         Activate{kTanh},
                         Flatten{},
                         {1}},
                        Loss::kBinaryCrossEntropy)},
  };
}

inline std::vector<Tested> NormModels() {
  using enum Activation;
  return {
      {"LayerNorm",
       {4,
        {{5, kTanh}, LayerNorm{}, {3, kGelu}, LayerNorm{}, {2}},
        Loss::kSoftmaxCrossEntropy}},
      {"LayerNormFirst", {6, {LayerNorm{}, {3}}, Loss::kMse}},
      {"LayerNormLast", {6, {{3}, LayerNorm{}}, Loss::kSoftmaxCrossEntropy}},
      {"GroupNorm", Images({2, 4, 3}, {Conv2d{.filters = 6, .kernel = {2, 2}},
                                       GroupNorm{3},
                                       Activate{kRelu},
                                       Conv2d{.filters = 4, .kernel = {2, 1}},
                                       GroupNorm{4},
                                       Flatten{},
                                       {3}})},
      {"GroupNormFirst",
       Images({4, 3, 3}, {GroupNorm{1}, Flatten{}, {5, kTanh}, {2}})},
  };
}

inline std::vector<Tested> ResidualModels() {
  using enum Activation;
  const auto conv = [](int filters, int stride = 1) {
    return Conv2d{.filters = filters,
                  .kernel = {3, 3},
                  .stride = {stride, stride},
                  .padding = {1, 1}};
  };
  return {
      {"ResidualFlat",
       {5,
        {{4, kTanh},
         Residual{.body = {LayerNorm{}, {6, kGelu}, {4}}},
         Residual{.body = {Activate{kSigmoid}}},
         {3}},
        Loss::kSoftmaxCrossEntropy}},
      {"ResidualFirst", {3, {Residual{.body = {{3, kTanh}}}, {2}}, Loss::kMse}},
      {"ResidualLast", {3, {{4}, Residual{.body = {{4}}}}, Loss::kMse}},
      {"ResidualImage",
       Images({2, 4, 3},
              {conv(4),
               Residual{.body = {GroupNorm{2}, Activate{kTanh}, conv(4)}},
               Flatten{},
               {2}})},
      {"ResidualProjection",
       Images({2, 5, 4}, {Activate{kTanh},
                          Residual{.body = {conv(3, 2), GroupNorm{1},
                                            Activate{kGelu}, conv(4)},
                                   .projection = {2, 2}},
                          AvgPool2d{.kernel = {3, 2}, .stride = {3, 2}},
                          Flatten{},
                          {3}})},
      {"ResidualProjectionFirst",
       Images({1, 4, 4}, {Residual{.body = {conv(2)}, .projection = {1, 1}},
                          Flatten{},
                          {2}})},
      {"ResidualInside",
       Images(
           {2, 4, 4},
           {Residual{
                .body = {conv(3), Residual{.body = {GroupNorm{3}, conv(3)}},
                         Activate{kTanh},
                         Residual{.body = {conv(2, 2)}, .projection = {2, 2}}},
                .projection = {2, 2}},
            Flatten{},
            {2}})},
  };
}

inline ModelSpec Sequences(int places, int values, std::vector<Layer> layers,
                           Loss loss = Loss::kSoftmaxCrossEntropy) {
  return {places * values, std::move(layers), loss, {places, values}};
}

inline ModelSpec Codes(int places, std::vector<Layer> layers) {
  return {places, std::move(layers), Loss::kSoftmaxCrossEntropy};
}

inline std::vector<Tested> SequenceModels() {
  using enum Activation;
  const SequenceMean mean;
  const PositionEmbedding positions;
  const auto attention = [](int heads, Mask mask = Mask::kNone) {
    return Attention{.heads = heads, .mask = mask};
  };
  return {
      // 2 T^2 = 50 > d p: formed; then 50 <= 8 * 7: ghost norms.
      {"DenseAtEveryPlace",
       Sequences(5, 3, {{8, kTanh}, {7, kGelu}, {4}, Flatten{}, {2}})},
      {"DenseAtTwoPlaces", Sequences(2, 6, {{5, kSigmoid}, mean, {3}})},
      {"DenseAtOnePlace", Sequences(1, 4, {{5, kTanh}, {6}, Flatten{}})},
      {"DenseLast", Sequences(3, 4, {{2}, Flatten{}}, Loss::kMse)},
      {"LayerNormAtEveryPlace",
       Sequences(3, 4, {LayerNorm{}, {5, kTanh}, LayerNorm{}, mean, {2}})},
      {"Positions",
       Sequences(3, 2, {positions, {4, kTanh}, positions, mean, {2}})},
      // Seven places, four codes: one at least is there twice.
      {"CodesRepeated", Codes(7, {Embedding{.vocabulary = 4, .units = 3},
                                  positions,
                                  {4, kTanh},
                                  mean,
                                  {3}})},
      {"CodesOfTwo", Codes(5, {Embedding{.vocabulary = 2, .units = 3},
                               positions,
                               {4, kTanh},
                               Flatten{},
                               {2}})},
      {"CodesRare",
       Codes(2, {Embedding{.vocabulary = 50, .units = 3}, Flatten{}, {2}})},
      {"Table",
       Codes(5, {TableEmbedding{{3, 0, 1, 0, 6}, 2}, {4, kTanh}, {3}})},
      {"AttentionOneHead", Sequences(4, 3, {attention(1), Flatten{}, {2}})},
      {"AttentionOfHeads",
       Sequences(5, 4, {{6, kTanh}, attention(3), mean, {3}})},
      {"AttentionCausal",
       Sequences(
           4, 4,
           {{4}, attention(2, Mask::kCausal), {3, kTanh}, Flatten{}, {2}})},
      {"AttentionOnePlace", Sequences(1, 4, {attention(2), Flatten{}, {2}})},
      // 2 T^2 = 8 <= 16: ghost norms in both projections.
      {"AttentionGhost",
       Sequences(2, 4, {{4, kTanh}, attention(4), mean, {2}})},
      {"Transformer",
       Codes(6, {Embedding{.vocabulary = 5, .units = 4},
                 positions,
                 Residual{.body = {LayerNorm{}, attention(2, Mask::kCausal)}},
                 Residual{.body = {LayerNorm{}, {8, kGelu}, {4}}},
                 LayerNorm{},
                 mean,
                 {3}})},
  };
}

inline std::vector<Tested> Models() {
  std::vector<Tested> all;
  for (const auto& some :
       {ImageModels(), NormModels(), ResidualModels(), SequenceModels()})
    all.insert(all.end(), some.begin(), some.end());
  return all;
}

}  // namespace hearsay::model
