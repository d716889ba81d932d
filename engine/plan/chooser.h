// Which algorithm runs a convolution: timed once, remembered on disk; or fixed, never timed.
#ifndef LOCKSTEP_ENGINE_PLAN_CHOOSER_H_
#define LOCKSTEP_ENGINE_PLAN_CHOOSER_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/conv.h"

namespace lockstep {

struct ConvCase {
  ConvShape shape;
  ConvPass pass = ConvPass::kForward;
  Layout x_layout, y_layout;

  // "float32 n64 c3 32x32 k64 3x3 s1x1 p1x1 d1x1 g1 forward 1 16", followed by " dy 1/4" where dy
  // is that sparse: the key on disk.
  std::string Key() const;
};

// Lines "key<TAB>algorithm<TAB>seconds" under a header with the backend's fingerprint and thread
// count. Behind an empty line each may follow sections of other fingerprints, which are kept as
// they are, those that were written last. Losing any of it costs only time.
class AlgorithmCache {
 public:
  struct Choice {
    std::string algorithm;
    double seconds = 0.0;
  };

  AlgorithmCache() = default;
  explicit AlgorithmCache(std::string fingerprint) : fingerprint_(std::move(fingerprint)) {}

  // Malformed lines are skipped.
  void Parse(const std::string& text);
  // What others have written since: choices made here stay.
  void AddFrom(const std::string& text);
  std::string ToString() const;
  const Choice* Find(const std::string& key) const;
  void Insert(const std::string& key, Choice choice);

  // The convolution of `key` is one of this job's, whatever the batch, the pass and the layouts:
  // plans that are still to come ask for others.
  void MarkUsed(const std::string& key);
  // What was marked, and marking all of it: what a checkpoint keeps, of a file that many share.
  std::string UsedToString() const;
  void ParseUsed(const std::string& text);
  bool changed() const { return changed_; }
  void MarkSaved() { changed_ = false; }

 private:
  void ParseLine(const std::string& line, bool used);
  std::string Lines(bool only_used) const;

  std::string fingerprint_;
  std::map<std::string, Choice> choices_;
  std::vector<std::string> others_;  // whole sections of the file
  std::set<std::string>
      used_;  // convolutions, by the parts of their keys that a plan cannot change
  bool changed_ = false;
};

class AlgorithmChooser {
 public:
  struct Options {
    bool exact = false;  // no Winograd
    // Take the family's first guess, a function of shape, ISA and library version alone, instead
    // of timing: the reproducible mode.
    bool fixed = false;
    // While it says yes, first guesses are taken untimed and not remembered: a job that was told
    // to stop must not measure for seconds first.
    std::function<bool()> should_hurry = {};
  };

  // Backend and cache must outlive the chooser.
  AlgorithmChooser(Backend& backend, AlgorithmCache& cache, Options options)
      : backend_(backend), cache_(cache), options_(std::move(options)) {}

  std::string Choose(const ConvCase& problem) { return Find(problem).algorithm; }
  // Of the chosen algorithm; 0 when fixed.
  double Seconds(const ConvCase& problem) { return Find(problem).seconds; }
  bool fixed() const { return options_.fixed; }

 private:
  AlgorithmCache::Choice Find(const ConvCase& problem);
  // The fastest of those that the device can run; what none of them could is thrown.
  AlgorithmCache::Choice Measure(const ConvCase& problem,
                                 const std::vector<std::string>& algorithms);
  double Time(const ConvCase& problem, const std::string& algorithm, double limit);

  Backend& backend_;
  AlgorithmCache& cache_;
  Options options_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_CHOOSER_H_
