// The quick ways of an encoder: a column of many records at a time, of which
// most fields are known or are short numbers. The others go through what
// encodes one field, so that rules and errors are in one place.
#include "model/prep/encoder.h"
#include "model/prep/quick_numbers.h"

namespace hearsay::model::prep {

std::span<const Verdict> Encoder::Append(const CsvRecords& records,
                                         EncodedRows& rows) {
  RowBatch batch(records, rows, verdicts_);
  batch.Select([this](std::span<const std::string_view> fields) {
    return !keep_ || Holds(*keep_, fields);
  });
  for (Bound& bound : columns_)
    if (bound.column->categorical())
      AppendCodes(bound, batch);
    else if (bound.column->kind == InputColumn::Kind::kText)
      AppendTexts(bound, batch);
    else
      AppendValues(bound, batch);
  AppendLabels(batch);
  batch.Finish();
  return verdicts_;
}

void Encoder::AppendCodes(Bound& bound, RowBatch& batch) {
  const bool remembered = !bound.derived;
  const std::size_t size = batch.size();
  std::uint8_t* to = batch.codes(0) + bound.place;
  const std::size_t step = batch.code_columns();
  for (std::size_t place = 0; place < size; ++place, to += step) {
    if (remembered) {
      const std::int32_t code =
          bound.memo.Find(batch.field(place, bound.field));
      if (code >= 0 && code < kDrop) {
        *to = static_cast<std::uint8_t>(code);
        continue;
      }
    }
    batch.Attempt(place, [&](std::span<const std::string_view> fields) {
      const std::int32_t code = bound.derived
                                    ? DerivedCode(bound, fields)
                                    : Code(bound, fields[bound.field]);
      if (code == kDrop) return Outcome::kDropped;
      *to = static_cast<std::uint8_t>(code);
      return Outcome::kTaken;
    });
  }
}

void Encoder::AppendTexts(Bound& bound, RowBatch& batch) {
  for (std::size_t place = 0; place < batch.size(); ++place)
    batch.Attempt(place, [&](std::span<const std::string_view> fields) {
      return AppendText(bound, fields[bound.field],
                        batch.codes(place) + bound.place);
    });
}

void Encoder::AppendValues(Bound& bound, RowBatch& batch) {
  if (bound.column->kind == InputColumn::Kind::kBoolean)
    AppendFlags(bound, batch);
  else
    AppendNumbers(bound, batch);
}

void Encoder::AppendFlags(Bound& bound, RowBatch& batch) {
  const bool remembered = !bound.when || bound.when->fields.size() == 1;
  const Memo& memo = bound.when ? bound.when->memo : bound.memo;
  const std::size_t field =
      bound.when && remembered ? bound.when->fields[0] : bound.field;
  const std::size_t size = batch.size();
  float* to = batch.values(0) + bound.place;
  for (std::size_t place = 0; place < size;
       ++place, to += batch.value_columns()) {
    if (remembered) {
      const std::int32_t holds = memo.Find(batch.field(place, field));
      if (holds != Memo::kUnknown) {
        to[0] = holds == 1 ? 1.0F : -1.0F;
        if (bound.column->missing_indicator) to[1] = -1.0F;
        continue;
      }
    }
    batch.Attempt(place, [&](std::span<const std::string_view> fields) {
      return AppendValue(bound, fields, to);
    });
  }
}

void Encoder::AppendNumbers(Bound& bound, RowBatch& batch) {
  static_assert(QuickNumbers::kMost >= CsvCursor::kMany);
  const InputColumn& column = *bound.column;
  const bool quick = !bound.derived && !numbers_stand_for_missing_;
  const std::size_t size = batch.size();
  if (quick) {
    for (std::size_t place = 0; place < size; ++place)
      numbers_.Set(place, batch.field(place, bound.field));
    numbers_.Scale(size, {column.minimum, column.maximum, column.whole});
  }
  float* to = batch.values(0) + bound.place;
  for (std::size_t place = 0; place < size;
       ++place, to += batch.value_columns()) {
    if (quick && numbers_.is_taken(place)) {
      to[0] = numbers_.scaled(place);
      if (column.missing_indicator) to[1] = -1.0F;
      continue;
    }
    batch.Attempt(place, [&](std::span<const std::string_view> fields) {
      return AppendValue(bound, fields, to);
    });
  }
}

void Encoder::AppendLabels(RowBatch& batch) {
  const bool remembered = !classes_.empty() && label_field_;
  for (std::size_t place = 0; place < batch.size(); ++place) {
    if (remembered) {
      const std::int32_t label =
          label_memo_.Find(batch.field(place, *label_field_));
      if (label != Memo::kUnknown) {
        batch.label(place) = static_cast<float>(label);
        continue;
      }
    }
    batch.Attempt(place, [&](std::span<const std::string_view> fields) {
      batch.label(place) = Label(fields);
      return Outcome::kTaken;
    });
  }
}

}  // namespace hearsay::model::prep
