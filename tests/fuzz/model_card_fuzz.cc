#include <cstdlib>
#include <string>

#include "kernels/error.h"
#include "models/model_card.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep {

std::vector<std::vector<uint8_t>> FuzzSeeds() {
  const ModelCard cards[] = {
      {.spec = {.name = "vgg", .in_shape = {3, 32, 32}, .classes = 7, .width = 0.125},
       .input = {.scale = 0.5, .mean = {0.5, 0.25, 2}, .stddev = {3}, .padding = 4, .crop = 32},
       .mode = "reproducible",
       .lanes = 8},
      {.spec = {.name = "mlp", .in_shape = {784}, .hidden = {30, 20}}, .seed = ~uint64_t{0}}};
  std::vector<std::vector<uint8_t>> seeds;
  for (const ModelCard& card : cards) {
    const std::string json = ToJson(card);
    seeds.emplace_back(json.begin(), json.end());
  }
  return seeds;
}

}  // namespace lockstep

// What has been read must survive being written.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lockstep::ModelCard card;
  try {
    card = lockstep::ParseModelCard({reinterpret_cast<const char*>(data), size}, "fuzz.json");
  } catch (const lockstep::FormatError&) {
    return 0;
  }
  if (lockstep::ParseModelCard(lockstep::ToJson(card), "again.json") != card) std::abort();
  return 0;
}
