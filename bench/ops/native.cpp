// The mechanisms of in_place.py, products.py and placed_block.py in C++; native.py compiles this file and says what each operator does.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>
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

// What follows belongs to placed_block.py: the end of a residual block, its last normalisation, addition and ReLU, in one
// pass that reads the shortcut's moved channels where they lie, and writes its own where they are wanted.

using bf16 = at::BFloat16;

inline float wide(float value) { return value; }

inline float wide(bf16 value) { return static_cast<float>(value); }

template <typename T>
T narrow(float value);

template <>
inline float narrow(float value) {
  return value;
}

template <>
inline bf16 narrow(float value) {  // on the bits, which vectorises: to nearest, ties to even, as PyTorch does
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return bf16(value == value ? static_cast<uint16_t>(rounded) : uint16_t{0x7fc0}, bf16::from_bits());
}

// Channels that lie alike. Frame t of the shortcut holds frame t + read of it, frame t of the output will hold frame
// t + write; 0: its own.
struct Segment {
  int64_t first, last, read, write;
};

std::vector<Segment> segments_of(
    int64_t channels, int64_t read_ahead, int64_t read_behind, int64_t write_ahead, int64_t write_behind) {
  std::vector<int64_t> ends{0, read_ahead, read_ahead + read_behind, write_ahead, write_ahead + write_behind, channels};
  std::sort(ends.begin(), ends.end());
  TORCH_CHECK(ends.front() == 0 && ends.back() == channels, "more channels move than there are");
  const auto offset = [](int64_t channel, int64_t ahead, int64_t behind) -> int64_t {
    return channel < ahead ? 1 : channel < ahead + behind ? -1 : 0;
  };
  std::vector<Segment> segments;
  for (size_t i = 1; i < ends.size(); ++i) {
    const int64_t first = ends[i - 1];
    if (first < ends[i]) {
      segments.push_back(
          {first, ends[i], offset(first, read_ahead, read_behind), offset(first, write_ahead, write_behind)});
    }
  }
  return segments;
}

// A block's end: frames [clips * length, channels, pixels]; of each channel, scale and offset.
template <typename T>
struct End {
  int64_t clips, length, channels, pixels;
  T* out;
  const T* shortcut;
  const float *scale, *offset, *shortcut_scale;
  float least;  // 0 with a ReLU, else -infinity
  const T* held;  // what has fallen off the ends of the shortcut's clips, and of the output's; how many channels of it
  T* fallen;
  int64_t held_channels, fallen_channels;
};

// to[i] = from[i] * scale + offset + other[i] * shortcut_scale. kRows: neighbours in memory are channels, else pixels.
template <typename T, bool kRows, bool kScaled>
void finish_run(T* to, const T* from, const T* other, const End<T>& end, int64_t channel, int64_t size) {
  const float* const scale = end.scale + channel;
  const float* const offset = end.offset + channel;
  const float* const shortcut_scale = kScaled ? end.shortcut_scale + channel : nullptr;
  const float least = end.least;
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) {
    const int64_t own = kRows ? i : 0;
    const float shortcut = kScaled ? wide(other[i]) * shortcut_scale[own] : wide(other[i]);
    const float value = wide(from[i]) * scale[own] + offset[own] + shortcut;
    to[i] = narrow<T>(value < least ? least : value);  // NaN stays NaN
  }
}

// One segment at one pixel (kRows), or one channel of it, through all frames of a clip.
template <typename T, bool kRows, bool kScaled>
void finish_frames(const End<T>& end, const Segment& segment, int64_t clip, int64_t pixel, int64_t channel) {
  const int64_t size = kRows ? segment.last - segment.first : end.pixels, frame = end.channels * end.pixels;
  const auto place = [&](int64_t channels) {  // in a frame of so many
    return kRows ? pixel * channels + channel : channel * end.pixels;
  };
  const int64_t begin = clip * end.length * frame + place(end.channels);
  const T* const held = end.held + clip * end.held_channels * end.pixels + place(end.held_channels);
  const auto run = [&](T* to, int64_t t) {
    const int64_t at = t - segment.read;  // where the shortcut's frame t lies
    const bool lies = at >= 0 && at < end.length;
    const T* const other = lies ? end.shortcut + begin + at * frame : held;
    finish_run<T, kRows, kScaled>(to, end.out + begin + t * frame, other, end, channel, size);
  };
  if (segment.write == 0) {
    for (int64_t t = 0; t < end.length; ++t) {
      run(end.out + begin + t * frame, t);
    }
    return;
  }
  int64_t t = segment.write > 0 ? 0 : end.length - 1;
  run(end.fallen + clip * end.fallen_channels * end.pixels + place(end.fallen_channels), t);
  for (int64_t n = 1; n < end.length; ++n, t += segment.write) {  // a frame is read before it is overwritten
    run(end.out + begin + t * frame, t + segment.write);
  }
  std::memset(end.out + begin + t * frame, 0, size * sizeof(T));
}

