// Runs a fuzz target without libFuzzer: the seeds, then mutations of them that are the same in
// every run, so that any compiler's build can be tested for a bounded time.
//   <target> [mutations]        default 20000
//   <target> --write DIRECTORY  writes the seeds as files, a corpus for the libFuzzer build
//   <target> FILE...            runs files, e.g. those that libFuzzer found
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "kernels/math/philox.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep {
namespace {

using File = std::vector<uint8_t>;

// Random numbers by position.
class Dice {
 public:
  explicit Dice(int64_t run) : run_(run) {}
  // In [0, limit).
  size_t Roll(size_t limit) {
    const PhiloxWords words = Philox(17, SampleCounter(count_++, run_, 0));
    return limit == 0 ? 0 : (uint64_t{words[1]} << 32 | words[0]) % limit;
  }

 private:
  int64_t run_;
  uint32_t count_ = 0;
};

// Values that lengths and counts go wrong at.
constexpr uint64_t kEdges[] = {0,
                               1,
                               0x7F,
                               0x80,
                               0xFF,
                               0xFFFF,
                               0x7FFFFFFF,
                               0x80000000,
                               0xFFFFFFFF,
                               0x7FFFFFFFFFFFFFFF,
                               0xFFFFFFFFFFFFFFFF};

void MutateOnce(const std::vector<File>& seeds, Dice* dice, File* file) {
  if (file->empty()) return file->push_back(static_cast<uint8_t>(dice->Roll(256)));
  const size_t at = dice->Roll(file->size());
  const auto place = file->begin() + static_cast<std::ptrdiff_t>(at);
  switch (dice->Roll(7)) {
    case 0:
      (*file)[at] ^= static_cast<uint8_t>(1 << dice->Roll(8));
      break;
    case 1:
      (*file)[at] = static_cast<uint8_t>(dice->Roll(256));
      break;
    case 2:
      file->resize(at);
      break;
    case 3:
      file->erase(place, place + static_cast<std::ptrdiff_t>(
                                     1 + dice->Roll(std::min<size_t>(8, file->size() - at))));
      break;
    case 4: {  // a piece of some seed
      const File& other = seeds[dice->Roll(seeds.size())];
      const size_t from = dice->Roll(other.size());
      const size_t size = dice->Roll(std::min<size_t>(64, other.size() - from) + 1);
      const auto begin = other.begin() + static_cast<std::ptrdiff_t>(from);
      file->insert(place, begin, begin + static_cast<std::ptrdiff_t>(size));
      break;
    }
    default: {  // an edge of some width
      const uint64_t value = kEdges[dice->Roll(std::size(kEdges))];
      const size_t width = size_t{1} << dice->Roll(4);
      std::memcpy(file->data() + at, &value, std::min(width, file->size() - at));
    }
  }
}

void Run(const File& file) { LLVMFuzzerTestOneInput(file.data(), file.size()); }

int64_t RunMutations(int64_t count) {
  const std::vector<File> seeds = FuzzSeeds();
  for (const File& seed : seeds) Run(seed);
  for (int64_t i = 0; i < count; ++i) {
    Dice dice(i);
    File file = seeds[dice.Roll(seeds.size())];
    for (size_t steps = 1 + dice.Roll(4); steps > 0; --steps) MutateOnce(seeds, &dice, &file);
    Run(file);
  }
  return count;
}

void WriteSeeds(const std::string& directory) {
  int number = 0;
  for (const File& seed : FuzzSeeds()) {
    std::ofstream file(directory + "/seed" + std::to_string(number++), std::ios::binary);
    file.write(reinterpret_cast<const char*>(seed.data()),
               static_cast<std::streamsize>(seed.size()));
  }
}

int RunFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path);
    return 66;
  }
  Run(File(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()));
  return 0;
}

int Main(int argc, char** argv) {
  int64_t count = 20000;
  if (argc > 1) {
    const char* end = argv[1] + std::strlen(argv[1]);
    if (argc == 3 && std::strcmp(argv[1], "--write") == 0) return WriteSeeds(argv[2]), 0;
    if (std::from_chars(argv[1], end, count).ptr != end) {
      for (int i = 1; i < argc; ++i) {
        if (const int code = RunFile(argv[i]); code != 0) return code;
      }
      return 0;
    }
  }
  std::printf("%lld mutations, nothing found\n", static_cast<long long>(RunMutations(count)));
  return 0;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) { return lockstep::Main(argc, argv); }
