// Where the ranks of a job run, and at which addresses two of them listen.
#ifndef LOCKSTEP_COMM_LIVENESS_PEERS_INTERNAL_H_
#define LOCKSTEP_COMM_LIVENESS_PEERS_INTERNAL_H_

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "comm/liveness/frame_internal.h"
#include "engine/train/rank_group.h"

namespace lockstep::liveness {

struct Peer {
  std::string host_key;   // equal: they reach each other at 127.0.0.1
  std::string host_name;  // for people
  int64_t process = 0;
  // Of rank 0 and the deputy.
  uint16_t port = 0;
  std::vector<std::string> addresses{};

  std::string Where() const;  // "process 4711 on host a"
};

// All ranks call these together.
std::vector<Peer> ExchangePeers(RankGroup& group, const std::string& host_key);
// `port` of a rank that listens, else 0. Fills in ports and addresses.
void ExchangePorts(RankGroup& group, uint16_t port, std::vector<Peer>* peers);
Token ShareToken(RankGroup& group);

// The first rank of another host than rank 0's; rank 1 where all share one.
int DeputyOf(const std::vector<Peer>& peers);
bool OneHost(const std::vector<Peer>& peers);
// Where `from` tries to reach `to`, the likeliest first: private networks, such as containers',
// may have the same addresses on every host, so what `from` has itself comes last.
std::vector<std::string> AddressesTo(const Peer& to, const Peer& from,
                                     const std::vector<std::string>& own);
// Of this host's interfaces that are up, without loopback and IPv6 addresses of one link.
std::vector<std::string> OwnAddresses();
// "" for those of one link, which mean nothing elsewhere, and for other than IP addresses.
std::string AddressText(const sockaddr* address);

}  // namespace lockstep::liveness

#endif  // LOCKSTEP_COMM_LIVENESS_PEERS_INTERNAL_H_
