// Convolutions by cuDNN, and the direct one. Only algorithms that give the same bits every time.
#include <array>
#include <type_traits>
#include <utility>

#include "kernels/cuda/cudnn.h"
#include "kernels/cuda/direct_conv.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/error.h"
#include "kernels/math/maps.h"
#include "kernels/unavailable.h"

namespace lockstep::cuda {
namespace {

constexpr char kReference[] = "reference";

// A deterministic algorithm of one pass; `exact` as ConvKernels::Algorithms has it.
struct Algorithm {
  const char* name;
  int number;
  bool exact;
};

constexpr std::array kForward = {
    Algorithm{"cudnn-precomputed", CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, true},
    Algorithm{"cudnn-winograd", CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD, false},
    Algorithm{"cudnn-winograd-nonfused", CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED, false},
    Algorithm{"cudnn-implicit", CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, true},
    Algorithm{"cudnn-gemm", CUDNN_CONVOLUTION_FWD_ALGO_GEMM, true}};
constexpr std::array kBackwardData = {
    Algorithm{"cudnn-implicit", CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, true},
    Algorithm{"cudnn-winograd", CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD, false},
    Algorithm{"cudnn-winograd-nonfused", CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD_NONFUSED, false}};
constexpr std::array kBackwardWeights = {
    Algorithm{"cudnn-implicit", CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, true},
    Algorithm{"cudnn-winograd-nonfused", CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED,
              false}};

template <typename Fn>
void ForAlgorithms(ConvPass pass, const Fn& fn) {
  const auto all = [&](const auto& list) {
    for (const Algorithm& algorithm : list) fn(algorithm);
  };
  if (pass == ConvPass::kForward) all(kForward);
  if (pass == ConvPass::kBackwardData) all(kBackwardData);
  if (pass == ConvPass::kBackwardWeights) all(kBackwardWeights);
}

cudnnDataType_t TypeOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return CUDNN_DATA_DOUBLE;
    case DType::kFloat16:
      return CUDNN_DATA_HALF;
    case DType::kBfloat16:
      return CUDNN_DATA_BFLOAT16;
    default:
      return CUDNN_DATA_FLOAT;
  }
}

// Products of 16 bits are exact in tensor cores; those of float32 are rounded to TF32 there.
cudnnMathType_t MathOf(DType dtype, bool allow_tf32) {
  if (IsHalf(dtype)) return CUDNN_TENSOR_OP_MATH;
  return dtype == DType::kFloat32 && allow_tf32 ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH;
}

// cuDNN's descriptors of one convolution, with weights in plain order.
class Descriptors {
 public:
  Descriptors(const Cudnn& dnn, const ConvShape& s, Layout x_layout, Layout y_layout,
              bool allow_tf32)
      : dnn_(dnn) {
    try {
      Describe(s, x_layout, y_layout);
      dnn_.Check(dnn_.SetConvolutionMathType(conv, MathOf(s.dtype, allow_tf32)),
                 "describing a convolution");
    } catch (...) {
      Destroy();
      throw;
    }
  }
  ~Descriptors() { Destroy(); }
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;

  cudnnTensorDescriptor_t x = nullptr, y = nullptr;
  cudnnFilterDescriptor_t w = nullptr;
  cudnnConvolutionDescriptor_t conv = nullptr;

 private:
  void Describe(const ConvShape& s, Layout x_layout, Layout y_layout) {
    const char* const what = "describing a convolution";
    const cudnnDataType_t type = TypeOf(s.dtype);
    const auto i = [](int64_t v) { return static_cast<int>(v); };
    const auto tensor = [&](cudnnTensorDescriptor_t* d, int64_t c, int64_t h, int64_t w, Layout l) {
      dnn_.Check(dnn_.CreateTensorDescriptor(d), what);
      const bool planar = l.block == 1;  // else channels last
      dnn_.Check(dnn_.SetTensor4dDescriptorEx(*d, type, i(s.n), i(c), i(h), i(w), i(c * h * w),
                                              planar ? i(h * w) : 1, planar ? i(w) : i(w * c),
                                              planar ? 1 : i(c)),
                 what);
    };
    tensor(&x, s.c, s.h, s.w, x_layout);
    tensor(&y, s.k, s.out_h(), s.out_w(), y_layout);
    dnn_.Check(dnn_.CreateFilterDescriptor(&w), what);
    dnn_.Check(dnn_.SetFilter4dDescriptor(w, type, CUDNN_TENSOR_NCHW, i(s.k), i(s.c / s.groups),
                                          i(s.kh), i(s.kw)),
               what);
    dnn_.Check(dnn_.CreateConvolutionDescriptor(&conv), what);
    dnn_.Check(dnn_.SetConvolution2dDescriptor(
                   conv, i(s.pad_h), i(s.pad_w), i(s.stride_h), i(s.stride_w), i(s.dilation_h),
                   i(s.dilation_w), CUDNN_CROSS_CORRELATION, TypeOf(AccumulatorOf(s.dtype))),
               what);
    dnn_.Check(dnn_.SetConvolutionGroupCount(conv, i(s.groups)), what);
  }
  void Destroy() {
    if (x != nullptr) dnn_.DestroyTensorDescriptor(x);
    if (y != nullptr) dnn_.DestroyTensorDescriptor(y);
    if (w != nullptr) dnn_.DestroyFilterDescriptor(w);
    if (conv != nullptr) dnn_.DestroyConvolutionDescriptor(conv);
  }

