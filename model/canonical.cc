// The text of a model, and back: "hearsay-model/1 inputs=784 shape=1x28x28
// conv2d(16,8x8,2x2,3x3,1x1,1) activation(tanh) residual(0x0) { ... }
// loss=mse". Every field of every layer is there, defaults too, so that a
// default may change.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <charconv>
#include <concepts>
#include <stdexcept>
#include <string_view>
#include <type_traits>

#include "model/spec.h"

namespace hearsay::model {

namespace {

constexpr std::string_view kFormat = "hearsay-model/1";

[[noreturn]] void NotCanonical(std::string_view text, const std::string& why) {
  throw std::invalid_argument(fmt::format(
      "not a model description: {} in '{}' (expected e.g. '{} inputs=10 "
      "dense(16,tanh) dense(2,none) loss=softmax_cross_entropy')",
      why, text.substr(0, 200), kFormat));
}

std::string Write(int value) { return fmt::format("{}", value); }
std::string Write(double value) { return fmt::format("{}", value); }
std::string Write(Activation value) { return Word(value); }
std::string Write(Mask value) { return Word(value); }
std::string Write(const std::vector<int>& values) {
  return fmt::format("{}", fmt::join(values, "x"));
}
std::string Write(Extent value) {
  return fmt::format("{}x{}", value.height, value.width);
}

std::string WriteLayers(const std::vector<Layer>& layers);

std::string WriteLayer(const Layer& layer) {
  if (const auto* activate = std::get_if<Activate>(&layer.kind))
    return fmt::format("activation({})", Word(activate->activation));
  std::vector<std::string> fields;
  std::visit(
      [&](const auto& kind) {
        VisitFields(kind, [&](const char*, const auto& value, Field) {
          fields.push_back(Write(value));
        });
      },
      layer.kind);
  const auto* body = BodyOf(layer);
  return fmt::format("{}({}){}", TypeName(layer), fmt::join(fields, ","),
                     body == nullptr ? "" : " {" + WriteLayers(*body) + " }");
}

std::string WriteLayers(const std::vector<Layer>& layers) {
  std::string text;
  for (const Layer& layer : layers) text += " " + WriteLayer(layer);
  return text;
}

// Reads one text from its front to its end.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text), rest_(text) {}

  [[noreturn]] void Fail(const std::string& why) const {
    NotCanonical(text_, why);
  }

  // The word that follows, without the space after it.
  std::string_view Word() { return Take(rest_, ' '); }

  template <typename T>
  requires std::is_arithmetic_v<T>
  void Read(std::string_view word, T& value) const {
    const auto [end, error] =
        std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size())
      Fail(fmt::format("bad number '{}'", word.substr(0, 40)));
  }
  void Read(std::string_view word, Extent& value) const {
    Read(Take(word, 'x'), value.height);
    Read(word, value.width);
  }
  void Read(std::string_view word, Activation& value) const {
    value = ParseActivation(std::string(word));
  }
  void Read(std::string_view word, Mask& value) const {
    value = ParseMask(std::string(word));
  }
  void Read(std::string_view word, Shape& shape) const {
    do {
      Read(Take(word, 'x'), shape.emplace_back());
    } while (!word.empty());
  }

  // "name(fields)", and its body, at most `deep` bodies deep. That nothing is
  // left over is seen by writing it again.
  Layer ReadLayer(std::string_view word, int deep = kDeepestBody) {
    std::string_view fields = word;
    const std::string name(Take(fields, '('));
    if (!word.ends_with(')') || fields.empty())
      Fail(fmt::format("unknown '{}'", word.substr(0, 40)));
    fields.remove_suffix(1);
    if (name == "activation") {
      Activate activate;
      Read(fields, activate.activation);
      return activate;
    }
    Layer layer = LayerOfType(name);
    std::visit(
        [&](auto& kind) {
          VisitFields(kind, [&](const char*, auto& value, Field) {
            Read(Take(fields, ','), value);
          });
        },
        layer.kind);
    if (auto* body = BodyOf(layer)) ReadBody(*body, deep);
    return layer;
  }

 private:
  void ReadBody(std::vector<Layer>& body, int deep) {
    if (Word() != "{") Fail("a body that does not begin with '{'");
    if (deep == 0) Fail("bodies too deep inside each other");
    for (std::string_view word = Word(); word != "}"; word = Word())
      body.push_back(ReadLayer(word, deep - 1));
  }

  static std::string_view Take(std::string_view& from, char end) {
    const std::size_t at = from.find(end);
    const std::string_view taken = from.substr(0, at);
    from.remove_prefix(at == std::string_view::npos ? from.size() : at + 1);
    return taken;
  }

  std::string_view text_;
  std::string_view rest_;
};

bool TakePrefix(std::string_view& word, std::string_view prefix) {
  if (!word.starts_with(prefix)) return false;
  word.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::string Canonical(const ModelSpec& spec) {
  std::string text = fmt::format("{} inputs={}", kFormat, spec.inputs);
  if (!spec.shape.empty())
    text += fmt::format(" shape={}", fmt::join(spec.shape, "x"));
  return text + WriteLayers(spec.layers) +
         fmt::format(" loss={}", Word(spec.loss));
}

ModelSpec ParseCanonical(const std::string& text) {
  ModelSpec spec;
  Reader reader(text);
  if (reader.Word() != kFormat)
    reader.Fail(fmt::format("no leading '{}'", kFormat));
  std::string_view word = reader.Word();
  if (!TakePrefix(word, "inputs=")) reader.Fail("no 'inputs='");
  reader.Read(word, spec.inputs);
  word = reader.Word();
  if (TakePrefix(word, "shape=")) {
    reader.Read(word, spec.shape);
    word = reader.Word();
  }
  for (; !TakePrefix(word, "loss="); word = reader.Word())
    spec.layers.push_back(reader.ReadLayer(word));
  spec.loss = ParseLoss(std::string(word));
  Validate(spec);
  // Two spellings of one model must not both be accepted: equal texts are what
  // peers compare. Catches leading zeros, doubled spaces, trailing words.
  if (Canonical(spec) != text) reader.Fail("stray characters");
  return spec;
}

}  // namespace hearsay::model
