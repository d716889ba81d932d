// Archives of named arrays, as numpy.savez and Chainer's save_npz write them: zip files whose
// members are "<name>.npy".
#ifndef LOCKSTEP_DATA_NPZ_H_
#define LOCKSTEP_DATA_NPZ_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "data/input_file.h"
#include "data/npy.h"
#include "data/zip.h"
#include "engine/tensor/tensor.h"

namespace lockstep {

// Thread-safe once made. Errors: FormatError (65) with file, member and byte; IoError as InputFile.
class NpzReader {
 public:
  // Reads and checks the directory only.
  explicit NpzReader(const std::string& path) : NpzReader(InputFile::Open(path)) {}
  explicit NpzReader(InputFile file);

  const std::string& path() const { return file_.name(); }
  // Sorted, without ".npy". Members with another ending are not arrays and not listed.
  const std::vector<std::string>& names() const { return names_; }
  bool Contains(const std::string& name) const { return members_.count(name) > 0; }
  // Throws FormatError listing the names, and with this advice, when there is no such array.
  void Require(const std::string& name, const std::string& advice) const { Find(name, advice); }
  // Bytes of the member once inflated, its npy header included.
  uint64_t MemberBytes(const std::string& name) const { return Find(name).size; }

  // The array; see ParseNpy for the types. FormatError listing the names when there is none.
  Tensor Read(const std::string& name) const;
  // A text array of one element, as Chainer's snapshots hold their logs.
  std::string ReadText(const std::string& name) const;
  // Shape and type without the array: also of pickled and text members, which Read() refuses. Reads
  // the first few KiB, not checked against the CRC-32, unless those are of no use. FormatError for
  // a shape of more elements than the member has bytes.
  NpyHeader ReadHeader(const std::string& name) const;
  // Several or all arrays (text members are errors here), inflated on `threads` threads (0: one a
  // core).
  std::vector<Tensor> Read(const std::vector<std::string>& names, int threads = 0) const;
  std::map<std::string, Tensor> ReadAll(int threads = 0) const;

 private:
  const ZipMember& Find(const std::string& name, const std::string& advice = "") const;
  std::string Where(const std::string& name) const;

  InputFile file_;
  std::map<std::string, ZipMember> members_;
  std::vector<std::string> names_;
};

struct NpzWriterOptions {
  bool compress = true;  // a member that would not shrink is stored
  int level = 6;         // libdeflate's, 1 to 12
  int threads = 0;       // members are compressed in parallel; 0: one thread a core
  bool force_zip64 = false;
};

using ByteSink = std::function<void(std::span<const uint8_t>)>;

// Collects arrays, then writes them sorted by name, all dated 1980-01-01: the same arrays give the
// same bytes. NumPy and Chainer read the result; zip64 is used where sizes need it.
class NpzWriter {
 public:
  explicit NpzWriter(NpzWriterOptions options = {}) : options_(options) {}

  // Shares the tensor's memory until written. Throws ConfigError for a name used already and for
  // what WhyUnsafeName() says of the member "<name>.npy".
  void Add(const std::string& name, const Tensor& tensor);
  // A scalar of type bool ("|b1", shape ()).
  void AddBool(const std::string& name, bool value);
  // A scalar text ("<U<length>", shape ()) from UTF-8; FormatError when it is not.
  void AddText(const std::string& name, const std::string& utf8);

  // In pieces of any size; what the sink throws passes through.
  void Write(const ByteSink& sink) const;
  std::vector<uint8_t> ToBytes() const;

 private:
  struct Entry {
    std::string npy_header;
    Tensor items;  // as raw memory
  };
  void AddEntry(const std::string& name, Entry entry);

  NpzWriterOptions options_;
  std::map<std::string, Entry> entries_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_NPZ_H_
