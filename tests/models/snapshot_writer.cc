// Writes a snapshot for the real Chainer to resume: snapshot_writer OPTIMIZER LEARNING_RATE FILE.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>

#include "tests/models/snapshot_network.h"

int main(int argc, char** argv) {
  using namespace lockstep;
  const std::map<std::string, std::function<std::unique_ptr<Optimizer>()>> makers = {
      {"sgd", MakeSgd},
      {"momentum", [] { return MakeMomentum(0.9); }},
      {"nag", [] { return MakeNesterov(0.9); }},
      {"adam", [] { return MakeAdam(); }},
      {"rmsprop", [] { return MakeRmsProp(); }},
      {"adagrad", [] { return MakeAdaGrad(); }},
      {"adadelta", [] { return MakeAdaDelta(); }}};
  if (argc != 4 || !makers.contains(argv[1])) return 64;
  SnapshotTraining training(makers.at(argv[1])());
  for (const int64_t rows : {4, 4, 2, 4, 4}) training.Step(rows, std::atof(argv[2]));
  SaveChainerSnapshot(argv[3], training.variables(), training.updater(), training.Progress());
  return 0;
}
