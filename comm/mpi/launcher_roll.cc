#include <dlfcn.h>
#include <pmix.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <mutex>
#include <optional>

#include "comm/mpi/launcher_roll_internal.h"

namespace lockstep {
namespace {

constexpr const char* kHere = "lockstep.here";

// The answers to questions that may come when nobody waits for them any more.
class Answers {
 public:
  explicit Answers(int size) : words_(static_cast<size_t>(size)) {}

  void Set(int rank, std::string word) {
    const std::lock_guard<std::mutex> lock(mutex_);
    words_[static_cast<size_t>(rank)] = std::move(word);
    changed_.notify_one();
  }
  // What has come of each rank when all have answered, or the time is over.
  std::vector<std::optional<std::string>> Take(std::chrono::milliseconds patience) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, patience, [this] {
      return std::all_of(words_.begin(), words_.end(), [](const auto& word) { return word; });
    });
    return words_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::optional<std::string>> words_;
};

// The library reads what was asked until it has the answer, however late.
struct Question {
  std::shared_ptr<Answers> answers;
  int rank;
  pmix_info_t within;
};

// On a thread of the library. A rank without an answer is one that has not come.
void Hear(pmix_status_t status, pmix_value_t* value, void* question) {
  const std::unique_ptr<Question> asked(static_cast<Question*>(question));
  if (status != PMIX_SUCCESS || value == nullptr) return;
  const bool text = value->type == PMIX_STRING && value->data.string != nullptr;
  asked->answers->Set(asked->rank, text ? value->data.string : "");
}

// So that the launcher forgets what nobody answers.
pmix_info_t Within(std::chrono::milliseconds patience) {
  pmix_info_t info{};
  std::strncpy(info.key, PMIX_TIMEOUT, sizeof info.key - 1);
  info.value.type = PMIX_INT;
  info.value.data.integer = static_cast<int>(patience.count() / 1000) + 1;
  return info;
}

}  // namespace

struct LauncherRoll::Library {
  void* handle = nullptr;
  decltype(PMIx_Init)* init = nullptr;
  decltype(PMIx_Finalize)* finalize = nullptr;
  decltype(PMIx_Put)* put = nullptr;
  decltype(PMIx_Commit)* commit = nullptr;
  decltype(PMIx_Get_nb)* get = nullptr;
  pmix_proc_t self{};

  // Never closed: MPI uses the same one, and it has a thread.
  bool Open() {
    handle = ::dlopen("libpmix.so.2", RTLD_NOW | RTLD_LOCAL);
    return handle != nullptr && Find("PMIx_Init", &init) && Find("PMIx_Finalize", &finalize) &&
           Find("PMIx_Put", &put) && Find("PMIx_Commit", &commit) && Find("PMIx_Get_nb", &get);
  }
  template <typename Function>
  bool Find(const char* name, Function** function) const {
    *function = reinterpret_cast<Function*>(::dlsym(handle, name));
    return *function != nullptr;
  }

  void LeaveWord() const {
    pmix_value_t here{};
    here.type = PMIX_INT;
    here.data.integer = static_cast<int>(::getpid());
    if (put(PMIX_GLOBAL, kHere, &here) == PMIX_SUCCESS) commit();
  }

  std::vector<std::optional<std::string>> Ask(const char* key, int size,
                                              std::chrono::milliseconds patience) const {
    const auto answers = std::make_shared<Answers>(size);
    for (int rank = 0; rank < size; ++rank) {
      pmix_proc_t process = self;
      process.rank = static_cast<pmix_rank_t>(rank);
      auto question = std::make_unique<Question>(Question{answers, rank, Within(patience)});
      const pmix_info_t* const within = &question->within;
      if (get(&process, key, within, 1, Hear, question.get()) != PMIX_SUCCESS) continue;
      static_cast<void>(question.release());  // Hear has it
    }
    return answers->Take(patience);
  }
};

// Only a process that the launcher has told its rank is to call it.
LauncherRoll::LauncherRoll() {
  if (std::getenv("PMIX_RANK") == nullptr) return;
  auto library = std::make_unique<Library>();
  if (!library->Open() || library->init(&library->self, nullptr, 0) != PMIX_SUCCESS) return;
  library->LeaveWord();
  library_ = std::move(library);
}

// It counts who uses it: MPI goes on, where that uses the same library.
LauncherRoll::~LauncherRoll() {
  if (library_) library_->finalize(nullptr, 0);
}

std::vector<LauncherRoll::Process> LauncherRoll::Processes(
    int size, std::chrono::milliseconds patience) const {
  std::vector<Process> processes;
  if (!library_) return processes;
  const auto hosts = library_->Ask(PMIX_HOSTNAME, size, patience);
  if (!std::all_of(hosts.begin(), hosts.end(), [](const auto& host) { return host; })) {
    return processes;
  }
  const auto words = library_->Ask(kHere, size, patience);
  for (int rank = 0; rank < size; ++rank) {
    const auto i = static_cast<size_t>(rank);
    processes.push_back({.rank = rank, .host = *hosts[i], .here = words[i].has_value()});
  }
  return processes;
}

}  // namespace lockstep
