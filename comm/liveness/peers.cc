#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <sstream>

#include "comm/hosts.h"
#include "comm/liveness/peers_internal.h"
#include "engine/train/host_name.h"
#include "kernels/error.h"

namespace lockstep::liveness {

std::string AddressText(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    return ::inet_ntop(AF_INET, &v4->sin_addr, text.data(), text.size());
  }
  if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    if (IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr)) return "";
    return ::inet_ntop(AF_INET6, &v6->sin6_addr, text.data(), text.size());
  }
  return "";
}

std::string Peer::Where() const {
  return "process " + std::to_string(process) + " on host " + host_name;
}

std::vector<Peer> ExchangePeers(RankGroup& group, const std::string& host_key) {
  const std::vector<std::string> keys = GatherTexts(group, host_key.empty() ? HostKey() : host_key);
  const std::vector<std::string> names = GatherTexts(group, HostName());
  const std::vector<int64_t> processes = GatherValues<int64_t>(group, ::getpid());
  std::vector<Peer> peers;
  for (size_t rank = 0; rank < keys.size(); ++rank) {
    peers.push_back({.host_key = keys[rank], .host_name = names[rank], .process = processes[rank]});
  }
  return peers;
}

void ExchangePorts(RankGroup& group, uint16_t port, std::vector<Peer>* peers) {
  const std::vector<uint16_t> ports = GatherValues(group, port);
  std::string mine;
  if (port != 0) {
    for (const std::string& address : OwnAddresses()) mine += address + " ";
  }
  const std::vector<std::string> addresses = GatherTexts(group, mine);
  for (size_t rank = 0; rank < ports.size(); ++rank) {
    Peer& peer = (*peers)[rank];
    peer.port = ports[rank];
    std::istringstream words(addresses[rank]);
    for (std::string word; words >> word;) peer.addresses.push_back(word);
  }
}

Token ShareToken(RankGroup& group) {
  Token token{};
  // Up to 256 bytes come whole once the system has started (getrandom(2)).
  if (group.rank() == 0 && ::getrandom(token.data(), token.size(), 0) != std::ssize(token)) {
    throw Error(ExitCode::kNoResources, "the system has no random numbers");
  }
  group.Broadcast(token.data(), token.size(), 0);
  return token;
}

int DeputyOf(const std::vector<Peer>& peers) {
  const auto other = std::find_if(peers.begin(), peers.end(), [&](const Peer& peer) {
    return peer.host_key != peers.front().host_key;
  });
  return other == peers.end() ? 1 : static_cast<int>(other - peers.begin());
}

bool OneHost(const std::vector<Peer>& peers) {
  return std::all_of(peers.begin(), peers.end(),
                     [&](const Peer& peer) { return peer.host_key == peers.front().host_key; });
}

std::vector<std::string> AddressesTo(const Peer& to, const Peer& from,
                                     const std::vector<std::string>& own) {
  if (to.host_key == from.host_key) return {"127.0.0.1"};
  std::vector<std::string> addresses = to.addresses;
  std::stable_partition(addresses.begin(), addresses.end(), [&](const std::string& address) {
    return std::find(own.begin(), own.end(), address) == own.end();
  });
  return addresses;
}

std::vector<std::string> OwnAddresses() {
  ifaddrs* first = nullptr;
  std::vector<std::string> addresses;
  if (::getifaddrs(&first) != 0) return addresses;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(first, &::freeifaddrs);
  for (const ifaddrs* at = first; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_UP) == 0) continue;
    if ((at->ifa_flags & IFF_LOOPBACK) != 0) continue;
    if (std::string text = AddressText(at->ifa_addr); !text.empty()) addresses.push_back(text);
  }
  return addresses;
}

}  // namespace lockstep::liveness
