// npz_dump FILE: one line for each array of an npz, or for an npy: "name dtype shape crc32", the
// checksum being that of the elements in row-major, little-endian order. A member that cannot be
// read gives "name error message". npz_dump FILE COPY writes the arrays again with our writer.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "data/input_file.h"
#include "data/npz.h"
#include "engine/tensor/tensor.h"
#include "kernels/error.h"

namespace {

// CRC-32 of zlib (reflected 0xEDB88320), a bit at a time: short enough to be obviously right.
uint32_t Crc32(std::span<const uint8_t> bytes) {
  uint32_t crc = 0xFFFFFFFFu;
  for (uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0u);
  }
  return ~crc;
}

void Print(const std::string& name, const lockstep::Tensor& tensor) {
  const auto* bytes = static_cast<const uint8_t*>(tensor.data());
  std::printf("%s\t%s\t%s\t%u\n", name.c_str(), std::string(Name(tensor.dtype())).c_str(),
              tensor.shape().ToString().c_str(), Crc32({bytes, tensor.bytes()}));
}

void DumpArchive(const std::string& path, const char* copy) {
  const lockstep::NpzReader reader(path);
  lockstep::NpzWriter writer;
  for (const std::string& name : reader.names()) {
    try {
      const lockstep::Tensor tensor = reader.Read(name);
      Print(name, tensor);
      writer.Add(name, tensor);
    } catch (const lockstep::Error& error) {
      std::printf("%s\terror\t%s\n", name.c_str(), error.what());
    }
  }
  if (copy == nullptr) return;
  std::ofstream out(copy, std::ios::binary);
  const std::vector<uint8_t> bytes = writer.ToBytes();
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 64;
  try {
    const std::string path = argv[1];
    if (path.ends_with(".npy")) {
      Print("", lockstep::ParseNpy(lockstep::InputFile::Open(path).ReadAll(), path));
    } else {
      DumpArchive(path, argc > 2 ? argv[2] : nullptr);
    }
  } catch (const std::exception& error) {
    std::printf("error\t%s\n", error.what());
    return 65;
  }
  return 0;
}
