// Ranks that MPI started. Where CMake found no MPI, no_mpi.cc stands in for the others here.
#ifndef LOCKSTEP_COMM_MPI_MPI_WORLD_H_
#define LOCKSTEP_COMM_MPI_MPI_WORLD_H_

#include <cstdint>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace lockstep {

bool HasMpi();

// All ranks of the job ("mpi"). Initialises MPI with MPI_THREAD_MULTIPLE, once in a process; MPI is
// finalised with the last communicator that came from this one, unless something went wrong: then
// the launcher is left to notice that this process ends without it, and to end the others.
//
// Elements are summed in the order of the ranks here too: ranks send each other the parts of their
// buffers, reduce their own part and send the result to all, the volume of a ring. Counts are not
// bounded by MPI's int. Waits also end with CommError when a rank of the group, or of one that it
// was split from, called Abort. local_rank and local_size count the ranks that give the same `host`
// (HostKey() of comm/hosts.h). Throws CommError (78) when there is no MPI in this build or it does
// not start.
std::unique_ptr<Communicator> MakeMpiWorld(const std::string& host);

// MPI's own sum of floats over all ranks of the job, in place: what ours is measured against. Only
// while a communicator of MakeMpiWorld lives.
void PlainMpiAllreduce(float* data, int64_t count);

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_MPI_MPI_WORLD_H_
