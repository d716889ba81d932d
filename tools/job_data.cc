#include "tools/job_data.h"

#include <algorithm>

#include "data/value_range.h"
#include "engine/text.h"
#include "kernels/error.h"
#include "models/model.h"
#include "tools/share_out.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

// The names of the files that were read, without their directories.
std::string FilesText(const Dataset& dataset) {
  constexpr size_t kShown = 5;
  const std::vector<std::string> files = dataset.files();
  std::string text;
  for (size_t i = 0; i < std::min(files.size(), kShown); ++i) {
    text += (i > 0 ? ", " : "") + OneLine(files[i].substr(files[i].rfind('/') + 1), 100);
  }
  if (files.size() <= kShown) return text;
  return text + " and " + std::to_string(files.size() - kShown) + " more";
}

// (h, w, c) of a picture, where (c, h, w) was meant.
bool LooksChannelsLast(const Shape& shape) {
  return shape.ndim() == 3 && shape[2] <= 4 && shape[0] > 4 && shape[1] > 4;
}

// Numbers that were probably meant to be scaled, as pictures of 0 to 255 stored as floats: start
// values suit numbers near 1. Those scaled to [0, 1] or to unit deviation stay far below 30, bytes
// are above it in any picture. A look at some samples will do. "" where all is well.
std::string UnscaledText(const Dataset& dataset) {
  constexpr double kLargest = 30.0;
  constexpr int64_t kRows = 1000;
  if (!IsFloating(dataset.features().dtype())) return "";
  const ValueRange range = RangeOf(dataset.Slice(0, std::min(kRows, dataset.size())).features());
  if (range.largest <= kLargest && range.least >= -kLargest) return "";
  return "samples hold numbers from " + FormatG(range.least) + " to " + FormatG(range.largest) +
         " and are fed as they are; networks want them near 0 to 1: give --mean and --stddev "
         "(for pictures of 0 to 255, --stddev 255)";
}

void CheckTargets(const TrainOptions& o, const Dataset& dataset, const std::string& dir) {
  const Shape found = dataset.label_type().shape;
  if (dataset.has_classes() || found == Shape({o.classes})) return;
  throw ShapeError("the targets of " + dir + " are " + std::to_string(found.size()) +
                       " numbers a row, shape " + found.ToString() + "; model " + o.model +
                       " predicts --classes " + std::to_string(o.classes) +
                       (found.ndim() == 1 ? ", so give --classes " + std::to_string(found[0])
                                          : "; it wants one axis of them"),
                   ExitCode::kBadData);
}

BatchCut CutOf(const TrainOptions& o) {
  return o.reproducible ? LaneRunner::CutOf(o.lanes, LaneNormOf(o)) : BatchCut{};
}

// A rank without any rows would only wait.
void CheckParts(const TrainOptions& o, int ranks) {
  const int64_t parts = CutOf(o).PiecesOf(o.batch_size);
  if (ranks <= parts) return;
  throw ConfigError(std::to_string(ranks) + " processes for a batch of " +
                    std::to_string(o.batch_size) +
                    (o.reproducible ? ", which runs as " + Counted(parts, "lane") : std::string()) +
                    ": some would have nothing to do; start fewer or raise " +
                    (o.reproducible && o.lanes == parts ? "--lanes" : "--batch-size"));
}

Dataset LoadSplit(const TrainOptions& o, const std::string& split, const JobData::Warn& warn) {
  const std::string& dir = split == "train" ? o.train : o.test;
  ChannelOptions channel = o.channel;
  channel.split = split;
  channel.warn = warn;
  channel.labels = FindModel(o.model).classifier ? LabelKind::kClasses : LabelKind::kTargets;
  Dataset dataset = LoadChannel(dir, channel);
  CheckTargets(o, dataset, dir);
  // ReLU hides what is not a number from the loss, but not from gradients.
  dataset.CheckFinite(DTypeOf(o));
  return dataset;
}

std::unique_ptr<DatasetSource> MakeSource(const TrainOptions& o, const JobRanks& ranks,
                                          const Backend& backend, bool training, Dataset dataset,
                                          const Shards& shards) {
  TransformOptions transform = o.transform;
  transform.dtype = DTypeOf(o);
  if (!training) transform.random_crop = transform.flip = false;
  return std::make_unique<DatasetSource>(std::move(dataset),
                                         SourceOptions{.batch_size = o.batch_size,
                                                       .seed = o.seed,
                                                       .shuffle = training && o.shuffle,
                                                       .rank = ranks.rank(),
                                                       .ranks = ranks.size(),
                                                       .cut = CutOf(o),
                                                       .shards = shards,
                                                       .transform = transform,
                                                       .as_stored = !backend.shares_host_memory()});
}

