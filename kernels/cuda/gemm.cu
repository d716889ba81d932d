// Products by cuBLASLt.
#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "kernels/cuda/column_major.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/error.h"
#include "kernels/math/matrix_maps.h"

namespace lockstep::cuda {
namespace {

// What NVIDIA recommends for Hopper; smaller ones exclude its fastest kernels.
constexpr size_t kWorkspace = size_t{32} << 20;

// What algorithm and descriptors depend on.
using Key = std::tuple<DType, DType, bool, bool, int64_t, int64_t, int64_t, int64_t, int64_t,
                       int64_t, int, std::array<uint32_t, 3>>;

struct Product {
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulHeuristicResult_t choice{};
};

// The largest power of two up to 16 that divides the address.
uint32_t AlignmentOf(const void* p) {
  const uintptr_t bits = reinterpret_cast<uintptr_t>(p) | 16;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

class CudaGemm final : public GemmKernels {
 public:
  CudaGemm(GpuStream* stream, LibraryFolders where, bool allow_tf32)
      : stream_(stream), where_(std::move(where)), allow_tf32_(allow_tf32) {}
  ~CudaGemm() override {
    for (const auto& [key, product] : products_) Destroy(product);
    if (handle_ != nullptr) lt_.Destroy(handle_);
  }
  CudaGemm(const CudaGemm&) = delete;
  CudaGemm& operator=(const CudaGemm&) = delete;

  void Gemm(DType dtype, const GemmArgs& args) override {
    if (args.m <= 0 || args.n <= 0) return;
    if (!IsFloating(dtype)) {
      throw Error(ExitCode::kBug, "cuda product called with dtype " + std::string(Name(dtype)) +
                                      ", wanted a floating one");
    }
    // cuBLASLt has no epilogues in double.
    const bool fused = dtype != DType::kFloat64 && args.k > 0;
    if (args.k > 0) Multiply(dtype, args, fused ? EpilogueOf(args) : CUBLASLT_EPILOGUE_DEFAULT);
    const bool rest = args.bias != nullptr || args.activation != Activation::kIdentity;
    if (args.k > 0 && (fused || !rest)) return;
    WithAnyFloat(ResultOf(dtype, args), [&](auto t) { Finish<decltype(t)>(args); });
  }

 private:
  static DType ResultOf(DType dtype, const GemmArgs& args) {
    return args.wide_c ? AccumulatorOf(dtype) : dtype;
  }
  static cudaDataType_t TypeOf(DType dtype) {
    switch (dtype) {
      case DType::kFloat64:
        return CUDA_R_64F;
      case DType::kFloat16:
        return CUDA_R_16F;
      case DType::kBfloat16:
        return CUDA_R_16BF;
      default:
        return CUDA_R_32F;
    }
  }
  cublasComputeType_t ComputeOf(DType dtype) const {
    if (dtype == DType::kFloat64) return CUBLAS_COMPUTE_64F;
    const bool rounds = dtype == DType::kFloat32 && allow_tf32_;
    return rounds ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  }
  static cublasLtEpilogue_t EpilogueOf(const GemmArgs& args) {
    const bool relu = args.activation == Activation::kRelu;
    if (args.bias != nullptr) return relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
    return relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT;
  }

  // Bias and activation, and the zeros of a product over nothing.
  template <typename T>
  void Finish(const GemmArgs& args) {
    stream_->ForEach(
        "bias and activation", args.m * args.n,
        math::MatrixEpilogueMap<T>{math::Divisor(args.n), args.ldc, args.k > 0 || args.beta != 0,
                                   static_cast<const T*>(args.bias),
                                   args.activation == Activation::kRelu, static_cast<T*>(args.c)});
  }

  void Open() {
    if (handle_ != nullptr) return;
    lt_ = LoadCublasLt(where_);
    lt_.Check(lt_.Create(&handle_), "starting");
  }

  void Multiply(DType dtype, const GemmArgs& args, cublasLtEpilogue_t epilogue) {
    Open();
    void* const workspace = stream_->Scratch(kWorkspace);
    const Key key{dtype,        ResultOf(dtype, args),
                  args.trans_a, args.trans_b,
                  args.m,       args.n,
                  args.k,       args.lda,
                  args.ldb,     args.ldc,
                  epilogue,     {AlignmentOf(args.a), AlignmentOf(args.b), AlignmentOf(args.c)}};
    auto found = products_.find(key);
    if (found == products_.end()) {
      found = products_.emplace(key, Make(dtype, args, epilogue, std::get<11>(key))).first;
    }
    const Product& p = found->second;
    if (args.bias != nullptr && epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
      Set(p.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, args.bias);
    }
    const double one = 1.0, beta = args.beta;
    const float one_float = 1.0F, beta_float = static_cast<float>(args.beta);
    const bool is_double = dtype == DType::kFloat64;
    const void* const alpha = is_double ? static_cast<const void*>(&one) : &one_float;
    const void* const scale = is_double ? static_cast<const void*>(&beta) : &beta_float;
    lt_.Check(lt_.Matmul(handle_, p.desc, alpha, args.b, p.a, args.a, p.b, scale, args.c, p.c,
                         args.c, p.c, &p.choice.algo, workspace, kWorkspace, stream_->handle()),
              "a product");
  }

  template <typename Value>
  void Set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, Value value) {
    lt_.Check(lt_.MatmulDescSetAttribute(desc, attribute, &value, sizeof(value)),
              "describing a product");
  }
  template <typename Value>
  void Set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
           Value value) {
    lt_.Check(lt_.MatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)),
              "describing a product");
  }

  static cublasOperation_t OpOf(const ColumnMajor& m) {
    return m.transpose ? CUBLAS_OP_T : CUBLAS_OP_N;
  }
  cublasLtMatrixLayout_t LayoutOf(cudaDataType_t type, const ColumnMajor& m) {
    cublasLtMatrixLayout_t layout = nullptr;
    lt_.Check(lt_.MatrixLayoutCreate(&layout, type, static_cast<uint64_t>(m.rows),
                                     static_cast<uint64_t>(m.columns), m.ld),
              "describing a matrix");
    return layout;
  }

  Product Make(DType dtype, const GemmArgs& g, cublasLtEpilogue_t epilogue,
               const std::array<uint32_t, 3>& alignment) {
    const bool is_double = dtype == DType::kFloat64;
    const cudaDataType_t type = TypeOf(dtype), result = TypeOf(ResultOf(dtype, g));
    Product p;
    try {
      lt_.Check(
          lt_.MatmulDescCreate(&p.desc, ComputeOf(dtype), is_double ? CUDA_R_64F : CUDA_R_32F),
          "describing a product");
      const ColumnMajorProduct product = ColumnMajorOf(g);
      Set(p.desc, CUBLASLT_MATMUL_DESC_TRANSA, OpOf(product.left));
      Set(p.desc, CUBLASLT_MATMUL_DESC_TRANSB, OpOf(product.right));
      Set(p.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
      p.a = LayoutOf(type, product.left);
      p.b = LayoutOf(type, product.right);
      p.c = LayoutOf(result, product.result);
      Choose(&p, alignment);
    } catch (...) {
      Destroy(p);
      throw;
    }
    return p;
  }

  void Choose(Product* p, const std::array<uint32_t, 3>& alignment) {
    cublasLtMatmulPreference_t preference = nullptr;
    lt_.Check(lt_.MatmulPreferenceCreate(&preference), "choosing a product");
    int count = 0;
    try {
      Set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspace);
      // Sums in place are added in the order in which blocks end: not the same bits every time.
      const uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_MASK & ~CUBLASLT_REDUCTION_SCHEME_INPLACE;
      Set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, schemes);
      Set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment[1]);
      Set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment[0]);
      Set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment[2]);
      Set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment[2]);
      lt_.Check(lt_.MatmulAlgoGetHeuristic(handle_, p->desc, p->a, p->b, p->c, p->c, preference, 1,
                                           &p->choice, &count),
                "choosing a product");
    } catch (...) {
      lt_.MatmulPreferenceDestroy(preference);
      throw;
    }
    lt_.MatmulPreferenceDestroy(preference);
    if (count == 0) throw DeviceError("cuBLASLt " + lt_.version + " has no kernel for a product");
  }

  void Destroy(const Product& p) const {
    if (p.a != nullptr) lt_.MatrixLayoutDestroy(p.a);
    if (p.b != nullptr) lt_.MatrixLayoutDestroy(p.b);
    if (p.c != nullptr) lt_.MatrixLayoutDestroy(p.c);
    if (p.desc != nullptr) lt_.MatmulDescDestroy(p.desc);
  }

  GpuStream* stream_;
  LibraryFolders where_;
  bool allow_tf32_;
  CublasLt lt_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, Product> products_;
};

}  // namespace

std::unique_ptr<GemmKernels> MakeGemm(GpuStream* stream, const LibraryFolders& where,
                                      bool allow_tf32) {
  return std::make_unique<CudaGemm>(stream, where, allow_tf32);
}

}  // namespace lockstep::cuda
