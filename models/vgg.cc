#include "models/networks.h"

namespace lockstep {
namespace {

struct Block {
  const char* name;
  int64_t channels;
  double dropout;  // behind the block; 0: max pooling instead
};

constexpr Block kBlocks[] = {
    {"block1_1", 64, 0.3},  {"block1_2", 64, 0.0},                           //
    {"block2_1", 128, 0.4}, {"block2_2", 128, 0.0},                          //
    {"block3_1", 256, 0.4}, {"block3_2", 256, 0.4}, {"block3_3", 256, 0.0},  //
    {"block4_1", 512, 0.4}, {"block4_2", 512, 0.4}, {"block4_3", 512, 0.0},  //
    {"block5_1", 512, 0.4}, {"block5_2", 512, 0.4}, {"block5_3", 512, 0.0},
};

}  // namespace

Var VggNetwork(Var x, const ModelSpec& spec) {
  ExpectPictures(spec, 1);
  for (const Block& block : kBlocks) {
    const std::string name = std::string("predictor/") + block.name;
    x = Conv2d(
        x,
        {.out_channels = ScaledUnits(block.channels, spec), .pad_h = 1, .pad_w = 1, .bias = false},
        name + "/conv");
    x = Relu(BatchNorm(x, {}, name + "/bn"), name + "/relu");
    x = block.dropout > 0.0 ? Dropout(x, block.dropout, name + "/dropout")
                            : MaxPool2d(x, {.cover_all = true}, name + "/pool");
  }
  x = Dropout(x, 0.5, "predictor/dropout1");
  x = Linear(x, {.out = ScaledUnits(512, spec), .bias = false}, "predictor/fc1");
  x = Relu(BatchNorm(x, {}, "predictor/bn_fc1"), "predictor/relu_fc1");
  x = Dropout(x, 0.5, "predictor/dropout2");
  return Linear(x, {.out = spec.classes, .bias = false}, "predictor/fc2");
}

}  // namespace lockstep