template <typename T, bool kRows, bool kScaled>
void finish_all(const End<T>& end, const std::vector<Segment>& segments) {
  const int64_t units = kRows ? end.pixels : end.channels;
  at::parallel_for(0, end.clips * units, 1, [&](int64_t begin, int64_t last) {
    for (int64_t work = begin; work < last; ++work) {
      const int64_t clip = work / units, unit = work % units;
      for (const auto& segment : segments) {
        if (kRows) {
          finish_frames<T, kRows, kScaled>(end, segment, clip, unit, segment.first);
        } else if (segment.first <= unit && unit < segment.last) {
          finish_frames<T, kRows, kScaled>(end, segment, clip, 0, unit);
        }
      }
    }
  });
}

template <typename T>
void finish(const End<T>& end, const std::vector<Segment>& segments, bool rows) {
  if (rows) {
    end.shortcut_scale ? finish_all<T, true, true>(end, segments) : finish_all<T, true, false>(end, segments);
  } else {
    end.shortcut_scale ? finish_all<T, false, true>(end, segments) : finish_all<T, false, false>(end, segments);
  }
}

void finish_(
    at::Tensor out, at::Tensor fallen, const at::Tensor& scale, const at::Tensor& offset, const at::Tensor& shortcut,
    const std::optional<at::Tensor>& shortcut_scale, const std::optional<at::Tensor>& held, int64_t num_segments,
    int64_t read_ahead, int64_t read_behind, int64_t write_ahead, int64_t write_behind, bool rectified) {
  const bool rows = !out.is_contiguous() && out.is_contiguous(at::MemoryFormat::ChannelsLast);
  const auto format = rows ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  const int64_t channels = out.size(1), pixels = out.size(2) * out.size(3);
  TORCH_CHECK(rows || out.is_contiguous(), "frames must be contiguous or channels_last");
  TORCH_CHECK(out.size(0) % num_segments == 0, out.size(0), " frames are not a whole number of clips of ", num_segments);
  TORCH_CHECK(
      shortcut.sizes() == out.sizes() && shortcut.is_contiguous(format) && shortcut.scalar_type() == out.scalar_type(),
      "both must have one shape, dtype and memory format");
  const int64_t clips = out.size(0) / num_segments, read = read_ahead + read_behind, write = write_ahead + write_behind;
  const auto lies_aside = [&](const at::Tensor& aside, int64_t moved) {
    return aside.numel() == clips * moved * pixels && aside.scalar_type() == out.scalar_type() &&
        aside.is_non_overlapping_and_dense();
  };
  TORCH_CHECK(
      lies_aside(fallen, write) && (read == 0 || (held && lies_aside(*held, read))),
      "what has fallen off the ends is of another shape");
  const auto constants = [&](const at::Tensor& values) {
    TORCH_CHECK(
        values.scalar_type() == at::kFloat && values.is_contiguous() && values.numel() == channels,
        "scale and offset must be float32, one of each channel");
    return values.const_data_ptr<float>();
  };
  const auto segments = segments_of(channels, read_ahead, read_behind, write_ahead, write_behind);
  const float least = rectified ? 0.0f : -std::numeric_limits<float>::infinity();
  const auto run = [&](auto* data) {
    using T = std::remove_pointer_t<decltype(data)>;
    const End<T> end{
        clips, num_segments, channels, pixels, data, shortcut.const_data_ptr<T>(), constants(scale), constants(offset),
        shortcut_scale ? constants(*shortcut_scale) : nullptr, least,
        read ? held->const_data_ptr<T>() : nullptr, fallen.data_ptr<T>(), read, write};
    finish(end, segments, rows);
  };
  if (out.scalar_type() == at::kFloat) {
    run(out.data_ptr<float>());
  } else {
    TORCH_CHECK(out.scalar_type() == at::kBFloat16, "features must be float32 or bfloat16");
    run(out.data_ptr<bf16>());
  }
}

}  // namespace

TORCH_LIBRARY(shiftbench_native, library) {
  library.def("shift_(Tensor(a!) channels, int offset) -> Tensor");
  library.def("restore_(Tensor(a!) channels, Tensor fallen, int offset) -> ()");
  library.def(
      "finish_(Tensor(a!) out, Tensor(b!) fallen, Tensor scale, Tensor offset, Tensor shortcut, Tensor? shortcut_scale, "
      "Tensor? held, int num_segments, int read_ahead, int read_behind, int write_ahead, int write_behind, "
      "bool rectified) -> ()");
  library.def(
      "shifted_product(Tensor frames, Tensor weight, int num_segments, int fold, bool bidirectional) -> Tensor");
}

TORCH_LIBRARY_IMPL(shiftbench_native, CPU, library) {
  library.impl("shift_", shift_);
  library.impl("restore_", restore_);
  library.impl("finish_", finish_);
  library.impl("shifted_product", shifted_product);
}
