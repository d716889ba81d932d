#include <cstdlib>
#include <cstring>
#include <string>

#include "data/csv.h"
#include "kernels/error.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep {

std::vector<std::vector<uint8_t>> FuzzSeeds() {
  std::vector<std::vector<uint8_t>> seeds;
  for (const std::string text :
       {"1,2,3\n4,5,6\n", "\xEF\xBB\xBF-0.5, 1e-3 ,+2\r\n\r\n7E+10,.25,0", "nan,1e999\n\"1\",2\n",
        "3.4028235e38\n-1.17549435e-38\n16777217\n"}) {
    seeds.emplace_back(text.begin(), text.end());
  }
  return seeds;
}

}  // namespace lockstep

// What has been read must survive being written.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lockstep::Tensor rows;
  try {
    rows = lockstep::ParseCsv({reinterpret_cast<const char*>(data), size}, "fuzz.csv");
  } catch (const lockstep::FormatError&) {
    return 0;
  }
  const lockstep::Tensor again = lockstep::ParseCsv(lockstep::WriteCsv(rows), "again.csv");
  if (again.shape() != rows.shape() || std::memcmp(again.data(), rows.data(), rows.bytes()) != 0) {
    std::abort();
  }
  return 0;
}
