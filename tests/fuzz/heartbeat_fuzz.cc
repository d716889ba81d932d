#include <algorithm>
#include <cstring>
#include <span>
#include <string>

#include "comm/liveness/frame_internal.h"
#include "engine/train/crc32c.h"
#include "kernels/error.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep {
namespace {

constexpr size_t kSumAt = 12;

std::vector<uint8_t> BytesOf(const liveness::Frame& frame) {
  const std::vector<std::byte> bytes = liveness::Encode(frame);
  std::vector<uint8_t> same(bytes.size());
  std::transform(bytes.begin(), bytes.end(), same.begin(),
                 [](std::byte byte) { return static_cast<uint8_t>(byte); });
  return same;
}

// A connection's bytes, frame by frame, as liveness/connection.cc reads them.
void ReadAll(std::span<const std::byte> bytes) {
  while (bytes.size() >= liveness::kHeadBytes) {
    const auto head = bytes.first<liveness::kHeadBytes>();
    const size_t body = liveness::ParseHead(head).body_bytes;
    if (body > liveness::kMostBody) throw std::string("a body larger than the largest");
    if (bytes.size() - liveness::kHeadBytes < body) return;
    const liveness::Frame frame =
        liveness::ParseBody(head, bytes.subspan(liveness::kHeadBytes, body));
    if (frame.states.size() > liveness::kMostStates) throw std::string("too many states");
    // What was understood is written as it was read.
    const std::vector<std::byte> again = liveness::Encode(frame);
    if (again.size() != liveness::kHeadBytes + body) throw std::string("another size");
    bytes = bytes.subspan(again.size());
  }
}

// The sums of all heads are made right, else hardly any damage would get beyond them.
std::vector<uint8_t> Summed(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  for (size_t at = 0; at + liveness::kHeadBytes <= size;) {
    const size_t body = std::min<size_t>(bytes[at + 6] | size_t{bytes[at + 7]} << 8,
                                         size - at - liveness::kHeadBytes);
    const auto frame = std::as_bytes(std::span(bytes).subspan(at, liveness::kHeadBytes + body));
    const uint32_t sum = Crc32c(frame.subspan(liveness::kHeadBytes), Crc32c(frame.first(kSumAt)));
    std::memcpy(bytes.data() + at + kSumAt, &sum, sizeof sum);
    at += frame.size();
  }
  return bytes;
}

}  // namespace

std::vector<std::vector<uint8_t>> FuzzSeeds() {
  liveness::Frame hello;
  hello.type = liveness::FrameType::kHello;
  liveness::Frame beat;
  beat.states.resize(3);
  beat.states[1].name = "gradients 3";
  liveness::Frame lost;
  lost.type = liveness::FrameType::kLost;
  lost.lost = {.rank = 1, .how = RankLost::How::kDied, .line = "rank 1 has died"};
  liveness::Frame goodbye;
  goodbye.type = liveness::FrameType::kGoodbye;
  std::vector<uint8_t> all = BytesOf(hello);
  for (const liveness::Frame& frame : {beat, lost, goodbye}) {
    const std::vector<uint8_t> bytes = BytesOf(frame);
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  return {BytesOf(hello), BytesOf(beat), BytesOf(lost), BytesOf(goodbye), all};
}

}  // namespace lockstep

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<uint8_t> summed = lockstep::Summed(data, size);
  for (const auto bytes : {std::span(data, size), std::span<const uint8_t>(summed)}) {
    try {
      lockstep::ReadAll(std::as_bytes(bytes));
    } catch (const lockstep::FormatError&) {
    }
  }
  return 0;
}
