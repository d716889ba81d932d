#include "models/chainer_snapshot.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "engine/train/publish.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

// A log as strict JSON: Python's NaN and Infinity, which a diverged job reports, become null.
std::string WithoutNonFinite(const std::string& log) {
  constexpr std::string_view kNonFinite[] = {"NaN", "Infinity", "-Infinity"};
  std::string json;
  bool quoted = false;
  for (size_t i = 0; i < log.size(); ++i) {
    const std::string_view rest = std::string_view(log).substr(i);
    const auto* word = std::find_if(std::begin(kNonFinite), std::end(kNonFinite),
                                    [&](std::string_view w) { return rest.starts_with(w); });
    if (!quoted && word != std::end(kNonFinite)) {
      json += "null";
      i += word->size() - 1;
      continue;
    }
    if (log[i] == '"') quoted = !quoted;
    if (quoted && log[i] == '\\' && rest.size() > 1) json += log[i++];
    json += log[i];
  }
  return json;
}

class SnapshotWriter {
 public:
  SnapshotWriter(const Variables& variables, const Updater& updater,
                 const ChainerProgress& progress)
      : variables_(variables), updater_(updater), p_(progress) {}

  NpzWriter Write() {
    WriteModel();
    WriteOptimizer();
    WriteIterator();
    WriteExtensions();
    Integer("updater/iteration", p_.iteration);
    // The loop asks whether to stop before each update, so this is one behind.
    WriteTrigger("stop_trigger", p_.iteration - 1, PreviousDetail());
    Real("_snapshot_elapsed_time", p_.elapsed_seconds);
    return std::move(npz_);
  }

 private:
  template <typename T>
  void Scalar(const std::string& name, T value) {
    npz_.Add(name, Tensor::FromValues<T>(Shape({}), std::span<const T>(&value, 1)));
  }
  void Integer(const std::string& name, int64_t value) { Scalar(name, value); }
  void Real(const std::string& name, double value) { Scalar(name, value); }

  // Passes done, with fractions; and one batch earlier, -1 before the first.
  double Detail(int64_t epoch, int64_t position) const {
    const double samples = static_cast<double>(std::max<int64_t>(p_.order.size(), 1));
    return static_cast<double>(epoch) + static_cast<double>(position) / samples;
  }
  double PreviousDetail() const {
    if (p_.iteration == 0) return -1.0;
    if (p_.position > 0) return Detail(p_.epoch, std::max<int64_t>(p_.position - p_.batch_size, 0));
    const int64_t rest = p_.order.size() % p_.batch_size;
    return Detail(p_.epoch, -(rest > 0 ? rest : p_.batch_size));
  }

  void WriteModel() {
    for (const auto& entry : variables_.entries()) {
      npz_.Add("updater/model:main/" + entry.name, variables_.Get(entry.name));
    }
  }

  void WriteOptimizer() {
    const std::string head = "updater/optimizer:main/";
    Integer(head + "t", updater_.updates());
    Integer(head + "epoch", p_.epoch);
    for (const auto& entry : variables_.entries()) {
      if (entry.role != Role::kParameter) continue;
      Integer(head + entry.name + "/t", entry.trained ? updater_.updates() : 0);
      for (const std::string& state : updater_.optimizer().state_names()) {
        npz_.Add(head + entry.name + "/" + state, updater_.GetState(entry.name, state));
      }
    }
  }

  void WriteIterator() {
    const std::string head = "updater/iterator:main/";
    Integer(head + "current_position", p_.position);
    Integer(head + "epoch", p_.epoch);
    npz_.AddBool(head + "is_new_epoch", p_.position == 0 && p_.iteration > 0);
    Real(head + "previous_epoch_detail", PreviousDetail());
    npz_.Add(head + "order", p_.order.Cast(DType::kInt64));
  }

  void WriteTrigger(const std::string& name, int64_t iteration, double detail) {
    Integer(name + "/previous_iteration", std::max<int64_t>(iteration, 0));
    Real(name + "/previous_epoch_detail", detail);
  }

  void WriteExtensions() {
    const double now = Detail(p_.epoch, p_.position);
    for (const char* name : {"validation", "LogReport", "PrintReport", "PlotReport", "PlotReport_1",
                             "ExponentialShift", "_Snapshot", "_Snapshot_1"}) {
      WriteTrigger(std::string("extension_triggers/") + name, p_.iteration, now);
    }
    npz_.AddText("extensions/LogReport/_log", p_.log);
    npz_.AddText("extensions/LogReport/_summary/_names", "[]");
    WriteTrigger("extensions/LogReport/_trigger", p_.iteration, now);
    Integer("extensions/ExponentialShift/_t", p_.shifts);
    Real("extensions/ExponentialShift/_last_value", p_.learning_rate);
    for (const std::string plot : {"loss", "accuracy"}) {
      const std::string data = PlotData(plot);
      for (const char* name : {"PlotReport", "PlotReport_1"}) {
        npz_.AddText("extensions/" + std::string(name) + "/_plot_" + plot + ".png", data);
      }
    }
  }

  // {"main/loss": [[epoch, value], ...], "validation/main/loss": ...}
  std::string PlotData(const std::string& what) const {
    const Json log = Json::parse(WithoutNonFinite(p_.log), nullptr, /*allow_exceptions=*/false);
    if (!log.is_array()) throw FormatError("the log of a snapshot is not a JSON list: " + p_.log);
    Json data = Json::object();
    for (const std::string& key : {"main/" + what, "validation/main/" + what}) {
      data[key] = Json::array();
      for (const Json& entry : log) {
        if (!entry.is_object())
          throw FormatError("an entry of the log is no object: " + entry.dump());
        if (entry.contains(key) && entry.contains("epoch")) {
          data[key].push_back({entry["epoch"], entry[key]});
        }
      }
    }
    return data.dump();
  }

  const Variables& variables_;
  const Updater& updater_;
  const ChainerProgress& p_;
  NpzWriter npz_{{.level = 1}};  // weights hardly shrink, whatever the effort
};

}  // namespace

NpzWriter MakeChainerSnapshot(const Variables& variables, const Updater& updater,
                              const ChainerProgress& progress) {
  return SnapshotWriter(variables, updater, progress).Write();
}

void SaveChainerSnapshot(const std::string& path, const Variables& variables,
                         const Updater& updater, const ChainerProgress& progress) {
  const NpzWriter npz = MakeChainerSnapshot(variables, updater, progress);
  Publisher publisher(path);
  npz.Write([&](std::span<const uint8_t> bytes) { publisher.Write(bytes.data(), bytes.size()); });
  publisher.Commit();
}

}  // namespace lockstep
