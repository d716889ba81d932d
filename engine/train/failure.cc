#include "engine/train/failure.h"

#include <new>
#include <string>
#include <system_error>

namespace lockstep {
namespace {

constexpr const char* kOutOfMemory = "out of memory";

}  // namespace

Failure DescribeFailure(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    return {error.what(), error.code()};
  } catch (const std::bad_alloc& error) {
    // A program whose `new` is its own says more than the standard's.
    const std::string text = error.what();
    return {text.starts_with(kOutOfMemory) ? text : kOutOfMemory, ExitCode::kNoResources};
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