  const Cudnn& dnn_;
};

// The library, opened when it is first needed.
struct OpenCudnn {
  OpenCudnn(const LibraryFolders& where, cudaStream_t stream, bool may_use_tf32)
      : dnn(LoadCudnn(where)), allow_tf32(may_use_tf32) {
    dnn.Check(dnn.Create(&handle), "starting");
    dnn.Check(dnn.SetStream(handle, stream), "starting");
  }
  ~OpenCudnn() {
    if (handle != nullptr) dnn.Destroy(handle);
  }
  OpenCudnn(const OpenCudnn&) = delete;
  OpenCudnn& operator=(const OpenCudnn&) = delete;

  // The scratch memory of an algorithm; false where it does not do this convolution.
  bool GetWorkspace(const Descriptors& d, ConvPass pass, int number, size_t* bytes) const {
    switch (pass) {
      case ConvPass::kForward:
        return dnn.GetConvolutionForwardWorkspaceSize(
                   handle, d.x, d.w, d.conv, d.y, static_cast<cudnnConvolutionFwdAlgo_t>(number),
                   bytes) == CUDNN_STATUS_SUCCESS;
      case ConvPass::kBackwardData:
        return dnn.GetConvolutionBackwardDataWorkspaceSize(
                   handle, d.w, d.y, d.conv, d.x,
                   static_cast<cudnnConvolutionBwdDataAlgo_t>(number),
                   bytes) == CUDNN_STATUS_SUCCESS;
      default:
        return dnn.GetConvolutionBackwardFilterWorkspaceSize(
                   handle, d.x, d.y, d.conv, d.w,
                   static_cast<cudnnConvolutionBwdFilterAlgo_t>(number),
                   bytes) == CUDNN_STATUS_SUCCESS;
    }
  }

  Cudnn dnn;
  bool allow_tf32;
  cudnnHandle_t handle = nullptr;
};

class CudnnConv final : public ConvKernel {
 public:
  CudnnConv(const OpenCudnn& open, GpuStream* stream, const ConvShape& shape, ConvPass pass,
            const Algorithm& algorithm, Layout x, Layout y)
      : open_(open),
        stream_(stream),
        shape_(shape),
        pass_(pass),
        algorithm_(algorithm),
        y_index_({shape.n, shape.k, shape.out_h(), shape.out_w()}, y),
        descriptors_(open.dnn, shape, x, y, open.allow_tf32) {
    if (open_.GetWorkspace(descriptors_, pass, algorithm.number, &workspace_)) return;
    throw UnavailableError("cuDNN " + open_.dnn.version + " has no '" + algorithm.name +
                           "' for this convolution");
  }

  size_t scratch_bytes() const override { return NarrowOffset() + NarrowBytes(); }
  size_t prepared_bytes() const override { return 0; }
  void PrepareWeights(const void*, void*) override {}

  void Run(const ConvBuffers& b) override {
    WithAnyFloat(shape_.dtype, [&](auto t) { RunAs<decltype(t)>(b); });
  }

 private:
  // cuDNN rounds dw to the 16 bits of its operands: it lies behind the workspace then.
  size_t NarrowOffset() const { return (workspace_ + 255) / 256 * 256; }
  size_t NarrowBytes() const {
    if (pass_ != ConvPass::kBackwardWeights || !IsHalf(shape_.dtype)) return 0;
    return static_cast<size_t>(WeightsSize()) * SizeOf(shape_.dtype);
  }
  int64_t WeightsSize() const {
    return shape_.k * (shape_.c / shape_.groups) * shape_.kh * shape_.kw;
  }

  template <typename T>
  void RunBackwardWeights(const ConvBuffers& b) {
    const Cudnn& dnn = open_.dnn;
    const Descriptors& d = descriptors_;
    const math::Accumulator<T> one = 1, zero = 0;
    constexpr bool kNarrow = !std::is_same_v<T, math::Accumulator<T>>;
    void* const dw = kNarrow ? static_cast<char*>(b.scratch) + NarrowOffset() : b.dw;
    dnn.Check(dnn.ConvolutionBackwardFilter(
                  open_.handle, &one, d.x, b.x, d.y, b.y, d.conv,
                  static_cast<cudnnConvolutionBwdFilterAlgo_t>(algorithm_.number), b.scratch,
                  workspace_, &zero, d.w, dw),
              "a convolution's dw");
    if constexpr (kNarrow) {
      stream_->ForPacks(
          "cast of a convolution's dw", WeightsSize(),
          math::CastMap<T, float>{static_cast<const T*>(dw), static_cast<float*>(b.dw)});
    }
  }

