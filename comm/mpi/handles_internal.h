// Owners of what MPI gives out, and its error codes as CommError.
#ifndef LOCKSTEP_COMM_MPI_HANDLES_INTERNAL_H_
#define LOCKSTEP_COMM_MPI_HANDLES_INTERNAL_H_

#include <mpi.h>

#include <atomic>
#include <memory>
#include <string>

namespace lockstep::mpi {

// MPI itself, from MPI_Init_thread to MPI_Finalize.
class Runtime {
 public:
  Runtime();
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // From now on nothing waits for the other ranks, not even the end.
  void MarkBroken() { broken_ = true; }
  bool broken() const { return broken_; }

 private:
  std::atomic<bool> broken_{false};
};

// "" for MPI_SUCCESS.
std::string ErrorText(int code);
// Throws CommError "<what> on rank <rank>: <MPI's text>" unless `code` is MPI_SUCCESS.
void Check(int code, const char* what, int rank);

// A communicator of its own for one purpose; its errors are returned.
class Group {
 public:
  Group(std::shared_ptr<Runtime> runtime, MPI_Comm handle);
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  MPI_Comm get() const { return handle_; }
  int rank() const { return rank_; }
  int size() const { return size_; }
  const std::shared_ptr<Runtime>& runtime() const { return runtime_; }

 private:
  std::shared_ptr<Runtime> runtime_;
  MPI_Comm handle_;
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace lockstep::mpi

#endif  // LOCKSTEP_COMM_MPI_HANDLES_INTERNAL_H_
