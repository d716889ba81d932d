#include "kernels/cpu/conv/onednn_conv.h"

#include <algorithm>
#include <dnnl.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/parallel.h"
#include "kernels/error.h"
#include "kernels/unavailable.h"

namespace lockstep::cpu {
namespace {

using dnnl::memory;
using Forward = dnnl::convolution_forward;
using BackwardData = dnnl::convolution_backward_data;
using BackwardWeights = dnnl::convolution_backward_weights;

// oneDNN's names for one memory order; two where extents coincide, because its generators compare
// names.
std::vector<memory::format_tag> Tags(int64_t c, Layout layout) {
  using Tag = memory::format_tag;
  std::vector<Tag> tags;
  if (layout.block == 8) tags.push_back(Tag::nChw8c);
  if (layout.block == 16) tags.push_back(Tag::nChw16c);
  if (layout.block == 1) tags.push_back(Tag::nchw);
  if (layout.block == c) tags.push_back(Tag::nhwc);
  return tags;
}

memory::desc Describe(const memory::dims& dims, memory::format_tag tag) {
  return memory::desc(dims, memory::data_type::f32, tag);
}

memory::desc Weights(const ConvShape& s, bool plain) {
  using Tag = memory::format_tag;
  if (s.groups == 1) return Describe({s.k, s.c, s.kh, s.kw}, plain ? Tag::oihw : Tag::any);
  return Describe({s.groups, s.k / s.groups, s.c / s.groups, s.kh, s.kw},
                  plain ? Tag::goihw : Tag::any);
}

dnnl::primitive_attr Attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

// In a walk of its own: oneDNN's fused one turns NaN into 0 and so would hide a network that
// diverged.
void ReluInPlace(int64_t size, float* y) {
  ParallelFor(size, kGrain, [y](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = y[i] < 0.0F ? 0.0F : y[i];
  });
}

// A convolution as oneDNN is asked for it; the answers are empty where it has none.
struct Question {
  const ConvShape& s;
  dnnl::algorithm algorithm;
  const dnnl::engine& engine;
  memory::desc x, w, y;

  memory::dims stride() const { return {s.stride_h, s.stride_w}; }
  memory::dims pad() const { return {s.pad_h, s.pad_w}; }
  memory::dims dilation() const { return {s.dilation_h - 1, s.dilation_w - 1}; }

