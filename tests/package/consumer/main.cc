// A program of somebody else's: sees only what is installed.
#include <cstdio>
#include <vector>

#include "lockstep/lockstep.h"

int main() {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const lockstep::Tensor tensor =
      lockstep::Tensor::FromValues<float>(lockstep::Shape({2, 3}), values);
  double sum = 0;
  for (float value : tensor.Reshape(lockstep::Shape({3, 2})).values<float>()) sum += value;
  std::printf("sum %.0f of %zu bytes\n", sum, tensor.bytes());
  return sum == 21 ? 0 : 1;
}
