// Writes what data/zip_directory.cc documents byte by byte.
#include <algorithm>
#include <cstring>
#include <memory>

#include "data/deflate.h"
#include "data/npz.h"
#include "data/run_threads.h"
#include "data/utf8.h"
#include "data/zip_writer.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

// Members held compressed in memory at a time, by their size before.
constexpr size_t kWindowBytes = size_t{64} << 20;

std::span<const uint8_t> AsBytes(const Tensor& tensor) {
  return {static_cast<const uint8_t*>(tensor.data()), tensor.bytes()};
}

std::span<const uint8_t> AsBytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::vector<uint8_t> Deflated(const std::string& header, const Tensor& items, int level) {
  std::vector<uint8_t> plain;
  plain.reserve(header.size() + items.bytes());
  plain.insert(plain.end(), header.begin(), header.end());
  const std::span<const uint8_t> bytes = AsBytes(items);
  plain.insert(plain.end(), bytes.begin(), bytes.end());
  return Compressor(level).Deflate(plain);
}

}  // namespace

void NpzWriter::AddEntry(const std::string& name, Entry entry) {
  if (const std::string why = WhyUnsafeName(name + ".npy"); !why.empty()) {
    throw ConfigError("name '" + Printable(name) + "' of an array for an npz file " + why);
  }
  if (!entries_.emplace(name, std::move(entry)).second) {
    throw ConfigError("two arrays of an npz file are called '" + Printable(name) + "'");
  }
}

void NpzWriter::Add(const std::string& name, const Tensor& tensor) {
  AddEntry(name, {NpyHeaderText(NpyDescr(tensor.dtype()), tensor.shape()), tensor});
}

void NpzWriter::AddBool(const std::string& name, bool value) {
  Tensor item(DType::kUint8, Shape{});
  item.values<uint8_t>()[0] = value ? 1 : 0;
  AddEntry(name, {NpyHeaderText("|b1", Shape{}), item});
}

void NpzWriter::AddText(const std::string& name, const std::string& utf8) {
  std::u32string text = DecodeUtf8(utf8);
  if (text.empty()) text += U'\0';  // what NumPy makes of an empty text
  Tensor items(DType::kUint8, Shape({static_cast<int64_t>(text.size() * 4)}));
  std::memcpy(items.data(), text.data(), text.size() * 4);
  AddEntry(name, {NpyHeaderText("<U" + std::to_string(text.size()), Shape{}), items});
}

void NpzWriter::Write(const ByteSink& sink) const {
  ZipWriter zip(sink, options_.force_zip64);
  for (auto begin = entries_.begin(); begin != entries_.end();) {
    std::vector<std::pair<const std::string*, const Entry*>> window;
    auto end = begin;
    for (size_t bytes = 0; end != entries_.end() && bytes < kWindowBytes; ++end) {
      bytes += end->second.items.bytes();
      window.emplace_back(&end->first, &end->second);
    }
    std::vector<std::vector<uint8_t>> compressed(window.size());
    if (options_.compress) {
      RunThreads(window.size(), options_.threads, [&](size_t i) {
        const Entry& entry = *window[i].second;
        compressed[i] = Deflated(entry.npy_header, entry.items, options_.level);
      });
    }
    for (size_t i = 0; i < window.size(); ++i) {
      const Entry& entry = *window[i].second;
      zip.Add(*window[i].first + ".npy", {AsBytes(entry.npy_header), AsBytes(entry.items)},
              compressed[i]);
      compressed[i] = {};
    }
    begin = end;
  }
  zip.Finish();
}

std::vector<uint8_t> NpzWriter::ToBytes() const {
  std::vector<uint8_t> bytes;
  Write([&](std::span<const uint8_t> piece) {
    bytes.insert(bytes.end(), piece.begin(), piece.end());
  });
  return bytes;
}

}  // namespace lockstep
