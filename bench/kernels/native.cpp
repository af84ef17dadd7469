// The two mechanisms of in_place.py and products.py in C++; native.py compiles this file and says what each operator does.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>
#include <tuple>

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

}  // namespace

TORCH_LIBRARY(shiftbench_native, library) {
  library.def("shift_(Tensor(a!) channels, int offset) -> Tensor");
  library.def("restore_(Tensor(a!) channels, Tensor fallen, int offset) -> ()");
  library.def(
      "shifted_product(Tensor frames, Tensor weight, int num_segments, int fold, bool bidirectional) -> Tensor");
}

TORCH_LIBRARY_IMPL(shiftbench_native, CPU, library) {
  library.impl("shift_", shift_);
  library.impl("restore_", restore_);
  library.impl("shifted_product", shifted_product);
}
