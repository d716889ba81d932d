// Channels: the directories that training reads its data from.
#ifndef LOCKSTEP_DATA_CHANNEL_H_
#define LOCKSTEP_DATA_CHANNEL_H_

#include <functional>
#include <string>

#include "data/dataset.h"

namespace lockstep {

struct ChannelOptions {
  // Only this file of the directory, e.g. "training_data.npz"; a relative path without "..".
  std::string file = {};
  // Names of the arrays in npz files.
  std::string data_key = "data";
  std::string label_key = "labels";
  // "train" or "test" where a directory holds both, told by words in the names of its files:
  // "train" or "training", CIFAR-10's "data_batch"; "test", "t10k", or else "validation" or "val".
  std::string split = {};
  LabelKind labels = LabelKind::kAuto;
  int threads = 0;  // for inflating; 0: one a core
  // Told, in one line, of files of data that are left out and of CIFAR-10 batches that are missing
  // or not of the published size.
  std::function<void(const std::string&)> warn = {};
};

// Loads, of a directory (or of the one file `path` names), the first kind that is there:
//   *.npz                                 arrays data_key and label_key; not a model.npz that
//                                         stands beside a model.json
//   *images-idx3-ubyte, *labels-idx1-ubyte  a pair of IDX files, each gzipped (.gz) or not; the
//                                         pictures become (n, 1, h, w)
//   data_batch_*.bin, test_batch.bin      CIFAR-10
// Several files are joined in the order of their names. Errors: IoError 66 for a missing directory
// or one without data, listing what was found and looked for; ConfigError 64 for a `file` outside
// the directory and for a directory with both splits when none is chosen; else as Dataset.
Dataset LoadChannel(const std::string& path, const ChannelOptions& options = {});

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_CHANNEL_H_
