"""Patch shift (TPS): whole patches change places between frames, so that attention in a frame sees several.

The patches are laid out in tiles of 3×3; each of a tile's nine places takes its patch from another frame (pattern C of
the paper), the middle one from its own::

    t + 4   t - 1   t - 2
    t + 1   t       t - 3
    t + 2   t + 3   t - 4

Frames are counted around the end of the clip, so nothing is lost and no zeros are read. After attention the patches go
back to their frames; the class token stays. Nothing is learned, no channel is split. Traffic per site (N = the bytes of
the features): a copy of them and eight ninths again, 2 N + 16/9 N, before and after attention.

Differences from the authors' code: theirs is in Swin, whose windows of 7×7 hold the tiles, in turn with a shift of
channels, and its attention adds a learned bias for the patches' distance in time. Here it is in every block of a plain
vision transformer, which has no such bias, and tiles begin at the first patch of the frame. They shift tokens between
the normalisation and the projection, and back before the last projection of the attention; here it is before the
normalisation and after that projection, which is the same, as both work token by token.
"""

from typing import Any

from torch import Tensor, nn

from bench.strategy import Site, Strategy, TokenSite, as_clip

PATTERN = ((-4, 1, 2), (-1, 0, 3), (-2, -3, 4))
"""[row % 3][column % 3] of a patch: it goes to the frame so many later."""


class PatchShift(Strategy):
    """Let whole patches change places between frames while attention reads them (TPS)."""

    name = "patch_shift"
    source = "Temporal Patch Shift, arXiv 2207.13259; github.com/MartinXM/TPS"
    fractions = (1.0,)  # all channels of a patch
    placements = ("residual",)  # its way back is before the addition
    directions = ("bidirectional",)
    features = ("tokens",)

    def refuses_site(self, site: Site) -> str | None:
        """Where patches have no fixed rows and columns there are no tiles."""
        if isinstance(site, TokenSite) and site.grid is None:
            return "the rows and columns of the patches vary, so there are no tiles of 3×3"
        return super().refuses_site(site)

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """The block whose attention reads shifted patches; at fraction 0 the block as it is."""
        if self.fraction == 0:
            return block
        assert isinstance(site, TokenSite) and site.grid is not None, "its places are those of tokens in a grid"
        exchange = _Exchange(site.leading, site.grid, num_segments)
        if site.attention:
            there = block.get_submodule(site.attention)
            Site(site.attention, site.attention).replace(block, _Back(there, exchange))
        return site.replace(block, _There(site.layer(block), exchange))


class _Exchange:
    """The patches' ways, there and back. leading: tokens that stay; grid: rows and columns of the patches."""

    def __init__(self, leading: int, grid: tuple[int, int], num_segments: int) -> None:
        self.leading, self.grid, self.num_segments = leading, grid, num_segments

    def __call__(self, tokens: Tensor, way: int) -> Tensor:
        """[N*T, L, C] -> the same shape. way: 1 there, -1 back. Raises ValueError for another number of patches."""
        out = tokens.clone()
        own, moved = self._patches(tokens), self._patches(out)
        for row, offsets in enumerate(PATTERN):
            for column, offset in enumerate(offsets):
                if ahead := way * offset % self.num_segments:
                    place = (slice(row, None, 3), slice(column, None, 3))
                    moved[:, ahead:, *place] = own[:, :-ahead, *place]
                    moved[:, :ahead, *place] = own[:, -ahead:, *place]
        return out

    def _patches(self, tokens: Tensor) -> Tensor:
        """[N*T, L, C] -> a view [N, T, rows, columns, C]."""
        return as_clip(tokens[:, self.leading :].unflatten(1, self.grid), self.num_segments)


class _There(nn.Module):
    """Exchange patches, then run ``net``."""

    def __init__(self, net: nn.Module, exchange: _Exchange) -> None:
        super().__init__()
        self.net, self.exchange = net, exchange

    def forward(self, tokens: Tensor) -> Tensor:
        """[N*T, L, C] -> what ``net`` makes of the exchanged tokens."""
        return self.net(self.exchange(tokens, 1))  # type: ignore[no-any-return]


class _Back(nn.Module):
    """Run the attention ``net``, then bring patches back to their frames."""

    def __init__(self, net: nn.Module, exchange: _Exchange) -> None:
        super().__init__()
        self.net, self.exchange = net, exchange

    def forward(self, *tokens: Tensor, **options: Any) -> Any:
        """Whatever ``net`` takes and gives: tokens [N*T, L, C], or a tuple that begins with them."""
        given = self.net(*tokens, **options)
        if isinstance(given, Tensor):
            return self.exchange(given, -1)
        return self.exchange(given[0], -1), *given[1:]
