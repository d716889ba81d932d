#include "engine/train/checkpoint_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "engine/train/crc32c.h"
#include "engine/train/posix_file.h"
#include "engine/train/publish.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

// Bytes of known size, at hand or in a file.
struct Source {
  std::string name;
  uint64_t bytes = 0;
  // Fills `to` from `offset`; both lie inside.
  std::function<void(uint64_t offset, std::span<std::byte> to)> read;
};

void ReadFully(int fd, const std::string& path, uint64_t offset, std::span<std::byte> to) {
  while (!to.empty()) {
    const ssize_t got = ::pread(fd, to.data(), to.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) ThrowReadError("cannot read", path, errno);
    if (got == 0) {
      throw FormatError(Printable(path) + ": ends at byte " + std::to_string(offset) +
                        " while being read");
    }
    offset += static_cast<uint64_t>(got);
    to = to.subspan(static_cast<size_t>(got));
  }
}

Source OpenFile(const std::string& path, FileDescriptor* file) {
  // O_NONBLOCK: a pipe under this name is refused below instead of waited for.
  *file = FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!*file) ThrowReadError("cannot open the checkpoint", path, errno);
  struct stat info {};
  if (::fstat(file->get(), &info) != 0) ThrowReadError("cannot read", path, errno);
  if (!S_ISREG(info.st_mode)) {
    throw IoError("cannot read the checkpoint " + Printable(path) + ": not a regular file",
                  ExitCode::kNoInput);
  }
  return {path, static_cast<uint64_t>(info.st_size),
          [fd = file->get(), path](uint64_t offset, std::span<std::byte> to) {
            ReadFully(fd, path, offset, to);
          }};
}

// Before memory for a header is taken: a damaged size may be any number up to that of the file.
void CheckHeaderInPieces(const Source& source, uint64_t header_bytes) {
  std::vector<std::byte> piece(std::min<uint64_t>(header_bytes, 64 << 10));
  const uint64_t end = header_bytes - kCheckpointSumBytes;
  uint32_t sum = 0;
  for (uint64_t at = 0; at < end; at += piece.size()) {
    piece.resize(std::min<uint64_t>(piece.size(), end - at));
    source.read(at, piece);
    sum = Crc32c(piece, sum);
  }
  uint32_t stored = 0;
  source.read(end, std::as_writable_bytes(std::span(&stored, 1)));
  CheckHeaderSum(stored, sum, header_bytes, source.name);
}

CheckpointTable ReadTable(const Source& source) {
  std::array<std::byte, kCheckpointPrefixBytes> prefix{};
  const size_t at_hand = std::min<uint64_t>(prefix.size(), source.bytes);
  source.read(0, std::span(prefix).first(at_hand));
  const uint64_t header_bytes =
      CheckpointHeaderBytes(std::span(prefix).first(at_hand), source.bytes, source.name);
  CheckHeaderInPieces(source, header_bytes);
  std::vector<std::byte> header(header_bytes);
  source.read(0, header);
  return DecodeCheckpointTable(header, source.name);
}

Tensor ReadArray(const Source& source, const CheckpointArray& array) {
  Tensor tensor(array.type.dtype, array.type.shape);
  const std::span bytes(static_cast<std::byte*>(tensor.data()), tensor.bytes());
  source.read(array.offset, bytes);
  const uint32_t sum = Crc32c(bytes);
  if (sum == array.crc32c) return tensor;
  std::array<char, 64> sums{};
  std::snprintf(sums.data(), sums.size(), "CRC-32C %08x, the table says %08x", sum, array.crc32c);
  throw FormatError(Printable(source.name) + ": array \"" + Printable(array.name) + "\" at byte " +
                    std::to_string(array.offset) + " has " + sums.data() +
                    "; the checkpoint is damaged");
}

void CheckPadding(const Source& source, uint64_t from, uint64_t to) {
  std::array<std::byte, kCheckpointAlignment> padding{};
  source.read(from, std::span(padding).first(to - from));
  if (padding != std::array<std::byte, kCheckpointAlignment>{}) {
    throw FormatError(Printable(source.name) + ": bytes " + std::to_string(from) + " to " +
                      std::to_string(to) + " are not zero; the checkpoint is damaged");
  }
}

CheckpointContents ReadAll(const Source& source, CheckpointTable* header = nullptr) {
  CheckpointTable table = ReadTable(source);
  CheckpointContents contents;
  contents.values = std::move(table.values);
  uint64_t end = table.header_bytes;
  for (const CheckpointArray& array : table.arrays) {
    CheckPadding(source, end, array.offset);
    contents.tensors.emplace_hint(contents.tensors.end(), array.name, ReadArray(source, array));
    end = array.offset + array.bytes;
  }
  if (header != nullptr) *header = std::move(table);
  return contents;
}

// Header, then arrays at their places, to write(data, bytes).
template <typename Write>
void Emit(const CheckpointContents& contents, CheckpointTable* table, const Write& write) {
  const std::vector<std::byte> header = EncodeCheckpointTable(table);
  write(header.data(), header.size());
  uint64_t at = header.size();
  constexpr std::array<std::byte, kCheckpointAlignment> kZeros{};
  for (const CheckpointArray& array : table->arrays) {
    write(kZeros.data(), array.offset - at);
    const Tensor& tensor = contents.tensors.at(array.name);
    write(tensor.data(), tensor.bytes());
    at = array.offset + tensor.bytes();
  }
}

}  // namespace

CheckpointTable WriteCheckpoint(const std::string& path, const CheckpointContents& contents) {
  CheckpointTable table = MakeCheckpointTable(contents);
  Publisher file(path, static_cast<int64_t>(table.file_bytes));
  Emit(contents, &table, [&](const void* data, size_t bytes) { file.Write(data, bytes); });
  file.Commit();
  return table;
}

std::string SerializeCheckpoint(const CheckpointContents& contents) {
  CheckpointTable table = MakeCheckpointTable(contents);
  std::string file;
  file.reserve(table.file_bytes);
  Emit(contents, &table,
       [&](const void* data, size_t bytes) { file.append(static_cast<const char*>(data), bytes); });
  return file;
}

CheckpointContents ReadCheckpoint(const std::string& path, CheckpointTable* table) {
  FileDescriptor file;
  return ReadAll(OpenFile(path, &file), table);
}

CheckpointTable ReadCheckpointTable(const std::string& path) {
  FileDescriptor file;
  return ReadTable(OpenFile(path, &file));
}

CheckpointContents ParseCheckpoint(std::span<const std::byte> data, const std::string& name) {
  return ReadAll({name, data.size(), [data](uint64_t offset, std::span<std::byte> to) {
                    if (!to.empty()) std::memcpy(to.data(), data.data() + offset, to.size());
                  }});
}

}  // namespace lockstep
