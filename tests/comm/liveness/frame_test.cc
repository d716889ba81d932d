#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "comm/liveness/frame_internal.h"
#include "engine/train/crc32c.h"
#include "kernels/error.h"

namespace lockstep::liveness {
namespace {

using Bytes = std::vector<std::byte>;

Frame Parse(const Bytes& bytes) {
  if (bytes.size() < kHeadBytes) throw FormatError("no head");
  const std::span<const std::byte> all(bytes);
  return ParseBody(all.first<kHeadBytes>(), all.subspan(kHeadBytes));
}

RankState SomeState(int rank) {
  RankState state;
  state.rank = rank;
  state.number = uint64_t{1} << 40;
  state.state = CommProgress::State::kInside;
  state.in_state_ms = 1234;
  state.age_ms = 17;
  state.name = "gradients 3";
  return state;
}

Frame Beat(size_t states) {
  Frame frame;
  frame.sender = 3;
  for (size_t i = 0; i < states; ++i) frame.states.push_back(SomeState(static_cast<int>(i)));
  return frame;
}

Frame Lost() {
  Frame frame;
  frame.type = FrameType::kLost;
  frame.sender = 1;
  frame.lost = {.rank = 2, .how = RankLost::How::kSilent, .line = "rank 2 is silent"};
  return frame;
}

TEST(HeartbeatFrame, ReadsWhatItWrites) {
  Frame hello;
  hello.type = FrameType::kHello;
  hello.sender = 5;
  hello.token[31] = 9;
  const Frame read_hello = Parse(Encode(hello));
  EXPECT_EQ(read_hello.type, FrameType::kHello);
  EXPECT_EQ(read_hello.sender, 5);
  EXPECT_EQ(read_hello.token, hello.token);

  const Frame beat = Parse(Encode(Beat(kMostStates)));
  ASSERT_EQ(beat.states.size(), kMostStates);
  EXPECT_EQ(beat.states[7].rank, 7);
  EXPECT_EQ(beat.states[7].number, uint64_t{1} << 40);
  EXPECT_EQ(beat.states[7].state, CommProgress::State::kInside);
  EXPECT_EQ(beat.states[7].in_state_ms, 1234U);
  EXPECT_EQ(beat.states[7].age_ms, 17U);
  EXPECT_EQ(beat.states[7].name, "gradients 3");

  const Frame lost = Parse(Encode(Lost()));
  EXPECT_EQ(lost.lost.rank, 2);
  EXPECT_EQ(lost.lost.how, RankLost::How::kSilent);
  EXPECT_EQ(lost.lost.line, "rank 2 is silent");
  EXPECT_TRUE(lost.lost.told);
}

TEST(HeartbeatFrame, BytesAreThoseOfTheFormat) {
  const Bytes bytes = Encode(Beat(1));
  ASSERT_EQ(bytes.size(), 16U + 56U);
  EXPECT_EQ(std::memcmp(bytes.data(), "LSHB\x01\x02\x38\0\x03\0\0\0", 12), 0);
  EXPECT_EQ(std::memcmp(bytes.data() + 40, "gradients 3\0", 12), 0);
}

TEST(HeartbeatFrame, LongTextsAreCutAndControlBytesMasked) {
  Frame frame = Lost();
  frame.lost.line = std::string(5000, 'x');
  EXPECT_EQ(Parse(Encode(frame)).lost.line, std::string(kMostText, 'x'));
  frame.lost.line = "a\nb\x1b[31m";
  EXPECT_EQ(Parse(Encode(frame)).lost.line, "a?b?[31m");
  Frame beat = Beat(1);
  beat.states[0].name = "new\nline";
  EXPECT_EQ(Parse(Encode(beat)).states[0].name, "new?line");
}

// The same body, said to be another type's; its sum is right.
Bytes OfType(Bytes bytes, FrameType type) {
  bytes[5] = static_cast<std::byte>(type);
  const std::span<const std::byte> all(bytes);
  const uint32_t sum = Crc32c(all.subspan(kHeadBytes), Crc32c(all.first(12)));
  std::memcpy(bytes.data() + 12, &sum, sizeof sum);
  return bytes;
}

// Right sums do not make sense of what nobody says.
TEST(HeartbeatFrame, WhatNoRankSendsIsRefused) {
  const auto refused = [](const auto& change) {
    Frame beat = Beat(2), lost = Lost();
    change(&beat, &lost);
    EXPECT_THROW(Parse(Encode(beat)), FormatError);
    EXPECT_THROW(Parse(Encode(lost)), FormatError);
  };
  for (const int rank : {-1, 1 << 20}) {
    refused([&](Frame* beat, Frame* lost) { beat->sender = lost->sender = rank; });
    refused([&](Frame* beat, Frame* lost) { beat->states[1].rank = lost->lost.rank = rank; });
  }
  refused([](Frame* beat, Frame* lost) {
    beat->states[1].state = static_cast<CommProgress::State>(3);
    lost->lost.how = static_cast<RankLost::How>(5);
  });
  refused([](Frame* beat, Frame* lost) {
    *beat = Beat(kMostStates + 1);
    lost->type = static_cast<FrameType>(5);
  });
  // Of these types none is without a body.
  Frame goodbye;
  goodbye.type = FrameType::kGoodbye;
  const Bytes empty = Encode(goodbye);
  EXPECT_EQ(Parse(empty).type, FrameType::kGoodbye);
  EXPECT_THROW(Parse(OfType(empty, FrameType::kHello)), FormatError);
  EXPECT_THROW(Parse(OfType(empty, FrameType::kLost)), FormatError);
}

// No damage is read as something else; what is read says a size that is no larger than it may be.
TEST(HeartbeatFrame, EveryCutAndEveryFlippedBitIsRefused) {
  for (const Frame& frame : {Beat(2), Lost()}) {
    const Bytes whole = Encode(frame);
    for (size_t size = 0; size < whole.size(); ++size) {
      EXPECT_THROW(Parse({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)}),
                   FormatError);
    }
    for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
      Bytes damaged = whole;
      damaged[bit / 8] ^= std::byte{1} << (bit % 8);
      EXPECT_THROW(Parse(damaged), FormatError) << bit;
    }
  }
}

}  // namespace
}  // namespace lockstep::liveness
