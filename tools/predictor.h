// A trained model that answers for rows as they are stored.
#ifndef LOCKSTEP_TOOLS_PREDICTOR_H_
#define LOCKSTEP_TOOLS_PREDICTOR_H_

#include <cstdint>
#include <memory>
#include <string>

#include "data/row_transform.h"
#include "engine/tensor/tensor.h"
#include "engine/train/network.h"
#include "models/model.h"
#include "models/model_directory.h"
#include "tools/device.h"

namespace lockstep::tools {

struct PredictorOptions {
  std::string device = kDefaultDevice;   // --device
  std::optional<int> allowed_gpus = {};  // by the platform
  int threads = 0;                       // of the CPU; 0: one a core
  std::string algorithm_file = {};
  int64_t batch_size = 256;
};

// Owns the network of a model directory. One thread.
class Predictor {
 public:
  // Throws what FindModelDirectory and LoadFoundModel throw.
  Predictor(const std::string& model_dir, PredictorOptions options);

  // What is odd about the model's files, or "".
  const std::string& warning() const { return warning_; }
  const FoundModel& found() const { return found_; }
  const Model& model() const { return model_; }
  Network& network() { return network_; }

  // Logits, or what a regression predicts, (n, outputs) float32. Rows are (n, ...) as in the files
  // that were trained on: bytes are scaled, pictures normalised, padded and cut in the middle as in
  // evaluation. Pictures may also be (n, h, w, c), as cameras and picture files have them, and flat
  // rows pass for samples of the network's own shape. Throws ShapeError (65) naming found and
  // wanted shape.
  Tensor Run(const Tensor& rows);

 private:
  // Whether pictures (n, c, h, w) are samples of the network, or can be made some.
  bool AreSamples(const Shape& pictures) const;
  // The same rows in the types and axes that files of training data have.
  Tensor AsStored(const Tensor& rows) const;
  // What becomes of one of these.
  RowTransform TransformFor(const Tensor& rows) const;
  std::string Wanted() const;

  FoundModel found_;
  PredictorOptions options_;
  std::unique_ptr<Backend> backend_;
  Model model_;
  Network network_;
  std::string warning_;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_PREDICTOR_H_
