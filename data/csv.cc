#include "data/csv.h"

#include <array>
#include <charconv>
#include <cmath>
#include <vector>

#include "engine/text.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

std::string_view Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// Whether a number that is no double is too small for one, not too large: by the power of ten of
// its first digit other than zero.
bool IsTiny(std::string_view number) {
  const size_t e = std::min(number.find_first_of("eE"), number.size());
  const std::string_view mantissa = number.substr(0, e);
  const size_t first = mantissa.find_first_of("123456789");
  const size_t point = std::min(mantissa.find('.'), mantissa.size());
  if (first == std::string_view::npos) return true;
  std::string_view power = e < number.size() ? number.substr(e + 1) : "0";
  if (power.starts_with('+')) power.remove_prefix(1);
  int64_t exponent = 0;
  const auto result = std::from_chars(power.data(), power.data() + power.size(), exponent);
  if (result.ec == std::errc::result_out_of_range) return power.starts_with('-');
  return exponent < static_cast<int64_t>(first) - static_cast<int64_t>(point);
}

class CsvParser {
 public:
  explicit CsvParser(const std::string& name) : name_(name) {}

  void Line(std::string_view line) {
    ++line_;
    if (Trimmed(line).empty()) return;
    int64_t column = 0;
    for (size_t begin = 0; begin <= line.size();) {
      const size_t comma = std::min(line.find(',', begin), line.size());
      values_.push_back(Number(Trimmed(line.substr(begin, comma - begin)), ++column));
      begin = comma + 1;
    }
    if (columns_ == 0) columns_ = column;
    if (column != columns_) {
      Fail("has " + Counted(column, "column") + ", the rows before " + std::to_string(columns_) +
           "; give all as many");
    }
    ++rows_;
  }

  Tensor Finish() const {
    if (rows_ == 0) throw FormatError(name_ + ": no rows; wanted at least one line of numbers");
    return Tensor::FromValues<float>(Shape({rows_, columns_}), values_);
  }

 private:
  float Number(std::string_view text, int64_t column) const {
    float value = 0.0F;
    const bool plus = text.starts_with('+') && !text.starts_with("+-");
    const std::string_view digits = plus ? text.substr(1) : text;
    const char* const end = digits.data() + digits.size();
    auto result = std::from_chars(digits.data(), end, value);
    if (result.ec == std::errc::result_out_of_range) {  // too large, or as good as zero
      double wide = 0.0;
      result = std::from_chars(digits.data(), end, wide);
      if (result.ec == std::errc::result_out_of_range && IsTiny(digits)) result.ec = std::errc();
      value = static_cast<float>(wide);
    }
    if (result.ec != std::errc() || result.ptr != end || !std::isfinite(value)) {
      Fail("column " + std::to_string(column) + ": wanted a finite number, found " +
           Printable(text) + "; give numbers only, without a header");
    }
    return value;
  }

  static std::string Printable(std::string_view text) {
    std::string shown = "'";
    for (const char c : text.substr(0, 32)) shown += c < ' ' || c > '~' ? '?' : c;
    return shown + (text.size() > 32 ? "...'" : "'");
  }

  [[noreturn]] void Fail(const std::string& what) const {
    throw FormatError(name_ + " line " + std::to_string(line_) + ": " + what);
  }

  const std::string& name_;
  int64_t line_ = 0, rows_ = 0, columns_ = 0;
  std::vector<float> values_;
};

}  // namespace

Tensor ParseCsv(std::string_view text, const std::string& name) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  CsvParser parser(name);
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    parser.Line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parser.Finish();
}

std::string WriteCsv(const Tensor& tensor) {
  const Tensor floats = tensor.Cast(DType::kFloat32);
  const int64_t columns = std::max<int64_t>(floats.shape().row_size(), 1);
  std::string text;
  int64_t column = 0;
  for (const float value : floats.values<float>()) {
    std::array<char, 32> digits{};
    const auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    text.append(digits.data(), result.ptr);
    text += ++column % columns == 0 ? '\n' : ',';
  }
  return text;
}

}  // namespace lockstep
