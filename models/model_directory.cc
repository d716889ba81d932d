#include "models/model_directory.h"

#include <filesystem>

#include "data/input_file.h"
#include "engine/train/publish.h"
#include "kernels/error.h"
#include "models/describe.h"

namespace lockstep {
namespace {

std::string ReadText(const std::string& path) {
  const Bytes bytes = InputFile::Open(path).ReadAll();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

void SaveModelDirectory(const std::string& directory, ModelCard card, const Variables& variables) {
  card.weights_sha256 = WeightsHash(variables);
  SaveModelNpz(variables, directory + "/" + kModelFile);
  Publish(directory + "/" + kModelCardFile, ToJson(card));
}

FoundModel FindModelDirectory(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const bool is_directory = fs::is_directory(path, ignored);
  const fs::path weights = is_directory ? fs::path(path) / kModelFile : fs::path(path);
  if (!fs::exists(weights, ignored)) {
    throw IoError("no model at " + path + ": looked for " + weights.string() +
                      "; train one, or give the directory that holds " + kModelFile,
                  ExitCode::kNoInput);
  }
  FoundModel found;
  found.weights = weights.string();
  const fs::path card = weights.parent_path() / kModelCardFile;
  if (weights.filename() == kModelFile && fs::exists(card, ignored)) {
    found.card = ParseModelCard(ReadText(card.string()), card.string());
    found.spec = found.card->spec;
    found.input = found.card->input;
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
  if (!found.card || found.card->weights_sha256 == WeightsHash(variables)) return "";
  return found.weights + " is not the file that " + kModelCardFile +
         " beside it was written for: its weights have another SHA-256";
}

}  // namespace lockstep
