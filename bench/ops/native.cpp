// The mechanisms of in_place.py, products.py and placed_block.py in C++; native.py compiles this file and says what each operator does.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace {

// One group's channels of one frame in memory: `runs` pieces of `bytes`, `stride` bytes apart.
struct Frame {
  int64_t runs, bytes, stride;
};

constexpr int64_t kAtOnce = 1 << 14;  // bytes that one thread takes through all frames before it goes on

Frame frame_of(const at::Tensor& channels) {  // [N, T, F, H, W]
  const auto frame = channels.select(0, 0).select(0, 0);
  const int64_t size = frame.element_size();
  if (frame.is_contiguous()) {
    // one run, cut into pieces that threads can share
    return {frame.numel(), size, size};
  }
  const auto pixels = frame.permute({1, 2, 0});  // channels_last: a run per pixel
  TORCH_CHECK(
      pixels.stride(2) == 1 && pixels.stride(0) == pixels.size(1) * pixels.stride(1),
      "frames must be contiguous or channels_last");
  return {pixels.size(0) * pixels.size(1), pixels.size(2) * size, pixels.stride(1) * size};
}

// Runs `first` to `last` of a frame; where runs touch they are one piece.
void copy_runs(char* to, int64_t to_stride, const char* from, int64_t from_stride, int64_t bytes, int64_t count) {
  if (to_stride == bytes && from_stride == bytes) {
    std::memcpy(to, from, count * bytes);
    return;
  }
  for (int64_t run = 0; run < count; ++run) {
    std::memcpy(to + run * to_stride, from + run * from_stride, bytes);
  }
}

void clear_runs(char* to, int64_t stride, int64_t bytes, int64_t count) {
  if (stride == bytes) {
    std::memset(to, 0, count * bytes);
    return;
  }
  for (int64_t run = 0; run < count; ++run) {
    std::memset(to + run * stride, 0, bytes);
  }
}

// Frame t receives frame t + offset. Forth: the first frame in that order is saved in `fallen` and the last cleared;
// back: the last one comes from `fallen`.
void move(const at::Tensor& channels, const at::Tensor& fallen, int64_t offset, bool back) {
  const int64_t clips = channels.size(0), frames = channels.size(1), size = channels.element_size();
  const Frame frame = frame_of(channels);
  const int64_t clip_stride = channels.stride(0) * size, step = offset * channels.stride(1) * size;
  const int64_t begin = offset > 0 ? 0 : (frames - 1) * channels.stride(1) * size;
  const int64_t kept = fallen.stride(0) * size;
  char* const data = static_cast<char*>(channels.data_ptr());
  char* const saved = static_cast<char*>(fallen.data_ptr());
  const int64_t share = std::max<int64_t>(1, kAtOnce / frame.bytes), shares = (frame.runs + share - 1) / share;
  at::parallel_for(0, clips * shares, 1, [&](int64_t first, int64_t last) {
    for (int64_t work = first; work < last; ++work) {
      const int64_t run = work % shares * share, count = std::min(share, frame.runs - run);
      char* at = data + work / shares * clip_stride + begin + run * frame.stride;
      char* const aside = saved + work / shares * kept + run * frame.bytes;
      if (!back) {
        copy_runs(aside, frame.bytes, at, frame.stride, frame.bytes, count);
      }
      for (int64_t t = 1; t < frames; ++t, at += step) {
        copy_runs(at, frame.stride, at + step, frame.stride, frame.bytes, count);
      }
      if (back) {
        copy_runs(at, frame.stride, aside, frame.bytes, frame.bytes, count);
      } else {
        clear_runs(at, frame.stride, frame.bytes, count);
      }
    }
  });
}

at::Tensor shift_(at::Tensor channels, int64_t offset) {
  auto fallen = at::empty({channels.size(0), channels[0][0].numel()}, channels.options());
  if (channels.numel() > 0) {
    move(channels, fallen, offset, false);
  }
  return fallen;
}

void restore_(at::Tensor channels, const at::Tensor& fallen, int64_t offset) {
  if (channels.numel() > 0) {
    move(channels, fallen, -offset, true);
  }
}

