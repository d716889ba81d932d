// Values as text, the same in every locale.
#ifndef LOCKSTEP_ENGINE_TEXT_H_
#define LOCKSTEP_ENGINE_TEXT_H_

#include <cstdint>
#include <string>

namespace lockstep {

inline std::string Text(int64_t value) { return std::to_string(value); }
inline std::string Text(bool value) { return value ? "true" : "false"; }
std::string Text(double value);  // shortest that reads back the same; "nan", "inf", "-inf"

// "1 row", "2 rows"; "2 processes" where the plural is given.
std::string Counted(int64_t count, const std::string& one, const std::string& many = "");

// 16 digits, as hashes are written.
std::string Hexadecimal(uint64_t value);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TEXT_H_