  Forward::primitive_desc ForwardPass() const {
    const memory::desc bias = Describe({s.k}, memory::format_tag::a);
    return {Forward::desc(dnnl::prop_kind::forward_training, algorithm, x, w, bias, y, stride(),
                          dilation(), pad(), pad()),
            Attributes(), engine, true};
  }
  // The backward passes want the forward one as a hint.
  Forward::primitive_desc Hint() const {
    return {Forward::desc(dnnl::prop_kind::forward_training, algorithm, x, w, y, stride(),
                          dilation(), pad(), pad()),
            Attributes(), engine, true};
  }
  BackwardData::primitive_desc BackwardDataPass() const {
    const Forward::primitive_desc hint = Hint();
    if (!hint) return {};
    return {BackwardData::desc(algorithm, x, w, y, stride(), dilation(), pad(), pad()),
            Attributes(), engine, hint, true};
  }
  BackwardWeights::primitive_desc BackwardWeightsPass() const {
    const Forward::primitive_desc hint = Hint();
    if (!hint) return {};
    return {BackwardWeights::desc(algorithm, x, w, y, stride(), dilation(), pad(), pad()),
            Attributes(), engine, hint, true};
  }
};

// What the answers for the three passes have in common.
struct Answer {
  dnnl::primitive_desc_base pd;
  memory::desc x, w, y;  // w: as the pass reads or writes the weights
  size_t scratch_bytes = 0;
};

template <typename PrimitiveDesc>
bool IsGenerated(const PrimitiveDesc& pd) {
  if (!pd) return false;
  const std::string_view name = pd.impl_info_str();
  return (name.find("jit") != name.npos || name.find("brg") != name.npos) &&
         name.find("gemm") == name.npos;
}

std::optional<Answer> Ask(const Question& question, ConvPass pass) {
  Answer answer{{}, question.x, {}, question.y};
  const auto accept = [&answer](const auto& pd, const memory::desc& w) {
    answer.pd = pd;
    answer.w = w;
    answer.scratch_bytes = pd.scratchpad_desc().get_size();
  };
  if (pass == ConvPass::kForward) {
    const auto pd = question.ForwardPass();
    if (!IsGenerated(pd)) return std::nullopt;
    accept(pd, pd.weights_desc());
  } else if (pass == ConvPass::kBackwardData) {
    const auto pd = question.BackwardDataPass();
    if (!IsGenerated(pd)) return std::nullopt;
    accept(pd, pd.weights_desc());
  } else {
    const auto pd = question.BackwardWeightsPass();
    if (!IsGenerated(pd)) return std::nullopt;
    accept(pd, pd.diff_weights_desc());
  }
  return answer;
}

std::optional<Answer> Find(const ConvShape& s, ConvPass pass, OnednnAlgorithm algorithm, Layout x,
                           Layout y, const dnnl::engine& engine) {
  if (s.dtype != DType::kFloat32) return std::nullopt;
  const auto kind = algorithm == OnednnAlgorithm::kDirect ? dnnl::algorithm::convolution_direct
                                                          : dnnl::algorithm::convolution_winograd;
  for (const auto x_tag : Tags(s.c, x)) {
    for (const auto y_tag : Tags(s.k, y)) {
      try {
        const Question question{s,
                                kind,
                                engine,
                                Describe({s.n, s.c, s.h, s.w}, x_tag),
                                Weights(s, false),
                                Describe({s.n, s.k, s.out_h(), s.out_w()}, y_tag)};
        if (auto answer = Ask(question, pass)) return answer;
      } catch (const dnnl::error&) {
        // Not even describable, e.g. Winograd of a 5x5 filter.
      }
    }
  }
  return std::nullopt;
}

size_t RoundUp(size_t bytes) { return (bytes + 63) / 64 * 64; }

class OnednnConv : public ConvKernel {
 public:
  OnednnConv(const ConvShape& s, ConvPass pass, dnnl::engine engine, Answer answer)
      : pass_(pass),
        plain_w_(Weights(s, true)),
        engine_(std::move(engine)),
        stream_(engine_),
        answer_(std::move(answer)),
        y_size_(s.n * s.k * s.out_h() * s.out_w()),
        run_(answer_.pd.get()),
        no_bias_(static_cast<size_t>(s.k), 0.0F) {
    const bool writes_w = pass == ConvPass::kBackwardWeights;
    if (writes_w && answer_.w == plain_w_) return;
    const memory::desc& from = writes_w ? answer_.w : plain_w_;
    const memory::desc& to = writes_w ? plain_w_ : answer_.w;
    reorder_ = dnnl::reorder(dnnl::reorder::primitive_desc(engine_, from, engine_, to));
  }

  size_t scratch_bytes() const override {
    return RoundUp(answer_.scratch_bytes) +
           (pass_ == ConvPass::kBackwardWeights && reorder_ ? answer_.w.get_size() : 0);
  }
  size_t prepared_bytes() const override {
    return pass_ == ConvPass::kBackwardWeights ? 0 : answer_.w.get_size();
  }

  void PrepareWeights(const void* weights, void* prepared) override {
    Reorder(plain_w_, const_cast<void*>(weights), answer_.w, prepared);
  }

