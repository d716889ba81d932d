#include "engine/plan/prepared_input.h"

#include <utility>

#include "kernels/error.h"

namespace lockstep {
namespace {

void RequireMakes(const PicturePreparation& preparation, const TensorType& type) {
  const Shape table({preparation.cut.channels, kByteValues});
  if (preparation.cut.size() == type.shape.row_size() && preparation.table.shape() == table &&
      preparation.table.dtype() == type.dtype) {
    return;
  }
  throw ShapeError("bytes are prepared to rows of " + std::to_string(preparation.cut.size()) + " " +
                       std::string(Name(preparation.table.dtype())) + ", the input is " +
                       type.shape.ToString() + " " + std::string(Name(type.dtype)),
                   ExitCode::kBug);
}

}  // namespace

PreparedInput::PreparedInput(Backend& backend, const TensorType& type, void* place,
                             std::shared_ptr<const PicturePreparation> preparation)
    : backend_(backend),
      preparation_(std::move(preparation)),
      rows_(type.shape[0]),
      place_(place),
      table_(preparation_->table.data()) {
  RequireMakes(*preparation_, type);
  if (backend.shares_host_memory()) {
    own_ = AllocateOn(backend, static_cast<size_t>(type.bytes()), "a batch");
    place_ = own_.get();
    return;
  }
  const size_t bytes = Padded(static_cast<size_t>(rows_) * preparation_->stored_bytes());
  stored_ = AllocateOn(backend, bytes + preparation_->table.bytes(), "a batch of bytes");
  stored_rows_ = static_cast<const uint8_t*>(stored_.get());
  void* const table = static_cast<std::byte*>(stored_.get()) + bytes;
  backend.Upload(preparation_->table.data(), table, preparation_->table.bytes());
  table_ = table;
}

void PreparedInput::Feed(const void* rows) {
  if (!stored_) {
    stored_rows_ = static_cast<const uint8_t*>(rows);
    return;
  }
  backend_.Upload(rows, stored_.get(), static_cast<size_t>(rows_) * preparation_->stored_bytes());
}

void PreparedInput::Prepare(const RunContext& context) const {
  backend_.picture().Prepare(preparation_->table.dtype(), preparation_->cut, rows_,
                             {context.epoch, context.ids}, table_, stored_rows_, place_);
}

}  // namespace lockstep