std::string DataText(const DatasetSource& source) {
  const TensorType sample = source.dataset().sample_type();
  return std::to_string(source.size()) + " samples " + sample.shape.ToString() + " " +
         std::string(Name(sample.dtype)) + " " + Hexadecimal(source.fingerprint());
}

}  // namespace

LaneNorm LaneNormOf(const TrainOptions& options) {
  return options.lane_norm == "lane" ? LaneNorm::kLane : LaneNorm::kSync;
}

DType DTypeOf(const TrainOptions& options) {
  return options.dtype == "float64" ? DType::kFloat64 : DType::kFloat32;
}

void JobData::Load(const TrainOptions& o, const Warn& warn, std::optional<Dataset>* train,
                   std::optional<Dataset>* test) const {
  *train = LoadSplit(o, "train", warn);
  if (o.test.empty()) return;
  *test = LoadSplit(o, "test", warn);
  const TensorType validation = (*test)->sample_type(), training = (*train)->sample_type();
  if (validation.shape == training.shape) return;
  throw ShapeError("samples of " + o.test + " have shape " + validation.shape.ToString() +
                       ", those of " + o.train + " " + training.shape.ToString() +
                       "; give both channels one shape",
                   ExitCode::kBadData);
}

JobData::JobData(const TrainOptions& o, const JobRanks& ranks, const Backend& backend,
                 const Warn& warn) {
  // Which collectives follow hangs on these.
  RequireEqual(ranks.group(),
               {{"--data", o.data}, {"--test", o.test.empty() ? "not given" : "given"}});
  std::optional<Dataset> train, test;
  ranks.Together([&] {
    CheckParts(o, ranks.size());
    Load(o, warn, &train, &test);
  });
  Shards tests;
  if (o.data == "sharded") {
    shards_ = ShareOut(ranks.group(), &*train);
    if (test) tests = ShareOut(ranks.group(), &*test);
  }
  ranks.Together([&] {
    train_ = MakeSource(o, ranks, backend, true, std::move(*train), shards_);
    if (train_->size() < o.batch_size) {
      throw FormatError(o.train + " has " + Counted(train_->size(), "row") +
                        ", fewer than a batch of " + std::to_string(o.batch_size) +
                        "; lower --batch-size");
    }
    if (test) test_ = MakeSource(o, ranks, backend, false, std::move(*test), tests);
  });
}

std::string JobData::Split() const {
  if (!shards_.any()) return "replicated";
  std::string text = "sharded ";
  for (size_t rank = 0; rank < shards_.rows.size(); ++rank) {
    text += (rank > 0 ? "+" : "") + std::to_string(shards_.rows[rank]);
  }
  return text;
}

void JobData::CheckLabels(int32_t classes) const {
  train_->dataset().CheckLabels(classes);
  if (test_) test_->dataset().CheckLabels(classes);
}

RankFacts JobData::Facts() const {
  return {{"the training data", DataText(*train_)},
          {"the validation data", test_ ? DataText(*test_) : "none"}};
}

std::vector<std::string> JobData::Description(const TrainOptions& o) const {
  std::vector<std::string> lines;
  lines.push_back("data: " + Counted(train_->size(), "training sample") +
                  (test_ ? ", " + std::to_string(test_->size()) + " for validation" : ""));
  if (shards_.any()) lines.push_back("parts: " + OneLine(Split(), 200) + ", by process");
  const TensorType sample = train_->dataset().sample_type();
  lines.push_back("samples: " + sample.shape.ToString() + " " + std::string(Name(sample.dtype)));
  if (LooksChannelsLast(sample.shape)) {
    lines.push_back("warning: samples of " + sample.shape.ToString() +
                    " look like pictures with channels last; networks take (channels, height, "
                    "width)");
  }
  // Weights that were trained before know what they were trained on.
  const bool scaled = !o.mean.empty() || !o.stddev.empty() || !o.init_from.empty();
  const std::string unscaled = scaled ? "" : UnscaledText(train_->dataset());
  if (!unscaled.empty()) lines.push_back("warning: " + unscaled);
  lines.push_back("files: " + FilesText(train_->dataset()) +
                  (test_ ? "; for validation " + FilesText(test_->dataset()) : ""));
  return lines;
}

}  // namespace lockstep::tools
