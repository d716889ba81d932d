// Which processes of a job have come to its start, before MPI has brought them together.
#ifndef LOCKSTEP_COMM_ROLL_CALL_H_
#define LOCKSTEP_COMM_ROLL_CALL_H_

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/train/posix_file.h"

namespace lockstep {

class LauncherRoll;

// MPI waits for ever for a process that never calls it, and says nothing. So each process first
// marks that it is here: it listens at an address of its host (an abstract Unix socket) that is
// made of the launcher's word for the job and of its rank. Nobody connects but to look whether
// somebody listens, and the mark is gone with the process.
//
// It sees the processes of its own host so, and these where the launcher names the job, as Open MPI
// does. Of those on other hosts the launchers there are asked, as far as they speak PMIx.
class RollCall {
 public:
  struct Process {
    int rank = 0;
    int id = 0;             // of the process, on this host
    bool here = false;      // it has called
    std::string host = {};  // "": this one
  };

  // This process is here. Throws CommError (78) where another process of this host already is the
  // same rank of the same job.
  RollCall();
  ~RollCall();
  RollCall(const RollCall&) = delete;
  RollCall& operator=(const RollCall&) = delete;

  // Tells the launchers of a job on several hosts that this process is here, so that they can be
  // asked. Waits for the one of this host. Others may call the rest meanwhile.
  void ReachLaunchers();
  // Those that the launcher has started on this host, by rank; empty where that cannot be told.
  std::vector<Process> OfThisHost() const;
  // All of the job by rank, as far as that can be told. Waits up to two seconds for the word of
  // other hosts.
  std::vector<Process> OfAllHosts() const;
  // Whether this is the first process of the host that asks, and none of the others has ended: one
  // of them says what is wrong.
  bool MaySpeak();

 private:
  std::string job_;  // "": the launcher does not name it
  FileDescriptor mark_, speaker_;
  mutable std::mutex mutex_;
  std::unique_ptr<const LauncherRoll> launcher_;  // null: not asked; guarded, and never replaced
};

// Who is missing when `seconds` are over, as far as this process can tell.
struct Absence {
  std::string line;
  bool names_someone = false;
  bool lowest_present = false;    // `rank` is the first of those who are known to be here
  bool lowest_elsewhere = false;  // that one is on another host
};
// `known` are processes of the job in the order of ranks, `other_hosts` those that the platform
// names.
Absence DescribeAbsence(const std::vector<RollCall::Process>& known, int rank, int size,
                        double seconds, const std::vector<std::string>& other_hosts);

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_ROLL_CALL_H_
