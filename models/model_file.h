// Weights as Chainer's save_npz keeps them: an npz archive with one array per name of the network.
#ifndef LOCKSTEP_MODELS_MODEL_FILE_H_
#define LOCKSTEP_MODELS_MODEL_FILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/npz.h"
#include "engine/graph/graph.h"
#include "engine/plan/variables.h"
#include "engine/train/publish.h"

namespace lockstep {

struct SaveNpzOptions {
  // float64 networks write float64; Chainer casts it when it loads.
  // Weights hardly shrink, whatever the effort.
  NpzWriterOptions npz{.level = 1};
};

// Parameters and states, sorted by name, whole or not at all (Publisher). The same values give the
// same bytes. Throws IoError.
void SaveModelNpz(const Variables& variables, const std::string& path,
                  const SaveNpzOptions& options = {});
// The same, into a file that the caller commits.
void WriteModelNpz(const Variables& variables, Publisher* publisher,
                   const SaveNpzOptions& options = {});

struct LoadNpzOptions {
  // Put before each name to make the key, as load_npz's `path`: "updater/model:main/". Without it
  // the key is found by itself: names may stand in the file with or without "predictor/", and
  // below "updater/model:main/" in a snapshot of Chainer's trainer.
  std::optional<std::string> prefix = {};
  bool strict = true;                   // every array of the network must be there
  std::vector<std::string> globs = {};  // only names that match one; empty: all
  int threads = 0;                      // inflate; 0: one a core
};

struct LoadNpzReport {
  std::string prefix;                      // that was found or asked for
  std::vector<std::string> loaded;         // names of the network
  std::vector<std::string> missing;        // kept their value; empty when strict
  std::vector<std::string> uninitialised;  // None in the file; kept their value; empty when strict
  std::vector<std::string> broadcast;      // of the loaded: filled from fewer elements
  int64_t extra = 0;                       // arrays of the file that the network does not have
};

// Accepts what chainer.serializers.load_npz accepts: any numeric type, cast; shapes that broadcast
// as NumPy's do; counters (N) as integers of shape () or (1,) but not as floating-point numbers.
// FormatError naming the key and the nearest ones in the file when one is missing; ShapeError (65)
// with both shapes; FormatError for a network saved before its first batch (its arrays are None).
LoadNpzReport LoadModelNpz(const std::string& path, Variables& variables,
                           const LoadNpzOptions& options = {});

// Why the arrays of a file are not exactly those of a network, by the headers, so that nothing is
// allocated for a network that another file would fill; "" when they are. Keys are found as above.
std::string WhyOtherNetwork(const std::string& path, const Graph& graph);

// SHA-256 over names, types, shapes and elements in the order of the names: the same for any
// compression of the file, another when any bit of any array differs.
std::string WeightsHash(const Variables& variables);

}  // namespace lockstep

#endif  // LOCKSTEP_MODELS_MODEL_FILE_H_
