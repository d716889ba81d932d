#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "comm/liveness/peers_internal.h"

namespace lockstep::liveness {
namespace {

std::string TextOfV6(const char* address) {
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  EXPECT_EQ(::inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
  return AddressText(reinterpret_cast<const sockaddr*>(&v6));
}

TEST(AddressText, LeavesOutWhatMeansNothingOnAnotherHost) {
  EXPECT_EQ(TextOfV6("2001:db8::7"), "2001:db8::7");
  EXPECT_EQ(TextOfV6("fd00::1"), "fd00::1");
  EXPECT_EQ(TextOfV6("fe80::1"), "");
  EXPECT_EQ(TextOfV6("febf:ffff::1"), "");
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(0x0A000002);
  EXPECT_EQ(AddressText(reinterpret_cast<const sockaddr*>(&v4)), "10.0.0.2");
  sockaddr other{};
  other.sa_family = AF_UNIX;
  EXPECT_EQ(AddressText(&other), "");
}

}  // namespace
}  // namespace lockstep::liveness
