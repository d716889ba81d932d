#include <lockstep/lockstep.h>

#include <cstdio>
using namespace lockstep;

int main(int argc, char** argv) try {
  const auto backend = MakeCpuBackend();
  DatasetSource batches(argc > 1 ? LoadChannel(argv[1]) : SyntheticDataset({20}, 10, 2000, 1),
                        {.batch_size = 64, .seed = 1});
  Graph net;
  Var h = net.Input("x", batches.sample_type());
  h = Relu(Linear(h, {.out = 100}, "predictor/l1"));
  h = Linear(h, {.out = 10}, "predictor/l2");
  net.SetOutput(h);
  net.SetLoss(SoftmaxCrossEntropy(h, net.Input("t", batches.label_type())));

  Network network(net, *backend, {.seed = 1});
  Updater updater(network.variables(), *backend, MakeMomentum(0.9), {.weight_decay = 5e-4});
  const auto schedule = MakeExponentialShift(0.5, 25);
  LocalSync sync;
  Trainer trainer(network, batches, updater, *schedule, sync, {.epochs = 5, .learning_rate = 0.05});
  trainer.Run();

  const auto sums = EvaluateAll(network, batches);
  std::printf("training accuracy %.3f\n", sums->metric / static_cast<double>(sums->metric_count));
  SaveModelNpz(network.variables(), "model.npz");  // NumPy and Chainer open it
} catch (const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return static_cast<int>(error.code());
}
