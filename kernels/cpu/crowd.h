// Processes that run kernels on the same cores, as ranks of one host may.
#ifndef LOCKSTEP_KERNELS_CPU_CROWD_H_
#define LOCKSTEP_KERNELS_CPU_CROWD_H_

namespace lockstep::cpu {

// The two halves of what makes a crowd, told in any order from any thread. They are about the
// process, for so is its pool of kernel threads. Where so many processes of as many threads as this
// one are more than the cores, threads of the pool that wait for each other sleep after a
// microsecond instead of spinning on cores that those they wait for need. Bits do not depend on it.
// Without effect where OMP_WAIT_POLICY says how threads wait, or where the system has not threads
// enough for some that only sleep.

// So many processes, this one included, run kernels on the cores of this one. 1 if nobody says so;
// the newest word counts.
void ShareCores(int processes);
// This one runs kernels on so many threads. The largest word counts.
void ExpectThreads(int threads);

// UsableCores() over the processes that share them; at least 1.
int OwnCores();

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CROWD_H_
