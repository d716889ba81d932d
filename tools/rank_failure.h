// How the ranks of a job end when one of them fails: with its words, once, and its exit code.
#ifndef LOCKSTEP_TOOLS_RANK_FAILURE_H_
#define LOCKSTEP_TOOLS_RANK_FAILURE_H_

#include <exception>

#include "tools/failure.h"
#include "tools/job_ranks.h"
#include "tools/signals.h"

namespace lockstep::tools {

// Whether a collective failed, and nobody has said why.
bool LostARank(const std::exception_ptr& thrown);

// Both to be called where an exception is handled. Says which rank of several has met it, where
// nobody else has met the same.
void NameTheRank(const JobRanks& ranks, Failure* failure);
// Who has nothing to say does not end before who has: a
// launcher takes the exit code of the first that ends, and ends the others in the middle of their
// words.
void TellRanks(const JobRanks& ranks, const StopSignals& signals, Failure* failure);

// Before ranks have met, what this one has to say the first is likely to say as well, and then the
// launcher ends this one. Where it does not, it is this one's own.
void LetTheFirstSay(const StopSignals& signals, Failure* failure);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_RANK_FAILURE_H_
