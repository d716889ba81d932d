// When matrix products run on AMX tiles, and what becomes of elements that these cannot take.
#ifndef LOCKSTEP_KERNELS_CPU_AMX_TILE_PRODUCT_H_
#define LOCKSTEP_KERNELS_CPU_AMX_TILE_PRODUCT_H_

#include <cstdint>

#include "kernels/cpu/gemm/block_update.h"
#include "kernels/cpu/gemm/product.h"

namespace lockstep::cpu::amx {

// Whether tiles are the faster way for products of `k` steps and `n` columns. The number of rows
// does not matter: a sample's result must not depend on how many others are in its batch.
bool SuitsTiles(int64_t n, int64_t k);

// On the calling thread; where an operand's row or column has elements that pieces of bfloat16 do
// not hold, its products are `otherwise`'s.
void RunTileProduct(const gemm::Product<float>& product,
                    void (*otherwise)(const gemm::Product<float>& product));

// Whether products of `k` steps, which suit tiles, update what they are the gradient of.
bool SuitsUpdates(int64_t k);

// The same, and an update with each element of the product; C, which is not added to, is scratch.
void RunTileUpdate(const gemm::Product<float>& product,
                   void (*otherwise)(const gemm::Product<float>& product),
                   const gemm::BlockUpdate& update);

}  // namespace lockstep::cpu::amx

#endif  // LOCKSTEP_KERNELS_CPU_AMX_TILE_PRODUCT_H_