// y[target] (+)= weight * x[source], for one part of the positions; y and x as matrices, channels first or last.
void multiply_part(
    at::Tensor y, const at::Tensor& x, const at::Tensor& weight, int64_t first, int64_t count, bool rows, bool add) {
  const auto part = rows ? x.narrow(1, first, count) : x.narrow(0, first, count);
  const auto own = weight.narrow(1, first, count);
  if (!add) {
    rows ? at::mm_out(y, part, own.t()) : at::mm_out(y, own, part);
  } else {
    rows ? y.addmm_(part, own.t()) : y.addmm_(own, part);
  }
}

at::Tensor shifted_product(
    const at::Tensor& frames, const at::Tensor& weight, int64_t num_segments, int64_t fold, bool bidirectional) {
  const bool rows = !frames.is_contiguous() && frames.is_contiguous(at::MemoryFormat::ChannelsLast);
  TORCH_CHECK(rows || frames.is_contiguous(), "frames must be contiguous or channels_last");
  const int64_t count = frames.size(0), channels = frames.size(1), pixels = frames.size(2) * frames.size(3);
  auto out = at::empty(
      {count, weight.size(0), frames.size(2), frames.size(3)}, frames.options(),
      rows ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
  const auto matrix = [rows](const at::Tensor& t) {
    return rows ? t.permute({0, 2, 3, 1}).flatten(1, 2) : t.flatten(2);
  };
  const auto x = matrix(frames), y = matrix(out);
  const int64_t moved = bidirectional ? 2 * fold : fold;
  const int64_t row = weight.size(0) * frames.element_size();
  // positions whose sum is small enough to stay in a core's cache until its three products are added up
  const int64_t tile = std::clamp<int64_t>((1 << 18) / row, 1, pixels), tiles = (pixels + tile - 1) / tile;
  at::parallel_for(0, count * tiles, 1, [&](int64_t begin, int64_t end) {
    at::AutoDispatchBelowADInplaceOrView guard;
    for (int64_t work = begin; work < end; ++work) {
      const int64_t frame = work / tiles, first = work % tiles * tile, size = std::min(tile, pixels - first);
      const int64_t t = frame % num_segments;
      const auto piece = [&](const at::Tensor& m, int64_t of) { return m.select(0, of).narrow(rows ? 0 : 1, first, size); };
      const auto target = piece(y, frame);
      multiply_part(target, piece(x, frame), weight, moved, channels - moved, rows, false);
      if (fold > 0 && bidirectional && t + 1 < num_segments) {
        multiply_part(target, piece(x, frame + 1), weight, 0, fold, rows, true);
      }
      if (fold > 0 && t > 0) {
        multiply_part(target, piece(x, frame - 1), weight, moved - fold, fold, rows, true);
      }
    }
  });
  return out;
}

// What follows belongs to placed_block.py: the two passes over a block's output that every residual network makes anyway,
// its addition and its ReLU, reading and writing moved channels in the frame where they lie or are wanted.

using bf16 = at::BFloat16;

inline float rectified(float value) { return value < 0 ? 0.0f : value; }  // NaN stays NaN

inline bf16 rectified(bf16 value) {  // on the bits, which vectorises; a negative NaN stays one
  const uint16_t bits = value.x;
  return bf16((bits & 0x8000) && (bits & 0x7fff) <= 0x7f80 ? uint16_t{0} : bits, bf16::from_bits());
}

inline float sum(float a, float b) { return a + b; }

inline bf16 sum(bf16 a, bf16 b) {
  const float exact = static_cast<float>(a) + static_cast<float>(b);
  uint32_t bits;
  std::memcpy(&bits, &exact, sizeof bits);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;  // to nearest, ties to even, as PyTorch does
  return bf16(exact == exact ? static_cast<uint16_t>(rounded) : uint16_t{0x7fc0}, bf16::from_bits());
}

// Frames [M, C, H, W] in memory as channels that move together: the first, the second group, and those that stay.
struct Part {
  int64_t offset;  // frame t has moved here from frame t + offset; 0: it stays
  int64_t begin, run, stride, runs;  // elements: where its runs begin in a frame, their length, their distance; how many
  int64_t kept;  // its place in what has fallen off the ends
};

struct Frames {
  int64_t clips, length, size;  // clips of `length` frames of `size` elements
  bool rows;  // channels_last
  std::vector<Part> parts;
  int64_t moved;  // elements of all moving channels of a frame
};

Frames frames_of(const at::Tensor& x, int64_t num_segments, int64_t fold, bool bidirectional) {
  const bool rows = !x.is_contiguous() && x.is_contiguous(at::MemoryFormat::ChannelsLast);
  TORCH_CHECK(rows || x.is_contiguous(), "frames must be contiguous or channels_last");
  TORCH_CHECK(x.size(0) % num_segments == 0, x.size(0), " frames are not a whole number of clips of ", num_segments);
  const int64_t channels = x.size(1), pixels = x.size(2) * x.size(3), ways = fold == 0 ? 0 : bidirectional ? 2 : 1;
  Frames frames{x.size(0) / num_segments, num_segments, channels * pixels, rows, {}, ways * fold * pixels};
  const auto add = [&](int64_t offset, int64_t first, int64_t count) {
    if (count == 0) {
      return;
    }
    frames.parts.push_back(
        rows ? Part{offset, first, count, channels, pixels, first * pixels}
             : Part{offset, first * pixels, count * pixels, count * pixels, 1, first * pixels});
  };
  if (ways == 2) {
    add(1, 0, fold);
  }
  if (ways > 0) {
    add(-1, (ways - 1) * fold, fold);
  }
  add(0, ways * fold, channels - ways * fold);
  return frames;
}

// Calls work(clip, part, first run, runs, first element, elements of each run), sharing all parts out to the threads.
// Where a pixel's channels lie side by side, all parts of it follow one another: each frame is then read as one stream.
template <typename Work>
void share_out(const Frames& frames, int64_t bytes, const Work& work) {
  if (frames.rows) {
    const int64_t pixels = frames.parts[0].runs, row = frames.size / pixels * bytes;
    const int64_t share = std::clamp<int64_t>(kAtOnce / row, 1, pixels), shares = (pixels + share - 1) / share;
    const bool whole = frames.parts.size() == 1 && frames.parts[0].run == frames.parts[0].stride;
    at::parallel_for(0, frames.clips * shares, 1, [&](int64_t begin, int64_t end) {
      for (int64_t at = begin; at < end; ++at) {
        const int64_t first = at % shares * share, last = std::min(first + share, pixels);
        if (whole) {
          work(at / shares, frames.parts[0], first, 1, 0, (last - first) * frames.parts[0].run);
          continue;
        }
        for (int64_t pixel = first; pixel < last; ++pixel) {
          for (const auto& part : frames.parts) {
            work(at / shares, part, pixel, 1, 0, part.run);
          }
        }
      }
    });
    return;
  }
  const int64_t share = kAtOnce / bytes;
  std::vector<int64_t> ends;  // of the parts' shares
  for (const auto& part : frames.parts) {
    ends.push_back((ends.empty() ? 0 : ends.back()) + (part.run + share - 1) / share);
  }
  at::parallel_for(0, frames.clips * ends.back(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const int64_t own = at % ends.back();
      const size_t which = std::upper_bound(ends.begin(), ends.end(), own) - ends.begin();
      const auto& part = frames.parts[which];
      const int64_t first = (own - (which == 0 ? 0 : ends[which - 1])) * share;
      work(at / ends.back(), part, 0, 1, first, std::min(share, part.run - first));
    }
  });
}

