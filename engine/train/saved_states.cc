#include "engine/train/saved_states.h"

#include <cstring>

namespace lockstep {
namespace {

template <typename Body>
void ForStates(const Variables& variables, const Body& body) {
  for (const Variables::Entry& entry : variables.entries()) {
    if (entry.role != Role::kState) continue;
    body(static_cast<char*>(entry.data), static_cast<size_t>(entry.type.bytes()));
  }
}

}  // namespace

SavedStates::SavedStates(const Variables& variables) : variables_(variables) {
  ForStates(variables, [this](const char* data, size_t bytes) {
    bytes_.insert(bytes_.end(), data, data + bytes);
  });
}

void SavedStates::Restore() const {
  const char* from = bytes_.data();
  ForStates(variables_, [&from](char* data, size_t bytes) {
    if (bytes > 0) std::memcpy(data, from, bytes);
    from += bytes;
  });
}

}  // namespace lockstep
