// What the launcher knows of a job's processes before MPI has brought them together.
#ifndef LOCKSTEP_COMM_MPI_LAUNCHER_ROLL_INTERNAL_H_
#define LOCKSTEP_COMM_MPI_LAUNCHER_ROLL_INTERNAL_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace lockstep {

// By PMIx, the protocol between Open MPI's mpirun and its processes (https://pmix.org): who is here
// leaves a word with the launcher on its host, which those of other hosts ask for. Its library is
// opened at run time. Where there is none, or no launcher that speaks it, nobody knows anything.
class LauncherRoll {
 public:
  struct Process {
    int rank = 0;
    std::string host;
    bool here = false;
  };

  // This process is here, until the end of this object.
  LauncherRoll();
  ~LauncherRoll();
  LauncherRoll(const LauncherRoll&) = delete;
  LauncherRoll& operator=(const LauncherRoll&) = delete;

  // The `size` processes of the job by rank; empty where that cannot be told. Who is here says so
  // at once; who is not is waited for that long.
  std::vector<Process> Processes(int size, std::chrono::milliseconds patience) const;

 private:
  struct Library;
  std::unique_ptr<const Library> library_;  // null: nothing is known
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_MPI_LAUNCHER_ROLL_INTERNAL_H_
