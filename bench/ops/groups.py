"""Which channels move where: the released order, written once for all mechanisms."""

from dataclasses import dataclass

from torch import Tensor

from bench.spec.axes import Direction


@dataclass(frozen=True)
class Group:
    """Neighbouring channels that move together: those of frame t receive frame t + ``offset`` (1 or -1), or zeros."""

    first: int
    last: int
    offset: int

    @property
    def channels(self) -> slice:
        """The channels of the group."""
        return slice(self.first, self.last)

    @property
    def opposite(self) -> "Group":
        """The same channels, moved the other way: what the gradient does."""
        return Group(self.first, self.last, -self.offset)

    def of(self, clip: Tensor) -> Tensor:
        """The group's channels of ``clip`` [N, T, C, H, W], as a view."""
        return clip[:, :, self.channels]

    def targets(self, first: int, last: int, num_segments: int) -> tuple[int, int]:
        """Of the frames ``first`` to ``last`` (exclusive; all of one clip), the range that has a source in the clip.

        Frames are counted through the whole batch. The range is empty where its first is not below its last.
        """
        begin = first - first % num_segments
        return max(first, begin - self.offset), min(last, begin + num_segments - self.offset)


def moved_groups(fold: int, direction: Direction) -> tuple[Group, ...]:
    """The groups that move, ``fold`` channels each; none where ``fold`` is zero.

    Bidirectional: the first group receives the next frame, the second the previous one. Unidirectional: the first
    receives the previous one. The channels after them stay.
    """
    if not fold:
        return ()
    if direction == "bidirectional":
        return Group(0, fold, 1), Group(fold, 2 * fold, -1)
    return (Group(0, fold, -1),)
