// Writes a snapshot for the real Chainer to resume: snapshot_writer OPTIMIZER FILE.
#include <cstdio>
#include <cstring>

#include "tests/models/snapshot_network.h"

int main(int argc, char** argv) {
  using namespace lockstep;
  if (argc != 3) return 64;
  const bool adam = std::strcmp(argv[1], "adam") == 0;
  SnapshotTraining training(adam ? MakeAdam() : MakeMomentum(0.9));
  for (const int64_t rows : {4, 4, 2, 4, 4}) training.Step(rows, adam ? 0.001 : 0.05);
  SaveChainerSnapshot(argv[2], training.variables(), training.updater(), training.Progress());
  return 0;
}
