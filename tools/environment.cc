#include "tools/environment.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "engine/train/host_name.h"
#include "kernels/error.h"
#include "tools/channels.h"
#include "tools/small_file.h"
#include "tools/text.h"
#include "tools/value.h"

namespace lockstep::tools {
namespace {

bool IsDirectory(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

// A variable that is set and not empty: the toolkit writes None as "".
std::optional<std::string> Get(const Variables& variables, const std::string& name) {
  const auto found = variables.find(name);
  if (found == variables.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

std::optional<int> GetCount(const Variables& variables, const std::string& name) {
  const std::optional<std::string> text = Get(variables, name);
  if (!text) return std::nullopt;
  int count = 0;
  const char* const last = text->data() + text->size();
  const auto [end, error] = std::from_chars(text->data(), last, count);
  if (error != std::errc() || end != last || count < 0) {
    throw ConfigError(name + ": found " + Quote(*text) + ", wanted a whole number from 0 up");
  }
  return count;
}

int AllowedCpus() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<int>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
}

const Value& Require(const Value& value, Value::Kind kind, const char* wanted,
                     const std::string& where) {
  if (value.kind == kind) return value;
  throw ConfigError(where + ": found " + Quote(ArgumentText(value)) + ", wanted " + wanted);
}

Value ParseMap(const std::string& json, const std::string& where) {
  Value value = ParseJson(json, where);
  Require(value, Value::Kind::kMap, "a JSON object", where);
  return value;
}

std::vector<std::string> HostList(const Value& list, const std::string& where) {
  Require(list, Value::Kind::kList, "a list of host names", where);
  std::vector<std::string> hosts;
  for (const Value& host : list.items) {
    hosts.push_back(Require(host, Value::Kind::kString, "a host name", where).text);
  }
  return hosts;
}

// resourceconfig.json before SM_*: under the toolkit's mpirun every rank has the master's
// SM_CURRENT_HOST, but each machine has its own file.
void ReadHosts(const Variables& variables, Environment& environment) {
  const std::string path = environment.base_dir + "/input/config/resourceconfig.json";
  const std::optional<std::string> file = ReadSmallFile(path);
  std::string where = path;
  if (file) {
    const Value config = ParseMap(*file, path);
    const Value* const hosts = config.Find("hosts");
    const Value* const current = config.Find("current_host");
    if (hosts == nullptr || current == nullptr) {
      throw ConfigError(path + ": no " + (hosts == nullptr ? "hosts" : "current_host") + " in it");
    }
    environment.hosts = HostList(*hosts, path + ": hosts");
    environment.current_host =
        Require(*current, Value::Kind::kString, "a host name", path + ": current_host").text;
    if (const Value* const name = config.Find("network_interface_name")) {
      environment.network_interface = PythonStr(*name);
    }
  } else if (const auto hosts = Get(variables, "SM_HOSTS")) {
    where = "SM_HOSTS";
    environment.hosts = HostList(ParseJson(*hosts, where), where);
    const std::string machine = HostName();
    const bool listed = std::count(environment.hosts.begin(), environment.hosts.end(), machine) > 0;
    environment.current_host =
        listed ? machine : Get(variables, "SM_CURRENT_HOST").value_or(machine);
  } else {
    environment.current_host = Get(variables, "SM_CURRENT_HOST").value_or(HostName());
    environment.hosts = {environment.current_host};
  }
  const std::string& me = environment.current_host;
  if (std::count(environment.hosts.begin(), environment.hosts.end(), me) != 1) {
    throw ConfigError(where + ": this host, " + Quote(me) +
                      ", is not listed exactly once in hosts " +
                      Quote(Join(environment.hosts, ", "), 200));
  }
  if (environment.network_interface.empty()) {
    environment.network_interface = Get(variables, "SM_NETWORK_INTERFACE_NAME").value_or("");
  }
}

// Open MPI's mpirun sets the one, MPICH's and Slurm's the other.
void ReadProcesses(const Variables& variables, Environment& environment) {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    environment.processes = std::max(environment.processes, GetCount(variables, name).value_or(1));
  }
}

void ReadCluster(const Variables& variables, Environment& environment) {
  try {
    ReadHosts(variables, environment);
    ReadProcesses(variables, environment);
  } catch (const ConfigError& error) {
    throw ConfigError(error.what(), ExitCode::kBadCluster);
  }
}

void ReadDirectories(const Variables& variables, Environment& environment) {
  const auto dir = [&](const char* variable, const char* below) -> std::optional<std::string> {
    if (auto given = Get(variables, variable)) return given;
    if (environment.on_platform) return environment.base_dir + below;
    return std::nullopt;
  };
  environment.model_dir = dir("SM_MODEL_DIR", "/model");
  environment.output_dir = dir("SM_OUTPUT_DIR", "/output");
  environment.output_data_dir = Get(variables, "SM_OUTPUT_DATA_DIR");
  if (!environment.output_data_dir && environment.output_dir) {
    environment.output_data_dir = *environment.output_dir + "/data";
  }
  for (const char* name : {"/checkpoints", "/checkpoint"}) {  // the second is what older jobs have
    const std::string checkpoints = environment.base_dir + name;
    if (!environment.checkpoint_dir && IsDirectory(checkpoints)) {
      environment.checkpoint_dir = checkpoints;
    }
  }
}

// Removes what the toolkit removes from a user's hyperparameters: its own and the tuner's.
void AddHyperparameters(const std::string& source, const Value& map, bool values_are_json,
                        Environment& environment) {
  HyperparameterSet set{.source = source, .values = {}};
  for (size_t i = 0; i < map.items.size(); ++i) {
    const std::string& key = map.keys[i];
    const Value& value = map.items[i];
    const std::optional<Value> decoded = values_are_json && value.kind == Value::Kind::kString
                                             ? TryParseJson(value.text)
                                             : std::nullopt;
    const std::string text = ArgumentText(decoded ? *decoded : value);
    if (key.starts_with("sagemaker_")) {
      environment.framework_parameters.emplace(key, text);
    } else if (key != "_tuning_objective_metric") {
      set.values.emplace(key, text);
    }
  }
  environment.hyperparameters.push_back(std::move(set));
}

void ReadHyperparameters(const Variables& variables, Environment& environment) {
  if (const auto json = Get(variables, "SM_HPS")) {
    AddHyperparameters("SM_HPS", ParseMap(*json, "SM_HPS"), false, environment);
  }
  const std::string path = environment.base_dir + "/input/config/hyperparameters.json";
  if (const auto json = ReadSmallFile(path)) {
    AddHyperparameters(path, ParseMap(*json, path), true, environment);
  }
}

void ReadJobName(const Variables& variables, Environment& environment) {
  for (const char* name : {"SAGEMAKER_JOB_NAME", "TRAINING_JOB_NAME"}) {
    if (environment.job_name.empty()) environment.job_name = Get(variables, name).value_or("");
  }
  const auto& parameters = environment.framework_parameters;
  if (const auto found = parameters.find("sagemaker_job_name");
      environment.job_name.empty() && found != parameters.end()) {
    environment.job_name = found->second;
  }
}

}  // namespace

Variables ProcessVariables() {
  Variables variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

Environment ReadEnvironment(const Variables& variables) {
  Environment environment;
  const std::optional<std::string> asked = Get(variables, "SAGEMAKER_BASE_DIR");
  environment.base_dir = asked.value_or("/opt/ml");
  environment.on_platform = asked.has_value() || IsDirectory(environment.base_dir);
  environment.channels = ReadChannels(variables, environment.base_dir);
  ReadDirectories(variables, environment);
  ReadCluster(variables, environment);
  ReadHyperparameters(variables, environment);
  ReadJobName(variables, environment);
  environment.num_gpus = GetCount(variables, "SM_NUM_GPUS");
  environment.num_cpus = std::max(1, GetCount(variables, "SM_NUM_CPUS").value_or(AllowedCpus()));
  environment.log_level = GetCount(variables, "SM_LOG_LEVEL").value_or(20);
  return environment;
}

}  // namespace lockstep::tools
