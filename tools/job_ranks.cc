#include "tools/job_ranks.h"

#include <cstring>
#include <span>

#include "comm/allreduce_sync.h"
#include "comm/nccl/nccl_communicator.h"
#include "comm/world.h"
#include "engine/train/checkpoint_file.h"
#include "engine/train/host_name.h"
#include "kernels/error.h"

namespace lockstep::tools {
namespace {

AllreduceOptions AllreduceOptionsOf(const JobRanksOptions& options) {
  AllreduceOptions allreduce{.bucket_bytes = static_cast<size_t>(options.bucket_bytes),
                             .average_states = options.average_statistics,
                             .error_feedback = options.error_feedback,
                             .double_buffering = options.double_buffering};
  if (options.wire == "float16") allreduce.wire = WireType::kFloat16;
  if (options.wire == "bfloat16") allreduce.wire = WireType::kBfloat16;
  return allreduce;
}

}  // namespace

void RequireBucketBytes(int64_t bytes) {
  constexpr int64_t kLeast = 1024;
  if (bytes == 0 || bytes >= kLeast) return;
  throw ConfigError("--bucket-bytes " + std::to_string(bytes) + ": wants 0 (all at once) or " +
                    std::to_string(kLeast) + " and more; smaller pieces cost only time");
}

JobRanks::JobRanks(const JobRanksOptions& options)
    : gpu_transport_(GpuTransportOf(options.communicator)),
      world_(MakeWorld({.transport = TransportOf(options.communicator)})) {
  const AllreduceOptions allreduce = AllreduceOptionsOf(options);
  rounds_on_host_ = allreduce.wire && !DeviceNarrowSums::CanSend(*allreduce.wire);
  // A job of one process may go on with what one of several has left for the next step.
  const bool local = options.wire == kWireAsIs && !options.double_buffering;
  if (world_->size() == 1 && local) {
    sync_ = std::make_unique<LocalSync>();
  } else {
    comm_group_ = std::make_unique<CommGroup>(*world_);
    sync_ = std::make_unique<AllreduceSync>(*comm_group_, allreduce);
  }
  group_ = &sync_->group();
  hosts_ = GatherTexts(group(), HostName());
  if (size() == 1) return;
  JobHeartbeatOptions heartbeat = options.heartbeat;
  heartbeat.log = &log_;
  heartbeat_ = StartHeartbeat(*comm_group_, heartbeat);
}

std::string JobRanks::UseDevice(const Backend& device) {
  if (size() == 1 || device.shares_host_memory() || gpu_transport_ == GpuTransport::kHost) {
    return "";
  }
  if (rounds_on_host_) return "gradients are rounded to float16, and travel, in the host's memory";
  GpuPlace mine;
  std::exception_ptr failure;
  try {
    mine = PlaceForNccl(device);
  } catch (const Error&) {
    failure = std::current_exception();
  }
  try {
    AgreeOnFailure(group(), failure);
    RequireOwnGpus(GatherPlaces(group(), mine));
  } catch (const AgreedError& error) {
    if (gpu_transport_ != GpuTransport::kAuto) throw;
    return std::string("gradients travel through the host's memory: ") + error.what();
  }
  uses_device_ = true;
  const bool in_hosts = gpu_transport_ == GpuTransport::kNcclInHosts;
  comm_group_->Extend("start of NCCL", [&](Communicator& ranks) {
    return MakeNcclCommunicator(ranks, device, in_hosts ? NcclRanks::kOfAHost : NcclRanks::kAll);
  });
  return "";
}

void JobRanks::LetGoOfDevice() const noexcept {
  if (!uses_device_) return;
  try {
    comm_group_->Submit("nothing", [](Communicator&) {}).Wait();
  } catch (...) {
    // Of a job before it.
  }
  sync_->LetGoOfDevice();
}

void JobRanks::Together(const std::function<void()>& action) const {
  std::exception_ptr failure;
  try {
    action();
  } catch (const std::exception&) {
    failure = std::current_exception();
  }
  AgreeOnFailure(group(), failure);
}

std::optional<LoadedCheckpoint> JobRanks::FromFirst(std::optional<LoadedCheckpoint> loaded) const {
  if (size() == 1) return loaded;
  const std::string bytes =
      BroadcastText(group(), loaded ? SerializeCheckpoint(loaded->contents) : "", 0);
  const std::string path = BroadcastText(group(), loaded ? loaded->path : "", 0);
  if (is_first() || bytes.empty()) return loaded;
  LoadedCheckpoint mine;
  mine.path = path;
  mine.contents = ParseCheckpoint(std::as_bytes(std::span(bytes)), path);
  return mine;
}

void JobRanks::Abort(const std::string& why) const noexcept {
  world_->Abort(why);
  if (heartbeat_) heartbeat_->GiveUp(why);
}

void JobRanks::LetFirstFinish() const noexcept {
  if (heartbeat_) heartbeat_->LetFirstFinish();
}

void JobRanks::FirstHasFinished() const noexcept {
  if (heartbeat_ && is_first()) heartbeat_->FirstHasFinished();
}

void JobRanks::Leave() const noexcept {
  if (heartbeat_) heartbeat_->Leave();
}

void JobRanks::LeaveFromSignal() const noexcept {
  if (heartbeat_) heartbeat_->LeaveFromSignal();
}

void JobRanks::LetHeartbeatSpeak() const noexcept {
  if (heartbeat_) AwaitHeartbeat();
}

}  // namespace lockstep::tools
