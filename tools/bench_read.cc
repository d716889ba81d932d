// `lockstep bench read`: how fast the arrays of an archive come into memory.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "data/npz.h"
#include "kernels/error.h"
#include "tools/bench.h"
#include "tools/console.h"
#include "tools/options.h"
#include "tools/verbs.h"

namespace lockstep::tools {
namespace {

struct ReadOptions {
  std::vector<std::string> files;
  int threads = 0;
  int64_t rounds = 7;
  bool json = false;
};

double SecondsToRead(const std::string& file, int threads) {
  const auto start = std::chrono::steady_clock::now();
  const NpzReader reader(file);
  static_cast<void>(reader.ReadAll(threads));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double MegabytesOf(const std::string& file) {
  const NpzReader reader(file);
  uint64_t bytes = 0;
  for (const std::string& name : reader.names()) bytes += reader.MemberBytes(name);
  return static_cast<double>(bytes) / 1e6;
}

std::string Measured(const std::string& file, const ReadOptions& options) {
  const double megabytes = MegabytesOf(file);
  static_cast<void>(SecondsToRead(file, options.threads));  // from the disk
  std::vector<double> seconds;
  for (int64_t round = 0; round < options.rounds; ++round) {
    seconds.push_back(SecondsToRead(file, options.threads));
  }
  const double median = Median(seconds), least = *std::min_element(seconds.begin(), seconds.end());
  char text[160];
  if (options.json) {
    std::snprintf(text, sizeof text,
                  "{\"megabytes\": %.3f, \"median_ms\": %.3f, \"min_ms\": %.3f, \"mb_per_s\": "
                  "%.1f}\n",
                  megabytes, 1e3 * median, 1e3 * least, megabytes / median);
    return text;
  }
  std::snprintf(text, sizeof text, ": %.1f MB in %.1f ms median of %zu (min %.1f), %.0f MB/s\n",
                megabytes, 1e3 * median, seconds.size(), 1e3 * least, megabytes / median);
  return file + text;
}

}  // namespace

int RunBenchRead(std::span<const std::string> arguments) {
  ReadOptions read;
  Options options("lockstep bench read",
                  "Measures how fast npz archives that the system has cached come into memory.");
  options.Positional("FILE...", &read.files);
  options.Add("threads", &read.threads, "that inflate arrays; 0: one a core").Min(0).Max(1024);
  options.Add("rounds", &read.rounds, "times that each is read").Min(1).Max(1e6);
  options.Add("json", &read.json, "print a JSON object for each");
  options.RefuseUnknown();
  options.Parse(arguments);
  if (options.help_requested()) {
    PrintResult(options.Help());
    return 0;
  }
  RequireOneProcess("bench read");
  if (read.files.empty()) throw ConfigError("bench read wants an npz archive");
  for (const std::string& file : read.files) PrintResult(Measured(file, read));
  return 0;
}

}  // namespace lockstep::tools
