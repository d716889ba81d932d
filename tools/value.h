// JSON values and Python literals as one small tree: what configuration files, SM_* variables and
// hyperparameters hold.
#ifndef LOCKSTEP_TOOLS_VALUE_H_
#define LOCKSTEP_TOOLS_VALUE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::tools {

struct Value {
  enum class Kind { kNone, kBool, kNumber, kString, kList, kMap };

  Kind kind = Kind::kNone;
  std::string text = {};          // "True"/"False", a number as Python prints it, a string's bytes
  std::vector<Value> items = {};  // of a list or map
  std::vector<std::string> keys = {};  // of a map, in the order of `items`

  // The value of a key; null where there is none.
  const Value* Find(std::string_view key) const;
};

// JSON text (RFC 8259, nesting up to 32). Of equal keys the last wins, as in Python. Integers keep
// all their digits. `where` names the file or variable in the ConfigError thrown.
Value ParseJson(std::string_view json, const std::string& where);
std::optional<Value> TryParseJson(std::string_view json);

// A Python literal as str() prints it: numbers, True, None, 'x', [1, 2], (1,), {'a': 1}; JSON's
// spellings (true, null, "x", NaN) are understood as well.
Value ParsePython(std::string_view text, const std::string& where);

// Python's str(): a string's own bytes, "True", "[1, 2, 'x']"; nothing for None.
std::string PythonStr(const Value& value);

// The text under which the SageMaker toolkit passes a hyperparameter in argv: str(), but a map is
// "a=1,b=[2, 3]".
std::string ArgumentText(const Value& value);

// The elements of "[1, 2, 'x']", "(1, 2)", "1, 2" or "1", each as PythonStr gives it.
std::vector<std::string> ParseListText(std::string_view text, const std::string& where);

// The members of "a=1,b=[2, 3]" or "{'a': 1}".
std::vector<std::pair<std::string, std::string>> ParseMapText(std::string_view text,
                                                              const std::string& where);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_VALUE_H_