  template <typename T>
  void RunAs(const ConvBuffers& b) {
    const math::Accumulator<T> one = 1, zero = 0;
    const Cudnn& dnn = open_.dnn;
    const Descriptors& d = descriptors_;
    const cudnnHandle_t handle = open_.handle;
    switch (pass_) {
      case ConvPass::kForward:
        dnn.Check(dnn.ConvolutionForward(handle, &one, d.x, b.x, d.w, b.weights, d.conv,
                                         static_cast<cudnnConvolutionFwdAlgo_t>(algorithm_.number),
                                         b.scratch, workspace_, &zero, d.y, b.y),
                  "a convolution");
        if (b.bias == nullptr && b.activation == Activation::kIdentity) return;
        return stream_->ForEach(
            "bias and activation", shape_.n * shape_.k * shape_.out_h() * shape_.out_w(),
            math::ConvEpilogueMap<T>{y_index_, static_cast<const T*>(b.bias),
                                     b.activation == Activation::kRelu, static_cast<T*>(b.y)});
      case ConvPass::kBackwardData:
        return dnn.Check(dnn.ConvolutionBackwardData(
                             handle, &one, d.w, b.weights, d.y, b.y, d.conv,
                             static_cast<cudnnConvolutionBwdDataAlgo_t>(algorithm_.number),
                             b.scratch, workspace_, &zero, d.x, b.x),
                         "a convolution's dx");
      case ConvPass::kBackwardWeights:
        return RunBackwardWeights<T>(b);
    }
  }

  const OpenCudnn& open_;
  GpuStream* stream_;
  ConvShape shape_;
  ConvPass pass_;
  Algorithm algorithm_;
  math::PictureIndex y_index_;
  Descriptors descriptors_;
  size_t workspace_ = 0;
};

class CudaConv final : public ConvKernels {
 public:
  CudaConv(GpuStream* stream, LibraryFolders where, bool allow_tf32)
      : stream_(stream), where_(std::move(where)), allow_tf32_(allow_tf32) {}

  std::vector<std::string> Algorithms(const ConvShape& shape, ConvPass pass, Layout x, Layout y,
                                      bool exact) const override {
    std::vector<std::string> names;
    if (CudnnHas(shape, x, y)) {
      const OpenCudnn& open = Open();
      const Descriptors descriptors(open.dnn, shape, x, y, open.allow_tf32);
      ForAlgorithms(pass, [&](const Algorithm& algorithm) {
        size_t bytes;
        if (exact && !algorithm.exact) return;
        if (open.GetWorkspace(descriptors, pass, algorithm.number, &bytes)) {
          names.emplace_back(algorithm.name);
        }
      });
    }
    names.emplace_back(kReference);
    return names;
  }

  std::unique_ptr<ConvKernel> Make(const ConvShape& shape, ConvPass pass,
                                   const std::string& algorithm, Layout x,
                                   Layout y) const override {
    if (algorithm == kReference) {
      return std::make_unique<DirectConv<GpuStream>>(stream_, shape, pass, x, y);
    }
    std::unique_ptr<ConvKernel> kernel;
    ForAlgorithms(pass, [&](const Algorithm& each) {
      if (algorithm != each.name) return;
      kernel = std::make_unique<CudnnConv>(Open(), stream_, shape, pass, each, x, y);
    });
    if (kernel != nullptr) return kernel;
    throw Error(ExitCode::kBug, "cuda has no convolution '" + algorithm + "'");
  }

  std::vector<Layout> Layouts(int64_t c, DType) const override {
    if (c == 1) return {Layout{1}};
    return {Layout{c}, Layout{1}};
  }

 private:
  // Planes or channels last, of extents that fit its numbers.
  static bool CudnnHas(const ConvShape& s, Layout x, Layout y) {
    constexpr int64_t kMost = (int64_t{1} << 31) - 1;
    const bool plain = (x.block == 1 || x.block == s.c) && (y.block == 1 || y.block == s.k);
    return plain && s.n > 0 && s.n * s.c * s.h * s.w <= kMost &&
           s.n * s.k * s.out_h() * s.out_w() <= kMost;
  }
  const OpenCudnn& Open() const {
    if (!open_) open_ = std::make_unique<OpenCudnn>(where_, stream_->handle(), allow_tf32_);
    return *open_;
  }

  GpuStream* stream_;
  LibraryFolders where_;
  bool allow_tf32_;
  mutable std::unique_ptr<OpenCudnn> open_;
};

}  // namespace

std::unique_ptr<ConvKernels> MakeConv(GpuStream* stream, const LibraryFolders& where,
                                      bool allow_tf32) {
  return std::make_unique<CudaConv>(stream, where, allow_tf32);
}

}  // namespace lockstep::cuda
