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
      {"MaxPool",
       Images({2, 6, 5},
              {Conv2d{.filters = 2, .kernel = {2, 2}},
               MaxPool2d{.kernel = {2, 3}, .stride = {2, 1}, .padding = {1, 1}},
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

inline std::vector<Tested> Models() {
  std::vector<Tested> all;
  for (const auto& some : {ImageModels(), NormModels(), ResidualModels()})
    all.insert(all.end(), some.begin(), some.end());
  return all;
}

}  // namespace hearsay::model
