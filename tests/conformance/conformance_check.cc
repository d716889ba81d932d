// conformance_check TABLE BUILD_FOLDER [JUNIT_RESULTS]: prints the counts of the table, and fails
// when a row claims a test that does not exist, or one that did not pass where it could have. TABLE
// is conformance.txt or faults.txt, whose tests must have a label.
#include <array>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <utility>

#include "tests/conformance/ctest_files.h"
#include "tests/conformance/table.h"

namespace lockstep::conformance {
namespace {

// What can be done where a requirement is met.
constexpr std::array<std::pair<const char*, const char*>, 7> kCommands = {
    {{"netns", "test $(id -u) = 0 && PATH=$PATH:/usr/sbin unshare --net ip link"},
     {"nft", "unshare --net /usr/sbin/nft list ruleset"},
     {"tbf",
      "unshare --net sh -c 'PATH=$PATH:/usr/sbin; ip link set lo up && tc qdisc add dev lo root "
      "tbf "
      "rate 1mbit burst 128kb latency 400ms'"},
     {"faketime", "faketime -f +0 true"},
     {"mounts", "unshare --mount mount -t tmpfs none /mnt"},
     {"loop", "unshare --mount true && /usr/sbin/losetup --find"},
     {"cgroups",
      "for g in /sys/fs/cgroup/memory /sys/fs/cgroup; do mkdir $g/lockstep-check && "
      "{ ls $g/lockstep-check/memory.limit_in_bytes || ls $g/lockstep-check/memory.max; } && "
      "rmdir $g/lockstep-check && exit; rmdir $g/lockstep-check; done; false"}}};

// Which requirements this machine meets. `table` is in root/tests/conformance.
std::set<std::string> Available(const std::filesystem::path& table) {
  std::set<std::string> available;
  const char* shared = std::getenv("LOCKSTEP_SHARED_DIR");
  const std::filesystem::path root =
      std::filesystem::absolute(table).parent_path().parent_path().parent_path();
  if (std::filesystem::is_directory(shared ? shared : root / "../shared/fixtures")) {
    available.insert("shared");
  }
  if (std::filesystem::exists("/dev/nvidiactl")) available.insert("gpu");
  if (std::getenv("LOCKSTEP_PEERS_DIR") != nullptr) available.insert("peers");
  for (const auto& [requirement, command] : kCommands) {
    if (std::system((std::string(command) + " >/dev/null 2>&1").c_str()) == 0) {
      available.insert(requirement);
    }
  }
  return available;
}

void PrintAvailable(const std::set<std::string>& available) {
  std::cout << "this machine has:";
  for (const std::string& requirement : Requirements()) {
    std::cout << " " << (available.contains(requirement) ? "" : "no ") << requirement;
  }
  std::cout << "\n";
}

int Check(int argc, char** argv) {
  std::ifstream table(argv[1]);
  if (!table) throw std::runtime_error(std::string("cannot read ") + argv[1]);
  std::vector<std::string> problems;
  const bool of_faults = std::filesystem::path(argv[1]).stem() == "faults";
  const Layout& layout = of_faults ? FaultsLayout() : ConformanceLayout();
  const std::vector<Row> rows = ParseTable(table, layout, &problems);
  std::cout << Counts(rows, layout);

  for (const auto& problem : UnknownProofs(rows, ListTests(argv[2], layout.label))) {
    problems.push_back(problem + (of_faults ? " of label " + layout.label : ""));
  }
  if (argc > 3) {
    std::ifstream junit(argv[3]);
    if (!junit) throw std::runtime_error(std::string("cannot read ") + argv[3]);
    const std::set<std::string> available = Available(argv[1]);
    PrintAvailable(available);
    for (const auto& problem : MissingProofs(rows, ReadJunit(junit), available)) {
      problems.push_back(problem);
    }
  }
  for (const std::string& problem : problems) std::cout << argv[1] << ": " << problem << "\n";
  return problems.empty() ? 0 : 1;
}

}  // namespace
}  // namespace lockstep::conformance

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::cerr << "usage: conformance_check TABLE BUILD_FOLDER [JUNIT_RESULTS]\n";
    return 64;
  }
  try {
    return lockstep::conformance::Check(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "conformance_check: " << error.what() << "\n";
    return 66;
  }
}
