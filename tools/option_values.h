// Texts of options into values, in every spelling Python prints.
#ifndef LOCKSTEP_TOOLS_OPTION_VALUES_H_
#define LOCKSTEP_TOOLS_OPTION_VALUES_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace lockstep::tools {

// "20", "+5", "007", and whole numbers spelt "20.0" or "2e1".
std::optional<int64_t> ParseInt(std::string_view text);
std::optional<uint64_t> ParseUnsigned(std::string_view text);
// "0.05", "1e-05", ".5", "20"; finite ones only.
std::optional<double> ParseDouble(std::string_view text);
// True/False, yes/no, on/off (any case), 1/0.
std::optional<bool> ParseBool(std::string_view text);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_OPTION_VALUES_H_
