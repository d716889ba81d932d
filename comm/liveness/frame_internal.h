// What ranks say to each other beside training, as bytes.
#ifndef LOCKSTEP_COMM_LIVENESS_FRAME_INTERNAL_H_
#define LOCKSTEP_COMM_LIVENESS_FRAME_INTERNAL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/comm_progress.h"
#include "comm/liveness/rank_lost.h"

namespace lockstep::liveness {

enum class FrameType : uint8_t {
  kHello = 1,    // the first on a connection: who speaks, and the job's token
  kBeat = 2,     // "I am here", with what ranks are doing
  kGoodbye = 3,  // this rank has finished; its connection closes
  kLost = 4,     // a rank is lost or gave up: the job ends
};

// What one rank was last known to do. Times are durations: hosts' clocks differ.
struct RankState {
  int32_t rank = 0;
  uint64_t number = 0;
  CommProgress::State state = CommProgress::State::kNone;
  uint32_t in_state_ms = 0;
  uint32_t age_ms = 0;  // since that rank said so
  std::string name{};   // printable ASCII of at most CommProgress::kNameBytes
};

using Token = std::array<uint8_t, 32>;

struct Frame {
  FrameType type = FrameType::kBeat;
  int32_t sender = 0;
  Token token{};                  // kHello
  std::vector<RankState> states;  // kBeat, at most kMostStates
  RankLost lost;                  // kLost
};

// A frame is a head and a body of at most kMostBody bytes; numbers are little endian.
//
//   0   4  "LSHB"
//   4   1  version, 1
//   5   1  FrameType
//   6   2  bytes of the body
//   8   4  the sender's rank
//   12  4  CRC-32C of bytes 0 to 11 and the body
//
// Body of kHello: 32 bytes, the token. Of kGoodbye: nothing. Of kBeat, for each rank, 56 bytes:
//
//   0   4  rank
//   4   4  state: 0 nothing yet, 1 inside of the collective, 2 it is finished
//   8   8  number of the collective
//   16  4  milliseconds in this state
//   20  4  milliseconds since that rank said so
//   24  32 name, filled up with zeros
//
// Of kLost:
//
//   0   4  rank that is lost
//   4   4  RankLost::How
//   8      text of one line, to the end of the body
constexpr size_t kHeadBytes = 16;
constexpr size_t kStateBytes = 24 + CommProgress::kNameBytes;
constexpr size_t kMostStates = 16;
constexpr size_t kMostText = 1024;
constexpr size_t kMostBody = 8 + kMostText;
static_assert(kMostStates * kStateBytes <= kMostBody);

struct Head {
  FrameType type = FrameType::kBeat;
  size_t body_bytes = 0;
  int32_t sender = 0;
  uint32_t crc = 0;
};

std::vector<std::byte> Encode(const Frame& frame);

// Both throw FormatError for what no rank of this version sends. Nothing is ever larger than
// kMostBody, and bytes that do not fit their sum are not looked at.
Head ParseHead(std::span<const std::byte, kHeadBytes> bytes);
Frame ParseBody(std::span<const std::byte, kHeadBytes> head, std::span<const std::byte> body);

}  // namespace lockstep::liveness

#endif  // LOCKSTEP_COMM_LIVENESS_FRAME_INTERNAL_H_
