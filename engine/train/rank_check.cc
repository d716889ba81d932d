#include "engine/train/rank_check.h"

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "engine/text.h"
#include "engine/train/crc32c.h"
#include "engine/train/rank_group.h"
#include "engine/train/trainer.h"

namespace lockstep {
namespace {

struct Sums {
  std::vector<std::string> names;
  std::vector<uint32_t> values;

  void Add(const std::string& name, const void* data, int64_t bytes) {
    names.push_back(name);
    values.push_back(Crc32c({static_cast<const std::byte*>(data), static_cast<size_t>(bytes)}));
  }
};

Sums SumsOf(const Variables& variables, const Updater& updater) {
  Sums sums;
  for (const Variables::Entry& entry : variables.entries()) {
    if (entry.role != Role::kParameter) continue;
    sums.Add(entry.name, variables.View(entry).data(), entry.type.bytes());
    for (const std::string& state : updater.optimizer().state_names()) {
      const Tensor view = updater.StateView(entry.name, state);
      sums.Add("the optimizer's " + state + " of " + entry.name, view.data(),
               static_cast<int64_t>(view.bytes()));
    }
  }
  return sums;
}

std::string ScalingText(const NetworkOptions& options) {
  if (options.compute_dtype != DType::kFloat16) return "none";
  const LossScaling& s = options.loss_scaling;
  return "by " + Text(s.growth) + " behind " + Text(s.growth_interval) + " steps, by " +
         Text(s.backoff) + " behind an overflow";
}

std::string SamplesText(const BatchSource& source) {
  return Text(source.size()) + " " + source.sample_type().shape.ToString() + " " +
         Hexadecimal(source.fingerprint());
}

std::string JoinedText(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " ") + name;
  return text;
}

// The first rank whose value fewest ranks share.
size_t OddOneOut(const std::vector<uint32_t>& of_rank) {
  const auto fewer = [&](uint32_t a, uint32_t b) {
    return std::count(of_rank.begin(), of_rank.end(), a) <
           std::count(of_rank.begin(), of_rank.end(), b);
  };
  return static_cast<size_t>(std::min_element(of_rank.begin(), of_rank.end(), fewer) -
                             of_rank.begin());
}

}  // namespace

RankFacts StartFacts(Trainer& trainer, const Schedule& schedule) {
  const Network& network = trainer.network();
  const NetworkOptions& options = network.options();
  const BatchSource& source = trainer.source();
  const Updater& updater = trainer.updater();
  const Sums sums = SumsOf(network.variables(), updater);
  return {{"the seed", std::to_string(options.seed)},
          {"what is frozen", JoinedText(options.frozen)},
          {"the scaling of the loss", ScalingText(options)},
          {"exact math", Text(options.exact_math)},
          {"the size of lanes' pieces", std::to_string(options.lane_bucket_bytes)},
          {"how gradients travel", trainer.sync().settings()},
          {"accumulation", Text(int64_t{options.accumulate})},
          {"batch normalisation over ranks", Text(options.norm_over_ranks)},
          {"the training data", SamplesText(source)},
          {"the batch size", Text(source.batch_size())},
          {"the optimizer", updater.optimizer().ToString()},
          {"weight decay", Text(updater.hooks().weight_decay)},
          {"gradient clipping", Text(updater.hooks().gradient_clipping)},
          {"the learning rate", Text(trainer.options().learning_rate)},
          {"its schedule", schedule.ToString()},
          {"the number of epochs", Text(trainer.options().epochs)},
          {"the number of iterations", Text(trainer.options().iterations)},
          {"the step to go on from", Text(trainer.clock().iteration)},
          {"the number of updates", Text(updater.updates())},
          {"the place in the data",
           Text(source.position().epoch) + ":" + Text(source.position().offset)},
          {"the weights to start from",
           Hexadecimal(Crc32c(std::as_bytes(std::span(sums.values)))).substr(8)}};
}

void RankCheck::Invoke(Trainer& trainer) {
  RankGroup& group = trainer.network().group();
  if (group.size() == 1) return;
  Sums mine = SumsOf(trainer.network().variables(), trainer.updater());
  const int64_t iteration = trainer.clock().iteration;
  mine.Add("the number of the step", &iteration, sizeof iteration);
  const size_t count = mine.values.size(), ranks = static_cast<size_t>(group.size());
  std::vector<uint32_t> all(count * ranks);
  group.Gather(mine.values.data(), count * sizeof(uint32_t), all.data());
  for (size_t i = 0; i < count; ++i) {
    std::vector<uint32_t> of_rank;
    for (size_t rank = 0; rank < ranks; ++rank) of_rank.push_back(all[rank * count + i]);
    if (std::count(of_rank.begin(), of_rank.end(), of_rank[0]) == std::ssize(of_rank)) continue;
    const std::string who =
        ranks == 2 ? "ranks 0 and 1 hold different values"
                   : "rank " + std::to_string(OddOneOut(of_rank)) + " holds other values than most";
    throw AgreedError(ExitCode::kDisagree,
                      who + " in " + mine.names[i] + " at iteration " +
                          std::to_string(trainer.clock().iteration) + ", as they did not " +
                          std::to_string(every_) +
                          " steps before: a fault of memory or processor; start the job again, it "
                          "goes on from its newest checkpoint");
  }
}

}  // namespace lockstep
