#include "models/model_directory.h"

#include <filesystem>

#include "engine/train/posix_file.h"
#include "engine/train/publish.h"
#include "kernels/error.h"
#include "models/describe.h"

namespace lockstep {
namespace {

constexpr size_t kMostCardBytes = size_t{4} << 20;

// What is not there is taken for a directory, unless it is named as a file.
std::filesystem::path WeightsPath(const std::filesystem::path& path) {
  std::error_code ignored;
  const bool is_file = std::filesystem::exists(path, ignored)
                           ? !std::filesystem::is_directory(path, ignored)
                           : path.extension() == ".npz";
  return is_file ? path : path / kModelFile;
}

// What the card says, or, where its network is not that of the arrays, what these say.
void UseCard(ModelCard card, FoundModel* found) {
  const std::string other = WhyOtherNetwork(found->weights, *BuildModel(card.spec).graph);
  if (other.empty()) {
    found->spec = card.spec;
    found->input = card.input;
    found->card = std::move(card);
    return;
  }
  const ModelDescription description = DescribeModelNpz(found->weights);
  if (!description.spec) throw FormatError(other);
  found->spec = *description.spec;
  found->warning = std::string(kModelCardFile) +
                   " is not used, as it is of another network: " + other + "; " + found->weights +
                   " is read by itself as " + found->spec.name +
                   ", without normalisation; train again to replace both";
}

}  // namespace

void SaveModelDirectory(const std::string& directory, ModelCard card, const Variables& variables) {
  card.weights_sha256 = WeightsHash(variables);
  Publisher weights(directory + "/" + kModelFile);
  WriteModelNpz(variables, &weights);
  const std::string json = ToJson(card);
  Publisher described(directory + "/" + kModelCardFile, static_cast<int64_t>(json.size()));
  described.Write(json.data(), json.size());
  CommitTogether(&weights, &described);
}

FoundModel FindModelDirectory(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path weights = WeightsPath(path);
  if (!fs::exists(weights, ignored)) {
    throw IoError("no model: there is no " + weights.string() + "; give the directory that holds " +
                      kModelFile + ", or train one",
                  ExitCode::kNoInput);
  }
  FoundModel found;
  found.weights = weights.string();
  const fs::path card = weights.parent_path() / kModelCardFile;
  if (weights.filename() == kModelFile && fs::exists(card, ignored)) {
    UseCard(ParseModelCard(ReadSmallFile(card.string(), kMostCardBytes), card.string()), &found);
    return found;
  }
  const ModelDescription description = DescribeModelNpz(found.weights);
  if (!description.spec) {
    throw FormatError(found.weights + " is no model of this engine: " + description.reason +
                      "; a " + kModelCardFile + " beside it would say which network it is of");
  }
  found.spec = *description.spec;
  return found;
}

std::string LoadFoundModel(const FoundModel& found, Variables& variables) {
  LoadModelNpz(found.weights, variables);
  if (!found.warning.empty()) return found.warning;
  if (!found.card || found.card->weights_sha256 == WeightsHash(variables)) return "";
  return found.weights + " is not the file that " + kModelCardFile +
         " beside it was written for: its weights have another SHA-256";
}

}  // namespace lockstep
