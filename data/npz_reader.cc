#include <algorithm>
#include <utility>

#include "data/npz.h"
#include "data/run_threads.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

constexpr std::string_view kEnding = ".npy";
constexpr size_t kNamesShown = 12;
constexpr size_t kHeaderBytes = 4096;  // NumPy writes 128

std::string Join(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kNamesShown); ++i) {
    text += (i > 0 ? ", " : "") + Printable(names[i], 60);
  }
  if (names.size() > kNamesShown) {
    text += " and " + std::to_string(names.size() - kNamesShown) + " more";
  }
  return text.empty() ? "no array" : text;
}

}  // namespace

NpzReader::NpzReader(InputFile file) : file_(std::move(file)) {
  for (ZipMember& member : ReadZipDirectory(file_)) {
    if (!member.name.ends_with(kEnding)) continue;
    std::string name = member.name.substr(0, member.name.size() - kEnding.size());
    names_.push_back(name);
    members_.emplace(std::move(name), std::move(member));
  }
  std::sort(names_.begin(), names_.end());
}

const ZipMember& NpzReader::Find(const std::string& name, const std::string& advice) const {
  const auto found = members_.find(name);
  if (found != members_.end()) return found->second;
  throw FormatError(path() + ": no array '" + Printable(name) + "'; the file holds " +
                    Join(names_) + (advice.empty() ? "" : "; " + advice));
}

std::string NpzReader::Where(const std::string& name) const {
  return path() + " member '" + Printable(name) + "'";
}

Tensor NpzReader::Read(const std::string& name) const {
  return ParseNpy(ReadZipMember(file_, Find(name)), Where(name));
}

std::string NpzReader::ReadText(const std::string& name) const {
  return ParseNpyText(ReadZipMember(file_, Find(name)), Where(name));
}

NpyHeader NpzReader::ReadHeader(const std::string& name) const {
  const auto parse = [&](const Bytes& bytes) {
    BoundedReader reader(bytes.span(), Where(name));
    NpyHeader header = ParseNpyHeader(&reader);
    const uint64_t size = MemberBytes(name);
    if (!header.is_pickled() && static_cast<uint64_t>(header.shape.size()) > size) {
      reader.Fail("shape " + header.shape.ToString() + " in a member of " + std::to_string(size) +
                  " bytes");
    }
    return header;
  };
  try {
    NpyHeader header = parse(ReadZipMemberStart(file_, Find(name), kHeaderBytes));
    if (!header.is_pickled()) return header;
  } catch (const FormatError&) {
    // Damaged or longer: the whole member tells.
  }
  return parse(ReadZipMember(file_, Find(name)));
}

std::vector<Tensor> NpzReader::Read(const std::vector<std::string>& names, int threads) const {
  // The largest first, else the last thread may have it all to itself in the end.
  std::vector<size_t> order(names.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return MemberBytes(names[a]) > MemberBytes(names[b]);
  });
  std::vector<Tensor> tensors(names.size());
  RunThreads(names.size(), threads, [&](size_t i) { tensors[order[i]] = Read(names[order[i]]); });
  return tensors;
}

std::map<std::string, Tensor> NpzReader::ReadAll(int threads) const {
  std::vector<Tensor> tensors = Read(names_, threads);
  std::map<std::string, Tensor> by_name;
  for (size_t i = 0; i < names_.size(); ++i) by_name.emplace(names_[i], std::move(tensors[i]));
  return by_name;
}

}  // namespace lockstep
