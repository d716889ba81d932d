#include "kernels/cuda/recording.h"

#include "kernels/cuda/device.h"
#include "kernels/error.h"

namespace lockstep::cuda {
namespace {

class GraphRecording final : public Recording {
 public:
  GraphRecording(cudaGraphExec_t graph, cudaStream_t stream) : graph_(graph), stream_(stream) {}
  ~GraphRecording() override { cudaGraphExecDestroy(graph_); }
  GraphRecording(const GraphRecording&) = delete;
  GraphRecording& operator=(const GraphRecording&) = delete;

  void Begin() override { Check(cudaGraphLaunch(graph_, stream_), "starting recorded work"); }

 private:
  cudaGraphExec_t graph_;
  cudaStream_t stream_;
};

// Null where something was called that cannot be recorded.
cudaGraph_t Capture(cudaStream_t stream, const std::function<void()>& body) {
  if (cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  bool whole = true;
  try {
    body();
  } catch (const DeviceError&) {  // met again, and told, where the work is begun plainly
    whole = false;
  } catch (...) {
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(stream, &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    throw;
  }
  cudaGraph_t graph = nullptr;
  const cudaError_t status = cudaStreamEndCapture(stream, &graph);
  cudaGetLastError();
  if (whole && status == cudaSuccess) return graph;
  if (graph != nullptr) cudaGraphDestroy(graph);
  return nullptr;
}

}  // namespace

std::unique_ptr<Recording> RecordStream(cudaStream_t stream, const std::function<void()>& body) {
  cudaGraph_t graph = Capture(stream, body);
  if (graph == nullptr) return nullptr;
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  if (status != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  return std::make_unique<GraphRecording>(executable, stream);
}

}  // namespace lockstep::cuda
