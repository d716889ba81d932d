// Reads a trace back and checks what a viewer relies on.
#ifndef LOCKSTEP_TESTS_ENGINE_TRACE_CHECK_H_
#define LOCKSTEP_TESTS_ENGINE_TRACE_CHECK_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lockstep::testing {

struct SeenEvent {
  int rank = 0, thread = 0;
  std::string name;
  double begin = 0.0, end = 0.0;  // seconds
  nlohmann::json args;
};

struct SeenTrace {
  std::map<int, std::string> processes;
  std::vector<SeenEvent> events;
  nlohmann::json other;

  std::vector<SeenEvent> Of(int rank, const std::string& name) const {
    std::vector<SeenEvent> found;
    for (const SeenEvent& event : events) {
      if (event.rank == rank && event.name == name) found.push_back(event);
    }
    return found;
  }
};

// Of one thread, events either hold each other or do not touch.
inline void ExpectNested(std::vector<SeenEvent> events) {
  constexpr double kRounding = 5e-9;
  std::stable_sort(events.begin(), events.end(), [](const auto& a, const auto& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
  });
  std::vector<SeenEvent> open;
  for (const SeenEvent& event : events) {
    EXPECT_GE(event.end, event.begin);
    EXPECT_GE(event.begin, 0.0);
    while (!open.empty() && open.back().end <= event.begin + kRounding) open.pop_back();
    if (!open.empty()) {
      EXPECT_LE(event.end, open.back().end + kRounding)
          << "rank " << event.rank << ": " << open.back().name << " and " << event.name;
    }
    open.push_back(event);
  }
}

// Fails the test where the file is no trace, or its events overlap.
inline SeenTrace ReadTrace(const std::string& path) {
  std::ifstream file(path);
  const auto json = nlohmann::json::parse(file, nullptr, false);
  SeenTrace trace;
  if (json.is_discarded()) {
    ADD_FAILURE() << path << " is not JSON";
    return trace;
  }
  trace.other = json.at("otherData");
  std::map<std::pair<int, int>, std::vector<SeenEvent>> threads;
  for (const auto& event : json.at("traceEvents")) {
    const int rank = event.at("pid"), thread = event.at("tid");
    if (event.at("ph") == "M") {
      if (event.at("name") == "process_name") {
        trace.processes[rank] = event.at("args").at("name");
      }
      continue;
    }
    EXPECT_EQ(event.at("ph"), "X");
    const double begin = event.at("ts"), length = event.at("dur");
    trace.events.push_back(
        {rank, thread, event.at("name"), begin * 1e-6, (begin + length) * 1e-6, event.at("args")});
    threads[{rank, thread}].push_back(trace.events.back());
  }
  for (const auto& [thread, events] : threads) ExpectNested(events);
  return trace;
}

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_ENGINE_TRACE_CHECK_H_
