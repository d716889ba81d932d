#include "tools/channels.h"

#include <algorithm>
#include <filesystem>

#include "kernels/error.h"
#include "tools/small_file.h"
#include "tools/text.h"
#include "tools/value.h"

namespace lockstep::tools {
namespace {

constexpr std::string_view kPrefix = "SM_CHANNEL_";

// Names that differ only in case or '-'/'_' are the same channel.
std::string Folded(std::string_view name) {
  std::string folded(name);
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-') c = '_';
  }
  return folded;
}

class ChannelTable {
 public:
  explicit ChannelTable(std::string data_dir) : data_dir_(std::move(data_dir)) {}

  // A channel spelt as the platform spells it, which becomes part of a path.
  Channel& Named(const std::string& name, const std::string& where) {
    if (name.empty() || name.find('/') != std::string::npos || name[0] == '.' ||
        name.find('\0') != std::string::npos) {
      throw ConfigError(where + ": found channel name " + Quote(name) +
                        ", wanted letters, digits, '.', '_' and '-'");
    }
    Entry& entry = entries_[Folded(name)];
    if (!entry.spelt) entry.channel.name = name;
    entry.spelt = true;
    return entry.channel;
  }

  void AddVariable(std::string_view upper, const std::string& dir) {
    const std::string folded = Folded(upper);
    Entry& entry = entries_[folded];
    if (!entry.spelt) entry.channel.name = folded;
    entry.channel.dir = dir;
  }

  void AddList(const std::string& json, const std::string& where) {
    const Value list = ParseJson(json, where);
    if (list.kind != Value::Kind::kList) {
      throw ConfigError(where + ": found " + Quote(json) + ", wanted a JSON list of channel names");
    }
    for (const Value& name : list.items) Named(PythonStr(name), where);
  }

  void AddConfig(const std::string& json, const std::string& where) {
    const Value config = ParseJson(json, where);
    if (config.kind != Value::Kind::kMap) {
      throw ConfigError(where + ": found " + Quote(PythonStr(config)) +
                        ", wanted a JSON object of channels");
    }
    for (size_t i = 0; i < config.items.size(); ++i) {
      const bool described =
          entries_.contains(Folded(config.keys[i])) && entries_[Folded(config.keys[i])].described;
      Channel& channel = Named(config.keys[i], where);
      if (described) continue;
      entries_[Folded(config.keys[i])].described = true;
      const Value& facts = config.items[i];
      const auto fact = [&](const char* key) {
        const Value* const value = facts.Find(key);
        return value == nullptr ? std::string() : PythonStr(*value);
      };
      channel.content_type = fact("ContentType");
      channel.pipe = fact("TrainingInputMode") == "Pipe";
      channel.sharded = fact("S3DistributionType") == "ShardedByS3Key";
      channel.record_io = fact("RecordWrapperType") == "RecordIO";
    }
  }

  void AddDirectories() {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(data_dir_, error)) {
      const std::string name = entry.path().filename().string();
      std::error_code ignored;
      if (name[0] != '.' && entry.is_directory(ignored)) Named(name, data_dir_);
    }
  }

  std::vector<Channel> Take() {
    std::vector<Channel> channels;
    for (auto& [folded, entry] : entries_) {
      if (entry.channel.dir.empty()) entry.channel.dir = data_dir_ + "/" + entry.channel.name;
      channels.push_back(std::move(entry.channel));
    }
    return channels;
  }

 private:
  struct Entry {
    Channel channel;
    bool spelt = false;      // by the platform, not guessed from an upper-case variable
    bool described = false;  // by an input data configuration
  };

  std::string data_dir_;
  std::map<std::string, Entry> entries_;
};

}  // namespace

std::vector<Channel> ReadChannels(const Variables& variables, const std::string& base_dir) {
  ChannelTable table(base_dir + "/input/data");
  for (const auto& [name, value] : variables) {
    if (name.starts_with(kPrefix) && name.size() > kPrefix.size() && !value.empty()) {
      table.AddVariable(std::string_view(name).substr(kPrefix.size()), value);
    }
  }
  for (const char* name : {"SM_CHANNELS", "SM_INPUT_DATA_CONFIG"}) {
    const auto found = variables.find(name);
    if (found == variables.end() || found->second.empty()) continue;
    const bool list = std::string_view(name) == "SM_CHANNELS";
    list ? table.AddList(found->second, name) : table.AddConfig(found->second, name);
  }
  const std::string path = base_dir + "/input/config/inputdataconfig.json";
  if (const auto json = ReadSmallFile(path)) table.AddConfig(*json, path);
  table.AddDirectories();
  return table.Take();
}

const Channel* Environment::FindChannel(std::string_view name) const {
  const auto find = [&](std::string_view wanted) -> const Channel* {
    const std::string folded = Folded(wanted);
    for (const Channel& channel : channels) {
      if (Folded(channel.name) == folded) return &channel;
    }
    return nullptr;
  };
  if (const Channel* const channel = find(name)) return channel;
  const std::string folded = Folded(name);
  if (folded == "train") return find("training");
  if (folded == "training") return find("train");
  return nullptr;
}

std::string Environment::ChannelNames() const {
  std::string names;
  for (const Channel& channel : channels) {
    names += (names.empty() ? "" : ", ") + OneLine(channel.name, 80);
  }
  return names.empty() ? "none" : names;
}

}  // namespace lockstep::tools