  void Run(const ConvBuffers& b) override {
    try {
      if (pass_ == ConvPass::kForward) {
        RunForward(b);
      } else if (pass_ == ConvPass::kBackwardData) {
        Execute(run_, b,
                {{DNNL_ARG_DIFF_SRC, At(answer_.x, b.x)},
                 {DNNL_ARG_WEIGHTS, At(answer_.w, b.weights)},
                 {DNNL_ARG_DIFF_DST, At(answer_.y, b.y)}});
      } else {
        RunBackwardWeights(b);
      }
    } catch (const dnnl::error& e) {
      const std::string told = std::string("oneDNN convolution failed: ") + e.what();
      if (e.status == dnnl_out_of_memory) throw UnavailableError(told);
      throw DeviceError(told, ExitCode::kBug);
    }
  }

 private:
  memory At(const memory::desc& desc, const void* data) const {
    return memory(desc, engine_, const_cast<void*>(data));
  }

  void Execute(const dnnl::primitive& primitive, const ConvBuffers& b,
               std::unordered_map<int, memory> arguments) {
    const auto bytes = static_cast<int64_t>(answer_.scratch_bytes);
    const memory::desc scratch({bytes}, memory::data_type::u8, memory::format_tag::a);
    if (bytes > 0) arguments[DNNL_ARG_SCRATCHPAD] = At(scratch, b.scratch);
    primitive.execute(stream_, arguments);
    stream_.wait();
  }

  void RunForward(const ConvBuffers& b) {
    const memory::desc bias =
        Describe({static_cast<int64_t>(no_bias_.size())}, memory::format_tag::a);
    Execute(run_, b,
            {{DNNL_ARG_SRC, At(answer_.x, b.x)},
             {DNNL_ARG_WEIGHTS, At(answer_.w, b.weights)},
             {DNNL_ARG_BIAS, At(bias, b.bias != nullptr ? b.bias : no_bias_.data())},
             {DNNL_ARG_DST, At(answer_.y, b.y)}});
    if (b.activation == Activation::kRelu) ReluInPlace(y_size_, static_cast<float*>(b.y));
  }

  void RunBackwardWeights(const ConvBuffers& b) {
    void* own = static_cast<char*>(b.scratch) + RoundUp(answer_.scratch_bytes);
    void* dw = reorder_ ? own : b.dw;
    Execute(run_, b,
            {{DNNL_ARG_SRC, At(answer_.x, b.x)},
             {DNNL_ARG_DIFF_WEIGHTS, At(answer_.w, dw)},
             {DNNL_ARG_DIFF_DST, At(answer_.y, b.y)}});
    if (reorder_) Reorder(answer_.w, dw, plain_w_, b.dw);
  }

  void Reorder(const memory::desc& from, void* source, const memory::desc& to, void* target) {
    reorder_.execute(stream_, {{DNNL_ARG_FROM, At(from, source)}, {DNNL_ARG_TO, At(to, target)}});
    stream_.wait();
  }

  const ConvPass pass_;
  const memory::desc plain_w_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  const Answer answer_;
  const int64_t y_size_;
  dnnl::primitive run_;
  dnnl::primitive reorder_;  // between plain_w_ and answer_.w, where they differ
  const std::vector<float> no_bias_;
};

}  // namespace

bool HasOnednnConv(const ConvShape& shape, ConvPass pass, OnednnAlgorithm algorithm, Layout x,
                   Layout y) {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return Find(shape, pass, algorithm, x, y, engine).has_value();
}

std::unique_ptr<ConvKernel> MakeOnednnConv(const ConvShape& shape, ConvPass pass,
                                           OnednnAlgorithm algorithm, Layout x, Layout y) {
  try {
    dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    if (auto answer = Find(shape, pass, algorithm, x, y, engine)) {
      return std::make_unique<OnednnConv>(shape, pass, std::move(engine), std::move(*answer));
    }
  } catch (const dnnl::error& e) {
    throw UnavailableError(std::string("oneDNN convolution could not be generated: ") + e.what());
  }
  throw UnavailableError(
      "oneDNN has no generated convolution for this shape and these layouts; "
      "choose another algorithm");
}

}  // namespace lockstep::cpu
