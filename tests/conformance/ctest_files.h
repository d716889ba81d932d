// What ctest knows: the tests of a build folder, and how they ended.
#ifndef LOCKSTEP_TESTS_CONFORMANCE_CTEST_FILES_H_
#define LOCKSTEP_TESTS_CONFORMANCE_CTEST_FILES_H_

#include <istream>
#include <set>
#include <string>

#include "tests/conformance/table.h"

namespace lockstep::conformance {

// Names of the tests of a build folder, as `ctest --show-only` lists them; with `label` of those
// that have it. Throws std::runtime_error when ctest does not run.
std::set<std::string> ListTests(const std::string& build_folder, const std::string& label = "");

// Reads what `ctest --output-junit` writes: one <testcase name="..." status="run|fail|notrun">
// each.
Results ReadJunit(std::istream& in);

}  // namespace lockstep::conformance

#endif  // LOCKSTEP_TESTS_CONFORMANCE_CTEST_FILES_H_
