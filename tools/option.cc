// What an option accepts, and how its text reaches the variable bound to it.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "kernels/error.h"
#include "tools/option_values.h"
#include "tools/options.h"
#include "tools/text.h"
#include "tools/value.h"

namespace lockstep::tools {
namespace {

template <typename T>
struct Optional : std::false_type {
  using Inner = T;
};
template <typename T>
struct Optional<std::optional<T>> : std::true_type {
  using Inner = T;
};

template <typename T>
struct List : std::false_type {
  using Inner = T;
};
template <typename T>
struct List<std::vector<T>> : std::true_type {
  using Inner = T;
};

using Map = std::map<std::string, std::string>;

template <typename T>
std::string Kind() {
  if constexpr (std::is_same_v<T, bool>) {
    return "True or False";
  } else if constexpr (std::is_integral_v<T>) {
    return "a whole number";
  } else if constexpr (std::is_same_v<T, double>) {
    return "a number";
  } else if constexpr (std::is_same_v<T, Map>) {
    return "name=value[,name=value...]";
  } else if constexpr (List<T>::value) {
    return "a list, each " + Kind<typename List<T>::Inner>();
  } else {
    return "a text";
  }
}

std::string ShowDefault(bool value) { return value ? "True" : "False"; }
std::string ShowDefault(double value) { return FormatG(value, 15); }
std::string ShowDefault(const std::string& value) { return OneLine(value, 200); }
template <typename T>
std::enable_if_t<std::is_integral_v<T>, std::string> ShowDefault(T value) {
  return std::to_string(value);
}

// One text into one plain value; nullopt where it is none.
template <typename T>
std::optional<T> ParseOne(const std::string& text) {
  if constexpr (std::is_same_v<T, bool>) {
    return ParseBool(text);
  } else if constexpr (std::is_same_v<T, uint64_t>) {
    return ParseUnsigned(text);
  } else if constexpr (std::is_integral_v<T>) {
    const auto number = ParseInt(text);
    if (!number || *number < std::numeric_limits<T>::min() ||
        *number > std::numeric_limits<T>::max()) {
      return std::nullopt;
    }
    return static_cast<T>(*number);
  } else if constexpr (std::is_same_v<T, double>) {
    return ParseDouble(text);
  } else {
    return text;
  }
}

}  // namespace

Option& Option::Min(double least) {
  min_ = least;
  return *this;
}

Option& Option::Above(double bound) {
  above_ = bound;
  return *this;
}

Option& Option::Max(double most) {
  max_ = most;
  return *this;
}

Option& Option::Below(double bound) {
  below_ = bound;
  return *this;
}

Option& Option::OneOf(std::vector<std::string> values) {
  choices_ = std::move(values);
  return *this;
}

Option& Option::Short(char letter) {
  letter_ = letter;
  return *this;
}

Option& Option::Alias(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  names_.push_back(std::move(name));
  return *this;
}

Option& Option::ValueName(std::string name) {
  value_name_ = std::move(name);
  return *this;
}

Option& Option::DefaultText(std::string text) {
  default_text_ = std::move(text);
  return *this;
}

template <typename T>
bool Option::Accepts(const T& value) const {
  if constexpr (std::is_arithmetic_v<T>) {
    const auto number = static_cast<double>(value);
    return (!min_ || number >= *min_) && (!above_ || number > *above_) &&
           (!max_ || number <= *max_) && (!below_ || number < *below_);
  }
  return true;
}

std::string Option::Wanted() const {
  if (!choices_.empty()) return "one of " + Join(choices_, ", ");
  std::string wanted = kind_;
  if (above_) wanted += " above " + FormatG(*above_, 15);
  if (min_) wanted += " from " + FormatG(*min_, 15);
  if (max_) wanted += " up to " + FormatG(*max_, 15);
  if (below_) wanted += " to below " + FormatG(*below_, 15);
  return min_ && !max_ && !below_ ? wanted + " up" : wanted;
}

void Option::SetText(const std::string& text) {
  const bool listed = choices_.empty() || std::count(choices_.begin(), choices_.end(), text) > 0;
  if (!listed || !set_(*this, text)) {
    throw ConfigError("found " + Quote(text) + ", wanted " + Wanted());
  }
}

template <typename Target>
Option& Options::Add(const std::string& name, Target* target, const std::string& help) {
  using Plain = typename Optional<Target>::Inner;
  using Element = typename List<Plain>::Inner;
  Option& option = Declare(name, help, Kind<Plain>());
  if constexpr (std::is_same_v<Plain, Map>) {
    option.clear_ = [target] { target->clear(); };
    option.set_ = [target](const Option&, const std::string& text) {
      for (auto& [key, value] : ParseMapText(text, "map")) (*target)[key] = value;
      return true;
    };
  } else if constexpr (List<Plain>::value) {
    option.clear_ = [target] { target->clear(); };
    option.set_ = [target](const Option& self, const std::string& text) {
      for (const std::string& element : ParseListText(text, "list")) {
        const auto value = ParseOne<Element>(element);
        if (!value || !self.Accepts(*value)) return false;
        target->push_back(*value);
      }
      return true;
    };
  } else {
    option.is_flag_ = std::is_same_v<Plain, bool>;
    if constexpr (Optional<Target>::value) {
      if (*target) option.default_text_ = ShowDefault(**target);
    } else {
      option.default_text_ = ShowDefault(*target);
    }
    option.set_ = [target](const Option& self, const std::string& text) {
      const auto value = ParseOne<Plain>(text);
      if (!value || !self.Accepts(*value)) return false;
      *target = *value;
      return true;
    };
  }
  return option;
}

template Option& Options::Add(const std::string&, bool*, const std::string&);
template Option& Options::Add(const std::string&, int*, const std::string&);
template Option& Options::Add(const std::string&, int64_t*, const std::string&);
template Option& Options::Add(const std::string&, uint64_t*, const std::string&);
template Option& Options::Add(const std::string&, double*, const std::string&);
template Option& Options::Add(const std::string&, std::string*, const std::string&);
template Option& Options::Add(const std::string&, std::optional<bool>*, const std::string&);
template Option& Options::Add(const std::string&, std::optional<int>*, const std::string&);
template Option& Options::Add(const std::string&, std::optional<int64_t>*, const std::string&);
template Option& Options::Add(const std::string&, std::optional<uint64_t>*, const std::string&);
template Option& Options::Add(const std::string&, std::optional<double>*, const std::string&);
template Option& Options::Add(const std::string&, std::optional<std::string>*, const std::string&);
template Option& Options::Add(const std::string&, std::vector<int64_t>*, const std::string&);
template Option& Options::Add(const std::string&, std::vector<double>*, const std::string&);
template Option& Options::Add(const std::string&, std::vector<std::string>*, const std::string&);
template Option& Options::Add(const std::string&, Map*, const std::string&);

}  // namespace lockstep::tools
