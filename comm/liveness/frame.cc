#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

#include "comm/liveness/frame_internal.h"
#include "engine/train/crc32c.h"
#include "kernels/error.h"

namespace lockstep::liveness {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr char kMagic[] = {'L', 'S', 'H', 'B'};
constexpr uint8_t kVersion = 1;
constexpr size_t kCrcAt = 12;
constexpr int32_t kMostRanks = 1 << 20;

template <typename T>
void Put(std::vector<std::byte>* bytes, T value) {
  const size_t at = bytes->size();
  bytes->resize(at + sizeof value);
  std::memcpy(bytes->data() + at, &value, sizeof value);
}

void PutText(std::vector<std::byte>* bytes, std::string_view text) {
  for (const char c : text) bytes->push_back(static_cast<std::byte>(c));
}

template <typename T>
T Get(std::span<const std::byte> bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

uint32_t CrcOf(std::span<const std::byte> head, std::span<const std::byte> body) {
  return Crc32c(body, Crc32c(head.first(kCrcAt)));
}

// It is going to be shown to people.
std::string Printable(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    const char c = static_cast<char>(byte);
    text += c >= ' ' && c <= '~' ? c : '?';
  }
  return text;
}

void PutState(std::vector<std::byte>* bytes, const RankState& state) {
  Put(bytes, state.rank);
  Put(bytes, static_cast<uint32_t>(state.state));
  Put(bytes, state.number);
  Put(bytes, state.in_state_ms);
  Put(bytes, state.age_ms);
  std::string name = state.name;
  name.resize(CommProgress::kNameBytes);
  PutText(bytes, name);
}

int32_t GetRank(std::span<const std::byte> bytes, size_t at) {
  const auto rank = Get<int32_t>(bytes, at);
  if (rank < 0 || rank >= kMostRanks) {
    throw FormatError("a frame of rank " + std::to_string(rank));
  }
  return rank;
}

RankState GetState(std::span<const std::byte> bytes) {
  RankState state;
  state.rank = GetRank(bytes, 0);
  const auto code = Get<uint32_t>(bytes, 4);
  if (code > static_cast<uint32_t>(CommProgress::State::kFinished)) {
    throw FormatError("a beat with state " + std::to_string(code));
  }
  state.state = static_cast<CommProgress::State>(code);
  state.number = Get<uint64_t>(bytes, 8);
  state.in_state_ms = Get<uint32_t>(bytes, 16);
  state.age_ms = Get<uint32_t>(bytes, 20);
  const std::span<const std::byte> name = bytes.subspan(24, CommProgress::kNameBytes);
  state.name = Printable({name.begin(), std::find(name.begin(), name.end(), std::byte{0})});
  return state;
}

std::vector<std::byte> BodyOf(const Frame& frame) {
  std::vector<std::byte> body;
  if (frame.type == FrameType::kHello) {
    for (const uint8_t byte : frame.token) body.push_back(std::byte{byte});
  } else if (frame.type == FrameType::kBeat) {
    for (const RankState& state : frame.states) PutState(&body, state);
  } else if (frame.type == FrameType::kLost) {
    Put(&body, int32_t{frame.lost.rank});
    Put(&body, static_cast<uint32_t>(frame.lost.how));
    PutText(&body, std::string_view(frame.lost.line).substr(0, kMostText));
  }
  return body;
}

// The sizes that a body of this type may have.
bool Fits(FrameType type, size_t bytes) {
  switch (type) {
    case FrameType::kHello:
      return bytes == sizeof(Token);
    case FrameType::kBeat:
      return bytes % kStateBytes == 0 && bytes <= kMostStates * kStateBytes;
    case FrameType::kGoodbye:
      return bytes == 0;
    case FrameType::kLost:
      return bytes >= 8 && bytes <= 8 + kMostText;
  }
  return false;
}

RankLost GetLost(std::span<const std::byte> body) {
  RankLost lost;
  lost.rank = GetRank(body, 0);
  const auto how = Get<uint32_t>(body, 4);
  if (how > static_cast<uint32_t>(RankLost::How::kHangs)) {
    throw FormatError("a rank lost in way " + std::to_string(how));
  }
  lost.how = static_cast<RankLost::How>(how);
  lost.line = Printable(body.subspan(8));
  lost.told = true;
  return lost;
}

}  // namespace

std::vector<std::byte> Encode(const Frame& frame) {
  const std::vector<std::byte> body = BodyOf(frame);
  std::vector<std::byte> bytes;
  PutText(&bytes, {kMagic, sizeof kMagic});
  Put(&bytes, kVersion);
  Put(&bytes, static_cast<uint8_t>(frame.type));
  Put(&bytes, static_cast<uint16_t>(body.size()));
  Put(&bytes, frame.sender);
  Put(&bytes, CrcOf(bytes, body));
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

Head ParseHead(std::span<const std::byte, kHeadBytes> bytes) {
  if (std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0) {
    throw FormatError("no frame of a heartbeat");
  }
  if (const auto version = Get<uint8_t>(bytes, 4); version != kVersion) {
    throw FormatError("a heartbeat of version " + std::to_string(version) + ", this is version " +
                      std::to_string(kVersion));
  }
  const Head head{.type = static_cast<FrameType>(Get<uint8_t>(bytes, 5)),
                  .body_bytes = Get<uint16_t>(bytes, 6),
                  .sender = GetRank(bytes, 8),
                  .crc = Get<uint32_t>(bytes, kCrcAt)};
  if (!Fits(head.type, head.body_bytes)) {
    throw FormatError("a frame of type " + std::to_string(static_cast<int>(head.type)) + " with " +
                      std::to_string(head.body_bytes) + " bytes");
  }
  return head;
}

Frame ParseBody(std::span<const std::byte, kHeadBytes> head_bytes,
                std::span<const std::byte> body) {
  const Head head = ParseHead(head_bytes);
  if (body.size() != head.body_bytes || head.crc != CrcOf(head_bytes, body)) {
    throw FormatError("a frame whose bytes do not fit their sum");
  }
  Frame frame{.type = head.type, .sender = head.sender, .token = {}, .states = {}, .lost = {}};
  if (head.type == FrameType::kHello) {
    std::memcpy(frame.token.data(), body.data(), frame.token.size());
  } else if (head.type == FrameType::kBeat) {
    for (size_t at = 0; at < body.size(); at += kStateBytes) {
      frame.states.push_back(GetState(body.subspan(at, kStateBytes)));
    }
  } else if (head.type == FrameType::kLost) {
    frame.lost = GetLost(body);
  }
  return frame;
}

}  // namespace lockstep::liveness
