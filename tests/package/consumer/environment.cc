// A training program of somebody's own asks the platform where things are.
#include <tools/environment.h>

#include <cstdio>
using namespace lockstep::tools;

int main() {
  const Environment env = ReadEnvironment(ProcessVariables());
  std::printf("%s %s %s\n", env.FindChannel("training")->dir.c_str(), env.model_dir->c_str(),
              env.hyperparameters.at(0).values.at("batch_size").c_str());
  return 0;
}