// to[i] = rectified(from[i]), run by run.
template <typename T>
void rectify_runs(T* to, int64_t to_stride, const T* from, int64_t from_stride, int64_t size, int64_t runs) {
  for (int64_t run = 0; run < runs; ++run) {
    for (int64_t i = 0; i < size; ++i) {
      to[run * to_stride + i] = rectified(from[run * from_stride + i]);
    }
  }
}

template <typename T>
void add_runs(T* to, int64_t to_stride, const T* from, int64_t from_stride, int64_t size, int64_t runs) {
  for (int64_t run = 0; run < runs; ++run) {
    for (int64_t i = 0; i < size; ++i) {
      to[run * to_stride + i] = sum(to[run * to_stride + i], from[run * from_stride + i]);
    }
  }
}

template <typename T>
void clear_elements(T* to, int64_t stride, int64_t size, int64_t runs) {
  for (int64_t run = 0; run < runs; ++run) {
    std::memset(to + run * stride, 0, size * sizeof(T));
  }
}

template <typename T>
void rectify_placed(T* data, T* fallen, const Frames& frames) {
  share_out(frames, sizeof(T), [&](int64_t clip, const Part& part, int64_t run, int64_t runs, int64_t first, int64_t size) {
    T* const begin = data + clip * frames.length * frames.size + part.begin + run * part.stride + first;
    if (part.offset == 0) {
      for (int64_t t = 0; t < frames.length; ++t) {
        T* const at = begin + t * frames.size;
        rectify_runs(at, part.stride, at, part.stride, size, runs);
      }
      return;
    }
    T* at = part.offset > 0 ? begin : begin + (frames.length - 1) * frames.size;
    T* const aside = fallen + clip * frames.moved + part.kept + run * part.run + first;
    const int64_t step = part.offset * frames.size;
    rectify_runs(aside, part.run, at, part.stride, size, runs);
    for (int64_t t = 1; t < frames.length; ++t, at += step) {
      rectify_runs(at, part.stride, at + step, part.stride, size, runs);
    }
    clear_elements(at, part.stride, size, runs);
  });
}

