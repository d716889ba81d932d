// Small data, and a place where training jobs on it leave their files.
#ifndef LOCKSTEP_TESTS_TOOLS_PROGRAM_WORKPLACE_H_
#define LOCKSTEP_TESTS_TOOLS_PROGRAM_WORKPLACE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/tensor/tensor.h"
#include "tests/temporary_directory.h"
#include "tests/tools/program/program.h"

namespace lockstep::tools {

using Arguments = std::vector<std::string>;
using Arrays = std::map<std::string, Tensor>;

// The same with another value of that option.
Arguments With(Arguments arguments, const std::string& option, const std::string& value);
Arguments operator+(Arguments first, const Arguments& second);

// "data" and "labels" of 7 classes that can be learnt: float32 vectors of 20, or uint8 pictures
// (3, 8, 8).
Arrays Vectors(int64_t rows, uint32_t seed = 1);
Arrays Pictures(int64_t rows, uint32_t seed = 1);
Tensor Int32s(const std::vector<int32_t>& values);

// A test's own directory with the channels train (70 rows) and test (33 rows).
class Workplace : public ::testing::Test {
 protected:
  enum class Kind { kVectors, kPictures };
  explicit Workplace(Kind kind = Kind::kVectors);

  // Writes <name>/data.npz and returns the directory.
  std::string Channel(const std::string& name, const Arrays& arrays) const;
  std::string Dir(const std::string& name) const { return scratch_ / name; }
  bool Exists(const std::string& name) const;
  // The iteration of the newest checkpoint in the folder `job`; 0 when it has none.
  int64_t NewestCheckpoint(const std::string& job) const;
  // Of this iteration or a later one: a single one may be gone again before anybody looks.
  bool HasCheckpoint(const std::string& job, int64_t least) const {
    return NewestCheckpoint(job) >= least;
  }

  // `train` on one thread with both channels, into model/, out/ and, where `job` is given,
  // checkpoints of <job>/: an mlp with 9 and 8 hidden units, or a vgg 1/16 as wide with random
  // crops and flips.
  Arguments Train(const Arguments& more = {}, const std::string& job = "") const;
  // Only --model-dir, --threads and the small network: channels as the environment says.
  Arguments TrainWithoutChannels(const Arguments& more = {}) const;

  // HOME and the cache lie in the scratch directory.
  ProgramSetting Setting(const std::map<std::string, std::string>& more = {}) const;
  Outcome Run(const Arguments& arguments,
              const std::map<std::string, std::string>& variables = {}) const;
  // Run that must end with 0 and say nothing on stderr.
  Outcome RunWell(const Arguments& arguments,
                  const std::map<std::string, std::string>& variables = {}) const;

  // Whether this process may mount file systems in a namespace of its own.
  static bool CanMount();

  // Whatever is remembered in that file becomes the plain loops, which timing never chooses where
  // there is something else.
  void RememberPlainLoops(const std::string& file = "cache/algorithms") const;

  const TemporaryDirectory scratch_;
  const Kind kind_;
};

class PictureWorkplace : public Workplace {
 protected:
  PictureWorkplace() : Workplace(Kind::kPictures) {}
};

// Ended by itself with `code`, one line of at most 1024 bytes on stderr with all `parts` in it.
void ExpectRefusal(const Outcome& outcome, int code, const std::vector<std::string>& parts);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TESTS_TOOLS_PROGRAM_WORKPLACE_H_
