// Names of arrays: patterns that choose some, and the names somebody may have meant.
#ifndef LOCKSTEP_MODELS_NAME_MATCH_H_
#define LOCKSTEP_MODELS_NAME_MATCH_H_

#include <string>
#include <vector>

namespace lockstep {

// Shell patterns; "*" matches slashes too: "predictor/block1_*", "*/bn/*".
bool MatchesAny(const std::vector<std::string>& globs, const std::string& name);

// Up to `count` of `candidates`, those with the smallest edit distance first.
std::vector<std::string> NearestNames(const std::string& name,
                                      const std::vector<std::string>& candidates, size_t count);

}  // namespace lockstep

#endif  // LOCKSTEP_MODELS_NAME_MATCH_H_