template <typename T>
void add_placed(T* out, const T* placed, const T* fallen, const Frames& frames) {
  share_out(frames, sizeof(T), [&](int64_t clip, const Part& part, int64_t run, int64_t runs, int64_t first, int64_t size) {
    const int64_t begin = clip * frames.length * frames.size + part.begin + run * part.stride + first;
    for (int64_t t = 0; t < frames.length; ++t) {
      T* const to = out + begin + t * frames.size;
      const int64_t at = t - part.offset;  // where the present frame lies
      if (at >= 0 && at < frames.length) {
        add_runs(to, part.stride, placed + begin + at * frames.size, part.stride, size, runs);
      } else {
        const T* const aside = fallen + clip * frames.moved + part.kept + run * part.run + first;
        add_runs(to, part.stride, aside, part.run, size, runs);
      }
    }
  });
}

at::Tensor relu_placed_(at::Tensor features, int64_t num_segments, int64_t fold, bool bidirectional) {
  const auto frames = frames_of(features, num_segments, fold, bidirectional);
  auto fallen = at::empty({frames.clips, frames.moved}, features.options());
  if (features.numel() == 0) {
    return fallen;
  }
  if (features.scalar_type() == at::kFloat) {
    rectify_placed(features.data_ptr<float>(), fallen.data_ptr<float>(), frames);
  } else {
    TORCH_CHECK(features.scalar_type() == at::kBFloat16, "features must be float32 or bfloat16");
    rectify_placed(features.data_ptr<bf16>(), fallen.data_ptr<bf16>(), frames);
  }
  return fallen;
}

void add_placed_(
    at::Tensor out, const at::Tensor& placed, const at::Tensor& fallen, int64_t num_segments, int64_t fold,
    bool bidirectional) {
  const auto frames = frames_of(out, num_segments, fold, bidirectional);
  const auto format = frames.rows ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  TORCH_CHECK(
      placed.sizes() == out.sizes() && placed.is_contiguous(format) && placed.scalar_type() == out.scalar_type(),
      "both must have one shape, dtype and memory format");
  TORCH_CHECK(
      fallen.is_contiguous() && fallen.size(0) == frames.clips && fallen.size(1) == frames.moved,
      "what has fallen off the ends is of another shape");
  if (out.numel() == 0) {
    return;
  }
  if (out.scalar_type() == at::kFloat) {
    add_placed(out.data_ptr<float>(), placed.data_ptr<float>(), fallen.data_ptr<float>(), frames);
  } else {
    TORCH_CHECK(out.scalar_type() == at::kBFloat16, "features must be float32 or bfloat16");
    add_placed(out.data_ptr<bf16>(), placed.data_ptr<bf16>(), fallen.data_ptr<bf16>(), frames);
  }
}

}  // namespace

TORCH_LIBRARY(shiftbench_native, library) {
  library.def("shift_(Tensor(a!) channels, int offset) -> Tensor");
  library.def("restore_(Tensor(a!) channels, Tensor fallen, int offset) -> ()");
  library.def("relu_placed_(Tensor(a!) features, int num_segments, int fold, bool bidirectional) -> Tensor");
  library.def(
      "add_placed_(Tensor(a!) out, Tensor placed, Tensor fallen, int num_segments, int fold, bool bidirectional) -> ()");
  library.def(
      "shifted_product(Tensor frames, Tensor weight, int num_segments, int fold, bool bidirectional) -> Tensor");
}

TORCH_LIBRARY_IMPL(shiftbench_native, CPU, library) {
  library.impl("shift_", shift_);
  library.impl("restore_", restore_);
  library.impl("relu_placed_", relu_placed_);
  library.impl("add_placed_", add_placed_);
  library.impl("shifted_product", shifted_product);
}
