#include "engine/train/failure.h"

#include <new>
#include <system_error>

namespace lockstep {

Failure DescribeFailure(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    return {error.what(), error.code()};
  } catch (const std::bad_alloc&) {
    return {"out of memory", ExitCode::kNoResources};
  } catch (const std::system_error& error) {
    // What std::thread throws where no more may be started (ulimit -u).
    if (error.code() == std::errc::resource_unavailable_try_again) {
      return {std::string("no more threads: ") + error.what(), ExitCode::kNoResources};
    }
    return {std::string("internal error: ") + error.what(), ExitCode::kBug};
  } catch (const std::exception& error) {
    return {std::string("internal error: ") + error.what(), ExitCode::kBug};
  } catch (...) {
    return {"internal error: something that is no std::exception was thrown", ExitCode::kBug};
  }
}

}  // namespace lockstep
