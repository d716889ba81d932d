#include "tools/file_roles.h"

#include <sys/stat.h>

#include <filesystem>

#include "data/channel_files.h"
#include "engine/train/publish.h"
#include "kernels/error.h"
#include "models/model_directory.h"
#include "tools/text.h"
#include "tools/train_extensions.h"

namespace lockstep::tools {

FileRoles::File FileRoles::Identify(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) return {status.st_dev, status.st_ino, ""};
  const std::filesystem::path file(path);
  const std::filesystem::path directory = file.has_parent_path() ? file.parent_path() : ".";
  if (::stat(directory.c_str(), &status) != 0) return {0, 0, file.lexically_normal().string()};
  return {status.st_dev, status.st_ino, file.filename().string()};
}

void FileRoles::Reads(const std::string& option, const std::string& path) {
  if (!path.empty()) roles_.push_back({Identify(path), option, true});
}

void FileRoles::ReadsChannel(const std::string& option, const std::string& path,
                             ChannelOptions options) {
  if (path.empty()) return;
  options.warn = {};  // LoadChannel says it
  for (const ChannelFile& file : FindChannelFiles(path, options)) {
    Reads(option, file.path);
    Reads(option, file.labels_path);
  }
}

void FileRoles::Writes(const std::string& option, const std::string& path) {
  if (path.empty()) return;
  const File file = Identify(path);
  for (const Role& role : roles_) {
    if (role.file != file) continue;
    throw ConfigError(option + " would write over " + OneLine(path, 400) + ", which " +
                      role.option + (role.read ? " reads" : " writes, too") +
                      "; give another name or directory");
  }
  roles_.push_back({file, option, false});
}

namespace {

// The weights a job starts from may be replaced by those it ends with.
FileRoles RolesOf(const TrainOptions& o) {
  FileRoles roles;
  ChannelOptions channel = o.channel;
  channel.split = "train";
  roles.ReadsChannel("--train", o.train, channel);
  channel.split = "test";
  roles.ReadsChannel("--test", o.test, channel);
  for (const char* file : {kModelFile, kModelCardFile}) {
    roles.Writes("--model-dir", o.model_dir + "/" + file);
  }
  roles.Reads("--init-from", o.init_from);
  return roles;
}

// Which iterations get one is not known before the data is: any directory in a snapshot's place.
void CheckSnapshots(const std::string& directory) {
  namespace fs = std::filesystem;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    const std::string_view prefix = kSnapshotPrefix;
    if (name.size() > prefix.size() && name.starts_with(prefix) &&
        name.find_first_not_of("0123456789", prefix.size()) == std::string::npos) {
      CheckPublishable(entry->path().string());
    }
  }
}

}  // namespace

void CheckTrainingFiles(const TrainOptions& o) {
  FileRoles roles = RolesOf(o);
  std::vector<std::string> files;
  const auto add = [&](const std::string& option, const std::string& path) {
    roles.Writes(option, path);
    files.push_back(path);
  };
  if (!o.output_data_dir.empty()) {
    std::vector<std::string> names = ResultFiles(FindModel(o.model).classifier);
    names.emplace_back(kGraphFile);
    for (const std::string& name : names) add("--output-data-dir", o.output_data_dir + "/" + name);
  }
  if (!o.checkpoint_dir.empty()) add("--checkpoint-dir", o.checkpoint_dir + "/MANIFEST");
  roles.Writes("--algorithm-file", o.algorithm_file);
  if (!o.trace.empty()) add("--trace", o.trace);

  CheckWritableDirectory(o.model_dir);
  for (const char* file : {kModelFile, kModelCardFile}) CheckPublishable(o.model_dir + "/" + file);
  for (const std::string& directory : {o.output_data_dir, o.checkpoint_dir}) {
    if (!directory.empty()) CheckWritableDirectory(directory);
  }
  for (const std::string& file : files) CheckPublishable(file);
  if (o.snapshot_every != 0) CheckSnapshots(SnapshotDirectory(o));
}

}  // namespace lockstep::tools
