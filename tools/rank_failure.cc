#include "tools/rank_failure.h"

#include <chrono>
#include <thread>

#include "comm/world.h"
#include "kernels/error.h"

namespace lockstep::tools {
namespace {

using Clock = std::chrono::steady_clock;

// Whether another rank says what has happened: the first, where all know it, or the one that gave
// up.
bool AnotherSaysIt(const JobRanks& ranks, const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const AgreedError&) {
    return !ranks.is_first();
  } catch (const GaveUpError&) {
    return true;
  } catch (...) {
    ranks.Abort(DescribeFailure(thrown).text);
    return false;
  }
}

// Until the launcher ends this process, as it does when another has failed; 2 s at most.
void AwaitTheLauncher(const StopSignals& signals) {
  const auto start = Clock::now();
  while (!signals.requested() && Clock::now() - start < std::chrono::seconds(2)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace

bool LostARank(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const GaveUpError&) {
    return false;
  } catch (const CommError& error) {
    return error.code() == ExitCode::kPeerLost;
  } catch (...) {
    return false;
  }
}

void NameTheRank(const JobRanks& ranks, Failure* failure) {
  try {
    throw;
  } catch (const AgreedError&) {
    return;
  } catch (const GaveUpError&) {
    return;
  } catch (...) {
    if (ranks.size() > 1) failure->text = ranks.rank_name() + ": " + failure->text;
  }
}

void TellRanks(const JobRanks& ranks, const StopSignals& signals, Failure* failure) {
  if (!AnotherSaysIt(ranks, std::current_exception())) return;
  failure->text.clear();
  AwaitTheLauncher(signals);
}

void LetTheFirstSay(const StopSignals& signals, Failure* failure) {
  if (LaunchedRank() == 0) return;
  AwaitTheLauncher(signals);
  if (signals.requested()) failure->text.clear();
}

}  // namespace lockstep::tools
