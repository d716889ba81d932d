#include "data/fingerprint.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <numeric>
#include <set>

#include "data/batch_iterator.h"
#include "data/synthetic.h"

namespace lockstep {
namespace {

Tensor Counting(const Shape& shape, DType dtype = DType::kInt32) {
  Tensor tensor(DType::kInt32, shape);
  const auto values = tensor.values<int32_t>();
  std::iota(values.begin(), values.end(), 0);
  return dtype == DType::kInt32 ? tensor : tensor.Cast(dtype);
}

Dataset Numbers(const Tensor& labels = Counting({100}), const std::string& file = "a.npz") {
  return Dataset(Counting({100, 7}, DType::kFloat32), labels, {{file, 100}});
}

// A few blocks, the last one not whole, none alike.
Tensor Blocks() { return Counting({1'000'003}); }

// This thread, and those it starts, on one core while it lives.
class OneCore {
 public:
  OneCore() {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &before_)) {
        CPU_SET(core, &one);
        break;
      }
    }
    sched_setaffinity(0, sizeof one, &one);
  }
  ~OneCore() { sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_;
};

TEST(Fingerprint, StaysTheSameForEver) {
  // Checkpoints hold it. These are of an independent program.
  EXPECT_EQ(Fingerprint(Counting({3, 2})), 0x4f9c70c88138478fU);
  EXPECT_EQ(Fingerprint(Blocks()), 0x3b6f427bf6106bf2U);
}

TEST(Fingerprint, DependsOnDtypeShapeAndWhatCameBefore) {
  const std::set<uint64_t> different{
      Fingerprint(Counting({3, 2})),   Fingerprint(Counting({2, 3})),
      Fingerprint(Counting({6})),      Fingerprint(Counting({6}, DType::kFloat32)),
      Fingerprint(Counting({6, 1})),   Fingerprint(Counting({6}, DType::kInt64)),
      Fingerprint(Counting({3, 2}), 1)};
  EXPECT_EQ(different.size(), 7U);
}

TEST(Fingerprint, DependsOnEveryElementAndItsPlace) {
  Tensor tensor = Blocks();
  const auto values = tensor.values<int32_t>();
  std::set<uint64_t> different{Fingerprint(tensor)};
  for (const size_t i :
       {size_t{0}, size_t{65'535}, size_t{65'536}, size_t{500'000}, values.size() - 1}) {
    values[i] ^= 1;
    different.insert(Fingerprint(tensor));
    values[i] ^= 1;
  }
  // Two whole blocks in each other's place.
  std::swap_ranges(values.begin(), values.begin() + 65'536, values.begin() + 65'536);
  different.insert(Fingerprint(tensor));
  EXPECT_EQ(different.size(), 7U);
}

TEST(Fingerprint, IsTheSameOnAnyNumberOfThreads) {
  const Tensor tensor = Counting({9'000'001});
  const uint64_t wanted = Fingerprint(tensor);
  const OneCore one;
  EXPECT_EQ(Fingerprint(tensor), wanted);
}

TEST(Fingerprint, OfADatasetIsOfFeaturesAndLabelsOnly) {
  const uint64_t wanted = Numbers().fingerprint();
  EXPECT_EQ(Numbers(Counting({100}), "b.npz").fingerprint(), wanted);
  EXPECT_EQ(Numbers(Counting({100}, DType::kInt64)).fingerprint(), wanted);  // as loaded
  Tensor labels = Counting({100});
  std::swap(labels.values<int32_t>()[3], labels.values<int32_t>()[4]);
  EXPECT_NE(Numbers(labels).fingerprint(), wanted);
  EXPECT_NE(Numbers().Slice(0, 99).fingerprint(), wanted);
}

TEST(Fingerprint, CountsTheOrderOfFilesAndNotHowTheyAreCut) {
  const Dataset whole = Numbers(), first = whole.Slice(0, 40), second = whole.Slice(40, 100);
  EXPECT_EQ(Dataset::Concatenate({first, second}).fingerprint(), whole.fingerprint());
  EXPECT_NE(Dataset::Concatenate({second, first}).fingerprint(), whole.fingerprint());
}

TEST(Fingerprint, IsThatOfTheWholeJobOnEveryRank) {
  DatasetSource alone(Numbers(), {.batch_size = 8});
  DatasetSource second(Numbers(), {.batch_size = 8, .seed = 3, .rank = 1, .ranks = 2});
  second.Next();
  EXPECT_EQ(alone.fingerprint(), Numbers().fingerprint());
  EXPECT_EQ(second.fingerprint(), alone.fingerprint());
}

}  // namespace
}  // namespace lockstep
