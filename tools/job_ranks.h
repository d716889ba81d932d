// The processes that run one training job together.
#ifndef LOCKSTEP_TOOLS_JOB_RANKS_H_
#define LOCKSTEP_TOOLS_JOB_RANKS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/comm_group.h"
#include "comm/names.h"
#include "engine/train/checkpoint_index.h"
#include "engine/train/param_sync.h"
#include "tools/job_heartbeat.h"

namespace lockstep::tools {

// What --wire takes besides "float16" and "bfloat16".
inline constexpr const char* kWireAsIs = "as-is";

struct JobRanksOptions {
  std::string communicator = "auto";  // comm/names.h
  int64_t bucket_bytes = int64_t{4} << 20;
  bool average_statistics = true;
  std::string wire = kWireAsIs;
  bool error_feedback = true;
  bool double_buffering = false;
  JobHeartbeatOptions heartbeat = {};
};

// ConfigError (64) for --bucket-bytes that would make pieces of a few elements.
void RequireBucketBytes(int64_t bytes);

// This process's place among them. A job that no launcher started is one rank, and starts nothing.
class JobRanks {
 public:
  // Brings the ranks together; collective. Throws what MakeWorld throws. Its heartbeat gets a log
  // by SetLog.
  explicit JobRanks(const JobRanksOptions& options);

  int rank() const { return group().rank(); }
  int size() const { return group().size(); }
  // Rank 0 prints and writes, for all.
  bool is_first() const { return rank() == 0; }
  RankGroup& group() const { return *group_; }
  ParamSync& sync() const { return *sync_; }
  // How gradients travel: "shm", "nccl", ...
  std::string name() const {
    return comm_group_ ? comm_group_->communicator().name() : world_->name();
  }
  // RankName() of this one.
  std::string rank_name() const { return RankName(rank(), hosts_); }

  // Where the communicator's name and all ranks' devices allow it, sums of gradients are made on
  // `device` from now on. Collective, once, before there is a network; returns what a user should
  // know of it, or "". Throws AgreedError where the name wants NCCL and a rank cannot use it (71),
  // or two have the same GPU (78), and CommError where NCCL does not start.
  std::string UseDevice(const Backend& device);
  // Returns when nothing that was begun uses that device any more, as it may after an error, and
  // nothing is kept there: before the device goes. Others have been told by then (Abort), or it may
  // wait for them.
  void LetGoOfDevice() const noexcept;

  // What only this process does; then all throw AgreedError where it failed on any.
  void Together(const std::function<void()>& action) const;
  // What rank 0 has loaded, on every rank.
  std::optional<LoadedCheckpoint> FromFirst(std::optional<LoadedCheckpoint> loaded) const;
  // Where this rank says what it ended with when another is lost; outlives this.
  void SetLog(const RankLog* log) noexcept { log_ = log; }
  // Tells the others that this rank ends.
  void Abort(const std::string& why) const noexcept;
  // Heartbeat::LetFirstFinish and FirstHasFinished, the latter of use on rank 0.
  void LetFirstFinish() const noexcept;
  void FirstHasFinished() const noexcept;
  // There is nothing to do together any more: nobody misses this rank from now on, nor it others.
  void Leave() const noexcept;
  // The same for a signal handler that is about to end this process.
  void LeaveFromSignal() const noexcept;
  // Where a collective has failed: gives the heartbeat, which knows more, time to say why and to
  // end this process.
  void LetHeartbeatSpeak() const noexcept;

 private:
  GpuTransport gpu_transport_;
  bool rounds_on_host_ = false;  // what travels in 16 bits
  bool uses_device_ = false;
  std::unique_ptr<Communicator> world_;
  std::unique_ptr<CommGroup> comm_group_;  // null for one rank
  std::unique_ptr<ParamSync> sync_;
  RankGroup* group_ = nullptr;
  std::vector<std::string> hosts_;  // by rank
  std::atomic<const RankLog*> log_ = nullptr;
  std::unique_ptr<Heartbeat> heartbeat_;  // null where nobody listens
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_JOB_RANKS_H_
