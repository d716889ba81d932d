// What a fuzz target provides.
#ifndef LOCKSTEP_TESTS_FUZZ_FUZZ_TARGET_H_
#define LOCKSTEP_TESTS_FUZZ_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <vector>

// libFuzzer's entry: reads the bytes as its format. FormatError is the one right answer to damage;
// any other exception, signal or sanitizer report is a finding.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace lockstep {

// Good files to begin from.
std::vector<std::vector<uint8_t>> FuzzSeeds();

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_FUZZ_FUZZ_TARGET_H_
