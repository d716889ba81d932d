#include "engine/train/trace.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <optional>
#include <sstream>

#include "engine/train/publish.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

// One rank's part of the file.
struct RankTrace {
  int rank = 0;
  std::string host = {};
  std::vector<std::string> names = {};
  std::vector<TraceEvent> events = {};
};

std::string JsonText(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    json += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return json + '"';
}

// What names a process or thread in the viewer.
std::string Metadata(int rank, int thread, const char* what, const std::string& name) {
  return "{\"ph\": \"M\", \"pid\": " + std::to_string(rank) +
         ", \"tid\": " + std::to_string(thread) + ", \"name\": \"" + what +
         "\", \"args\": {\"name\": " + JsonText(name) + "}}";
}

std::string EventJson(const RankTrace& trace, const TraceEvent& event, double origin) {
  char times[128];
  std::snprintf(times, sizeof times, "\"ts\": %.3f, \"dur\": %.3f", (event.begin - origin) * 1e6,
                (event.end - event.begin) * 1e6);
  std::string json = "{\"ph\": \"X\", \"pid\": " + std::to_string(trace.rank) +
                     ", \"tid\": " + std::to_string(static_cast<int>(event.thread)) +
                     ", \"name\": " + JsonText(trace.names[static_cast<size_t>(event.name)]) +
                     ", " + times + ", \"args\": {\"step\": " + std::to_string(event.step);
  if (event.bytes >= 0) json += ", \"bytes\": " + std::to_string(event.bytes);
  if (event.waits_for >= 0) json += ", \"rank\": " + std::to_string(event.waits_for);
  return json + "}}";
}

std::string Json(const RankTrace& trace, double origin) {
  std::string json = Metadata(trace.rank, 0, "process_name",
                              "rank " + std::to_string(trace.rank) + " @ " + trace.host) +
                     ",\n" + Metadata(trace.rank, 0, "thread_name", "training") + ",\n" +
                     Metadata(trace.rank, 1, "thread_name", "communication");
  for (const TraceEvent& event : trace.events) json += ",\n" + EventJson(trace, event, origin);
  return json;
}

std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// One rank's, on every rank: only that much is held at a time.
RankTrace Broadcast(RankGroup& group, int root, const TraceLog& log, const std::string& host) {
  const bool mine = group.rank() == root;
  RankTrace trace{.rank = root, .host = BroadcastText(group, mine ? host : "", root)};
  trace.names = Lines(BroadcastText(group, mine ? Joined(log.names()) : "", root));
  if (mine) trace.events = log.Events();
  uint64_t count = trace.events.size();
  group.Broadcast(&count, sizeof count, root);
  trace.events.resize(count);
  group.Broadcast(trace.events.data(), count * sizeof(TraceEvent), root);
  return trace;
}

// Infinite where there are no events.
double FirstBegin(RankGroup& group, const TraceLog& log) {
  double first = std::numeric_limits<double>::infinity();
  for (const TraceEvent& event : log.Events()) first = std::min(first, event.begin);
  const std::vector<double> all = GatherValues(group, first);
  return *std::min_element(all.begin(), all.end());
}

std::string Tail(const std::vector<double>& clock_errors, const std::vector<int64_t>& dropped) {
  std::string errors, counts;
  for (size_t rank = 0; rank < dropped.size(); ++rank) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", clock_errors[rank] * 1e6);
    errors += (rank > 0 ? ", " : "") + std::string(text);
    counts += (rank > 0 ? ", " : "") + std::to_string(dropped[rank]);
  }
  return "\n],\n\"displayTimeUnit\": \"ms\",\n\"otherData\": {\"clock_error_us\": [" + errors +
         "], \"older_events_left_out\": [" + counts + "]}}\n";
}

void Write(Publisher* file, const std::string& text) { file->Write(text.data(), text.size()); }

}  // namespace

int32_t TraceLog::Name(const std::string& name) {
  const auto found = std::find(names_.begin(), names_.end(), name);
  if (found == names_.end()) names_.push_back(name);
  return static_cast<int32_t>(std::find(names_.begin(), names_.end(), name) - names_.begin());
}

void TraceLog::Push(const TraceEvent& event) {
  if (events_.size() < options_.events) {
    events_.push_back(event);
  } else if (options_.events > 0) {
    events_[oldest_] = event;
    oldest_ = (oldest_ + 1) % events_.size();
    ++dropped_;
  }
}

void TraceLog::Add(TraceEvent event) {
  double& ended = ended_[static_cast<size_t>(event.thread)];
  event.begin = Begin(event.thread, event.begin);
  event.end = std::max(event.end, event.begin);
  ended = event.end;
  Push(event);
}

void TraceLog::AddAround(TraceEvent event) {
  double& ended = ended_[static_cast<size_t>(event.thread)];
  event.end = ended = std::max(event.end, ended);
  Push(event);
}

std::vector<TraceEvent> TraceLog::Events() const {
  std::vector<TraceEvent> events(events_.begin() + static_cast<ptrdiff_t>(oldest_), events_.end());
  events.insert(events.end(), events_.begin(), events_.begin() + static_cast<ptrdiff_t>(oldest_));
  return events;
}

// Rank 0 receives what the others send also when it has failed to write: they would wait.
void WriteTrace(RankGroup& group, const TraceLog& log, const std::string& host,
                const std::vector<double>& clock_errors, const std::string& path) {
  const double origin = FirstBegin(group, log);
  const std::vector<int64_t> dropped = GatherValues(group, log.dropped());
  const bool writes = group.rank() == 0;
  std::optional<Publisher> file;
  std::exception_ptr failure;
  for (int rank = 0; rank < group.size(); ++rank) {
    const RankTrace trace = Broadcast(group, rank, log, host);
    if (!writes || failure) continue;
    try {
      if (!file) file.emplace(path);
      Write(&*file, (rank == 0 ? "{\"traceEvents\": [\n" : ",\n") + Json(trace, origin));
    } catch (const IoError&) {
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
  if (!writes) return;
  Write(&*file, Tail(clock_errors, dropped));
  file->Commit();
}

}  // namespace lockstep
