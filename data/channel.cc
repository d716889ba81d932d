#include "data/channel.h"

#include <algorithm>
#include <vector>

#include "data/channel_files.h"
#include "data/cifar.h"
#include "data/idx.h"
#include "data/npz.h"
#include "data/run_threads.h"
#include "engine/text.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

int64_t RowsOf(const Tensor& tensor) { return tensor.shape().ndim() > 0 ? tensor.shape()[0] : 1; }

// NumPy's bools arrive as bytes, but mean 0 and 1 rather than parts of 255.
Tensor BoolsToFloat(const Tensor& features, const NpzReader& reader, const std::string& key) {
  if (features.dtype() != DType::kUint8) return features;
  const auto values = features.values<uint8_t>();
  const bool bits = std::all_of(values.begin(), values.end(), [](uint8_t v) { return v <= 1; });
  if (!bits || reader.ReadHeader(key).kind != 'b') return features;
  return features.Cast(DType::kFloat32);
}

Dataset LoadNpz(const std::string& path, const ChannelOptions& options) {
  const NpzReader reader(path);
  reader.Require(options.data_key, "name the samples with --data-key");
  reader.Require(options.label_key, "name the labels with --label-key");
  const std::vector<Tensor> both =
      reader.Read(std::vector{options.data_key, options.label_key}, options.threads);
  const Tensor features = BoolsToFloat(both[0], reader, options.data_key);
  return Dataset(features, both[1], {{path, RowsOf(features)}}, options.labels);
}

Dataset LoadIdxPair(const std::string& images_path, const std::string& labels_path,
                    const ChannelOptions& options) {
  std::vector<Tensor> both(2);
  RunThreads(2, options.threads,
             [&](size_t i) { both[i] = ReadIdx(i == 0 ? images_path : labels_path); });
  Tensor images = both[0];
  const Shape& shape = images.shape();
  if (shape.ndim() == 3) images = images.Reshape({shape[0], 1, shape[1], shape[2]});
  if (RowsOf(images) != RowsOf(both[1])) {
    throw FormatError(images_path + " holds " + Counted(RowsOf(images), "picture") + " but " +
                      labels_path + " holds " + Counted(RowsOf(both[1]), "label") +
                      "; each picture needs one");
  }
  return Dataset(images, both[1], {{images_path, RowsOf(images), 0, labels_path}}, options.labels);
}

Dataset LoadCifar(const std::string& path, const ChannelOptions& options) {
  constexpr int64_t kPublishedRows = 10000;  // of each of the six files
  const CifarBatch batch = ReadCifar10(path);
  const int64_t rows = RowsOf(batch.pictures);
  if (options.warn && rows != kPublishedRows) {
    options.warn(Printable(path, 400) + " holds " + Counted(rows, "picture") +
                 "; each batch of CIFAR-10 has " + std::to_string(kPublishedRows));
  }
  return Dataset(batch.pictures, batch.labels, {{path, rows}}, options.labels);
}

Dataset Load(const ChannelFile& file, const ChannelOptions& options) {
  switch (file.kind) {
    case ChannelFile::Kind::kIdxPair:
      return LoadIdxPair(file.path, file.labels_path, options);
    case ChannelFile::Kind::kCifar:
      return LoadCifar(file.path, options);
    default:
      return LoadNpz(file.path, options);
  }
}

}  // namespace

Dataset LoadChannel(const std::string& path, const ChannelOptions& options) {
  std::vector<Dataset> datasets;
  for (const ChannelFile& file : FindChannelFiles(path, options)) {
    datasets.push_back(Load(file, options));
  }
  return Dataset::Concatenate(datasets);
}

}  // namespace lockstep
