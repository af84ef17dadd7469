"""The Triton kernels. They see flat memory: frames [N*T, C, P] in NCHW, [N*T, P, C] where CHANNELS_LAST (P = H*W).

The first ``ahead`` channels read the next frame, the ``behind`` after them the previous, the rest the present one. A
channel's source is decided element by element, so that a tile may straddle groups. For wide loads the compiler must
know how many neighbours surely share a source: RUN channels (or elements), ROW_RUN rows of one frame. Both are powers
of two that divide every boundary; the host works them out.
"""

import triton
import triton.language as tl


@triton.jit
def _hop(channel, ahead, behind, RUN: tl.constexpr):
    """How many frames later each channel is read: +1, -1 or 0."""
    hop = tl.where(channel < ahead, 1, tl.where(channel < ahead + behind, -1, 0))
    return tl.max_constancy(hop, RUN)


@triton.jit(do_not_specialize=["num_segments", "ahead", "behind"])
def shift(
    source,
    target,
    channels,
    pixels,
    num_segments,
    ahead,
    behind,
    BACK: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    RUN: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A block of one frame's elements: read from the frame that holds them, zeros beyond a clip's ends, and written."""
    size = channels * pixels
    blocks = tl.cdiv(size, BLOCK)
    frame = tl.program_id(0) // blocks
    element = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    channel = element % channels if CHANNELS_LAST else element // pixels
    hop = _hop(channel, ahead, behind, RUN)
    if BACK:
        hop = -hop
    origin = frame % num_segments + hop
    inside = element < size
    found = inside & (origin >= 0) & (origin < num_segments)
    value = tl.load(source + frame * size + (hop * size + element), mask=found, other=0.0)
    tl.store(target + frame * size + element, value, mask=inside)


@triton.jit
def _tile(
    row, channel, shape, moves, LAST: tl.constexpr, SHIFTS: tl.constexpr, RUN: tl.constexpr, ROW_RUN: tl.constexpr
):
    """Of a tile [rows, channels]: where its elements lie in memory, and the places in their clip that they come from.

    row: a pixel of a frame; shape: (rows, channels, pixels); moves: (num_segments, ahead, behind); LAST: channels last;
    SHIFTS: whether any channel moves: where none does, nothing is worked out.
    """
    channels, pixels = shape[1], shape[2]
    hop = _hop(channel, moves[1], moves[2], RUN) if SHIFTS else tl.zeros_like(channel)
    frame = tl.max_constancy(row // pixels, ROW_RUN)
    if LAST:
        begin = tl.multiple_of(row * channels, RUN)
        column = channel + hop * channels * pixels
        column = tl.multiple_of(tl.max_contiguous(column, RUN), RUN)
    else:
        begin = frame * channels * pixels + (row - frame * pixels)
        begin = tl.multiple_of(tl.max_contiguous(begin, ROW_RUN), ROW_RUN)
        column = tl.multiple_of(channel * pixels + hop * channels * pixels, ROW_RUN)
    return begin[:, None] + column[None, :], (frame % moves[0])[:, None] + hop[None, :]


@triton.jit
def _read(
    base, row, channel, shape, moves, LAST: tl.constexpr, SHIFTS: tl.constexpr, RUN: tl.constexpr, ROW_RUN: tl.constexpr
):
    """A tile [rows, channels] of the shifted frames, from where they lie; zeros beyond clips, rows and channels."""
    where, origin = _tile(row, channel, shape, moves, LAST, SHIFTS, RUN, ROW_RUN)
    found = (row < shape[0])[:, None] & (channel < shape[1])[None, :]
    if SHIFTS:
        found = found & (origin >= 0) & (origin < moves[0])
    return tl.load(base + where, mask=found, other=0.0)


@triton.jit
def _write(
    target,
    tile,
    row,
    channel,
    shape,
    moves,
    LAST: tl.constexpr,
    SHIFTS: tl.constexpr,
    RUN: tl.constexpr,
    ROW_RUN: tl.constexpr,
):
    """The opposite of ``_read``: each channel goes to the frame that ``_read`` would fetch it from.

    What falls off one end of a clip is written as zeros at the other, where nothing else arrives: every element of
    the target is written exactly once.
    """
    where, goal = _tile(row, channel, shape, moves, LAST, SHIFTS, RUN, ROW_RUN)
    if SHIFTS:
        around = tl.where(goal < 0, moves[0], tl.where(goal >= moves[0], -moves[0], 0))
        tile = tl.where(around == 0, tile, 0.0)
        where += around * shape[1] * shape[2]
    tl.store(
        target + where, tile.to(target.dtype.element_ty), mask=(row < shape[0])[:, None] & (channel < shape[1])[None, :]
    )


@triton.jit(do_not_specialize=["num_segments", "read_ahead", "read_behind", "write_ahead", "write_behind"])
def product(
    source,
    weight,
    scale,
    bias,
    target,
    rows,
    channels_in,
    channels_out,
    pixels,
    num_segments,
    read_ahead,
    read_behind,
    write_ahead,
    write_behind,
    weight_in,
    weight_out,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    READS: tl.constexpr,
    WRITES: tl.constexpr,
    RUN_IN: tl.constexpr,
    RUN_OUT: tl.constexpr,
    ROW_RUN: tl.constexpr,
    ACTIVATION: tl.constexpr,
    ROWS: tl.constexpr,
    IN: tl.constexpr,
    OUT: tl.constexpr,
):
    """A tile of target = activation(source × weight × scale + bias), in fp32 until it is written.

    scale, bias: of each channel of the target, or None. ACTIVATION: "none", "relu" or "relu6".
    WIDEN: multiply in fp32 what is stored in fewer bits; for Triton's interpreter, which cannot multiply bf16.
    Either the source is read shifted (READS, ``read_``) or, for the transpose, the target is written shifted (WRITES,
    ``write_``), or neither.
    Tiles of the same rows come one after the other, so that all but the first find the source in the L2 cache.
    """
    tiles = tl.cdiv(channels_out, OUT)
    row = tl.program_id(0) // tiles * ROWS + tl.arange(0, ROWS)
    out = tl.program_id(0) % tiles * OUT + tl.arange(0, OUT)
    shape, moves = (rows, channels_in, pixels), (num_segments, read_ahead, read_behind)
    total = tl.zeros((ROWS, OUT), dtype=tl.float32)
    for start in range(0, channels_in, IN):
        channel = start + tl.arange(0, IN)
        tile = _read(source, row, channel, shape, moves, CHANNELS_LAST, READS, RUN_IN, ROW_RUN)
        held = (channel < channels_in)[:, None] & (out < channels_out)[None, :]
        factors = tl.load(weight + (channel[:, None] * weight_in + out[None, :] * weight_out), mask=held, other=0.0)
        if WIDEN:
            tile, factors = tile.to(tl.float32), factors.to(tl.float32)
        total = tl.dot(tile, factors, total, input_precision=PRECISION)
    if scale is not None:
        total *= tl.load(scale + out, mask=out < channels_out, other=0.0).to(tl.float32)[None, :]
    if bias is not None:
        total += tl.load(bias + out, mask=out < channels_out, other=0.0).to(tl.float32)[None, :]
    if ACTIVATION != "none":
        total = tl.where(total < 0.0, 0.0, total)  # what is no number stays none
    if ACTIVATION == "relu6":
        total = tl.where(total > 6.0, 6.0, total)
    shape, moves = (rows, channels_out, pixels), (num_segments, write_ahead, write_behind)
    _write(target, total, row, out, shape, moves, CHANNELS_LAST, WRITES, RUN_OUT, ROW_RUN)


@triton.jit(do_not_specialize=["num_segments", "ahead", "behind", "blocks_each"])
def weight_gradient(
    source,
    gradient,
    partial,
    rows,
    blocks_each,
    channels_in,
    channels_out,
    pixels,
    num_segments,
    ahead,
    behind,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    RUN_IN: tl.constexpr,
    RUN_OUT: tl.constexpr,
    ROW_RUN: tl.constexpr,
    ROWS: tl.constexpr,
    IN: tl.constexpr,
    OUT: tl.constexpr,
):
    """A tile of partial[part] = transposed gradient × shifted source over some blocks of rows; in fp32.

    Each part is written by one program and they are added up afterwards, so the result is the same every time.
    """
    tiles = tl.cdiv(channels_in, IN)
    out = tl.program_id(0) // tiles * OUT + tl.arange(0, OUT)
    channel = tl.program_id(0) % tiles * IN + tl.arange(0, IN)
    part = tl.program_id(1)
    shape_in, shape_out = (rows, channels_in, pixels), (rows, channels_out, pixels)
    moves, none = (num_segments, ahead, behind), (num_segments, 0, 0)
    total = tl.zeros((OUT, IN), dtype=tl.float32)
    for block in range(part * blocks_each, min(tl.cdiv(rows, ROWS), (part + 1) * blocks_each)):
        row = block * ROWS + tl.arange(0, ROWS)
        felt = _read(gradient, row, out, shape_out, none, CHANNELS_LAST, False, RUN_OUT, ROW_RUN)
        seen = _read(source, row, channel, shape_in, moves, CHANNELS_LAST, True, RUN_IN, ROW_RUN)
        if WIDEN:
            felt, seen = felt.to(tl.float32), seen.to(tl.float32)
        total = tl.dot(tl.trans(felt), seen, total, input_precision=PRECISION)
    where = part * channels_out * channels_in + out[:, None] * channels_in + channel[None, :]
    tl.store(partial + where, total, mask=(out < channels_out)[:, None] & (channel < channels_in)[None, :])


@triton.jit
def _aside(element, channel, clip, shape, moved, CHANNELS_LAST: tl.constexpr, RUN: tl.constexpr):
    """Where in [N, moved, P] (or [N, P, moved]) an element of a frame lies, whose channel is < moved; shape: (channels,
    pixels)."""
    place = element // shape[0] * moved + channel if CHANNELS_LAST else element
    return tl.multiple_of(tl.max_contiguous(clip * moved * shape[1] + place, RUN), RUN)


@triton.jit(do_not_specialize=["num_segments", "read_ahead", "read_behind", "write_ahead", "write_behind"])
def finish(
    out,
    scale,
    offset,
    shortcut,
    shortcut_scale,
    held,
    fallen,
    channels,
    pixels,
    num_segments,
    read_ahead,
    read_behind,
    write_ahead,
    write_behind,
    RECTIFIED: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    RUN_READ: tl.constexpr,
    RUN_WRITE: tl.constexpr,
    FRAMES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The end of a residual block: out × scale + offset + shortcut (× shortcut_scale), the ReLU, each channel placed.

    A program owns a block of elements of all frames of one clip, FRAMES >= num_segments: all are read before one is
    written, so ``out`` is overwritten. ``read_``: the shortcut's channels lie shifted, what fell off in ``held``.
    ``write_``: each channel goes to the frame whose next layer reads it; what falls off goes to ``fallen``.
    """
    size = channels * pixels
    blocks = tl.cdiv(size, BLOCK)
    clip = tl.program_id(0) // blocks
    element = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    channel = element % channels if CHANNELS_LAST else element // pixels
    frame = tl.arange(0, FRAMES)[:, None]
    inside = (frame < num_segments) & (element < size)[None, :]
    first, here = clip * num_segments * size, frame * size + element[None, :]
    factor = tl.load(scale + channel, mask=element < size, other=0.0)
    summand = tl.load(offset + channel, mask=element < size, other=0.0)
    value = tl.load(out + first + here, mask=inside, other=0.0).to(tl.float32) * factor[None, :] + summand[None, :]

    hop = _hop(channel, read_ahead, read_behind, RUN_READ)[None, :]
    lies = frame - hop
    there = inside & (lies >= 0) & (lies < num_segments)
    other = tl.load(shortcut + first + (here - hop * size), mask=there, other=0.0).to(tl.float32)
    if held is not None:
        moved = read_ahead + read_behind
        place = _aside(element, channel, clip, (channels, pixels), moved, CHANNELS_LAST, RUN_READ)
        other += tl.load(held + (place[None, :] + frame * 0), mask=inside & ~there, other=0.0).to(tl.float32)
    if shortcut_scale is not None:
        other *= tl.load(shortcut_scale + channel, mask=element < size, other=0.0)[None, :]
    value += other
    if RECTIFIED:
        value = tl.where(value < 0.0, 0.0, value)  # what is no number stays none
    tl.debug_barrier()  # threads share the frames of an element

    hop = _hop(channel, write_ahead, write_behind, RUN_WRITE)[None, :]
    goal = frame - hop
    around = tl.where(goal < 0, num_segments, tl.where(goal >= num_segments, -num_segments, 0))
    value = value.to(out.dtype.element_ty)
    placed = tl.where(around == 0, value, 0.0).to(out.dtype.element_ty)
    tl.store(out + first + (here - hop * size + around * size), placed, mask=inside)
    if fallen is not None:
        moved = write_ahead + write_behind
        place = _aside(element, channel, clip, (channels, pixels), moved, CHANNELS_LAST, RUN_WRITE)
        tl.store(fallen + (place[None, :] + frame * 0), value, mask=inside & (around != 0))


@triton.jit(do_not_specialize=["num_segments", "ahead", "moved"])
def move(
    frames,
    held,
    fallen,
    channels,
    pixels,
    num_segments,
    ahead,
    moved,
    BACK: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    RUN: tl.constexpr,
    FRAMES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The shift of what moves, in its own memory: a program owns a block of moved elements of all frames of a clip.

    fallen: where the frames that fall off a clip's ends go; held: what comes in there instead, without it zeros. To put
    channels back is to move them the other way (BACK) with what had fallen held.
    """
    size = channels * pixels
    blocks = tl.cdiv(moved * pixels, BLOCK)
    clip = tl.program_id(0) // blocks
    element = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    own = element < moved * pixels
    if CHANNELS_LAST:
        channel = element % moved
        where = element // moved * channels + channel
        where = tl.multiple_of(tl.max_contiguous(where, RUN), RUN)
    else:
        channel = element // pixels
        where = element
    hop = _hop(channel, ahead, moved - ahead, RUN)
    if BACK:
        hop = -hop
    frame = tl.arange(0, FRAMES)[:, None]
    origin = frame + hop[None, :]
    inside = (frame < num_segments) & own[None, :]
    found = inside & (origin >= 0) & (origin < num_segments)
    first = frames + clip * num_segments * size
    target = first + (frame * size + where[None, :])
    value = tl.load(target + (hop * size)[None, :], mask=found, other=0.0)
    # what lies aside is [N, P, moved] or [N, moved, P]: in the order in which programs count elements
    beside = tl.multiple_of(tl.max_contiguous(clip * moved * pixels + element, RUN), RUN)
    if held is not None:
        value = tl.where(found, value, tl.load(held + beside, mask=own, other=0.0)[None, :])
    if fallen is not None:
        end = tl.where(hop > 0, 0, num_segments - 1)
        lost = tl.load(first + (end * size + where), mask=own, other=0.0)
        tl.store(fallen + beside, lost, mask=own)
    tl.debug_barrier()  # threads share the frames of an element
    tl.store(target, value, mask=inside)
