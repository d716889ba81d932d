#include <exception>
#include <utility>

#include "comm/mpi/handles_internal.h"
#include "kernels/error.h"

namespace lockstep::mpi {

std::string ErrorText(int code) {
  if (code == MPI_SUCCESS) return "";
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) return "MPI error";
  return text;
}

void Check(int code, const char* what, int rank) {
  if (code == MPI_SUCCESS) return;
  throw CommError(std::string(what) + " on rank " + std::to_string(rank) + ": " + ErrorText(code) +
                  "; start the job again from its newest checkpoint");
}

Runtime::Runtime() {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized != 0) {
    throw CommError("MPI was started before in this process; it can be started once",
                    ExitCode::kBug);
  }
  int provided = MPI_THREAD_SINGLE;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided) != MPI_SUCCESS) {
    throw CommError("MPI does not start; look at what mpirun says", ExitCode::kBadCluster);
  }
  if (provided < MPI_THREAD_MULTIPLE) {
    broken_ = true;
    throw CommError("this MPI serves one thread only; use one built with MPI_THREAD_MULTIPLE",
                    ExitCode::kBadCluster);
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
}

// Finalising waits for all ranks: not while an error ends this one.
Runtime::~Runtime() {
  if (!broken_ && std::uncaught_exceptions() == 0) MPI_Finalize();
}

Group::Group(std::shared_ptr<Runtime> runtime, MPI_Comm handle)
    : runtime_(std::move(runtime)), handle_(handle) {
  MPI_Comm_set_errhandler(handle_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(handle_, &rank_);
  MPI_Comm_size(handle_, &size_);
}

// Freeing is collective in name only (Open MPI keeps it local), but a broken group is left alone.
Group::~Group() {
  if (!runtime_->broken() && std::uncaught_exceptions() == 0) MPI_Comm_free(&handle_);
}

}  // namespace lockstep::mpi
