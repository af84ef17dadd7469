"""TokShift: a shift of the class token's channels, in the blocks of a vision transformer.

The class token alone carries a frame's answer, so it alone meets those of its neighbours; the patches stay. What moves
is 1/197 of the features (16×16 patches of 224² px), but the shortcut needs the unshifted tensor, so in residual
placement the tensor is copied before the class token is overwritten. Traffic per site (N = the bytes of the features,
L tokens): 2 N and little more; before=mlp in-place 4 N / L in clips, as nobody else reads what it overwrites. Frame by
frame it remembers the moved channels of all tokens, which is L times what it needs with tokens=class.

The authors' code (``shift_tk`` in modeling_tokshift.py) shifts twice in each block, in front of either shortcut: that
is ``token_shift[before=both]`` in-place, at fraction 1/2 for their fold_div = 4. The parameter ``tokens=all`` moves the
same channels of all tokens: before attention, that is ``copy_shift``.
"""

from torch import Tensor, nn

from bench.strategy import Parameter, ShiftBefore, Site, StepBefore, Strategy, TokenSite


class TokenShift(Strategy):
    """Shift channels of the class token only, in the blocks of a vision transformer (TokShift)."""

    name = "token_shift"
    source = "Token Shift Transformer, arXiv 2108.02432; github.com/VideoNetworks/TokShift-Transformer"
    features = ("tokens",)
    tokens = Parameter("class", ("class", "all"), "whose channels move: the class token's, or all tokens'")
    before = Parameter("attention", ("attention", "mlp", "both"), "what reads the shifted tokens")

    def refuses_site(self, site: Site) -> str | None:
        """Where there is no class token it has none to shift."""
        if isinstance(site, TokenSite) and self.tokens == "class" and not (site.leading and site.class_token):
            return "there is no class token among the tokens"
        return super().refuses_site(site)

    def shift(self, clip: Tensor) -> Tensor:
        """[N, T, C, L, 1] -> the same shape, as ``copy_shift`` moves; ``clip`` is not overwritten."""
        fold, moved = self.channels_each_way(clip.shape[2]), self.moved
        out = clip.clone()
        if self.direction == "bidirectional":
            self._put(out, clip, 1, slice(0, fold), moved)
            self._put(out, clip, -1, slice(fold, 2 * fold), moved)
        else:
            self._put(out, clip, -1, slice(0, fold), moved)
        return out

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """The block whose attention, MLP or both read shifted tokens; at fraction 0 the block as it is."""
        if self.fraction == 0:
            return block
        assert isinstance(site, TokenSite), "its places are those of tokens"
        if self.before != "attention":
            place = site.before_mlp
            kind = ShiftBefore if self.placement == "residual" else _ShiftStream
            place.replace(block, kind(self, place.layer(block), num_segments))
        return block if self.before == "mlp" else super().wrap(block, site, num_segments)

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        """The same with the frame before instead of a clip."""
        assert isinstance(site, TokenSite), "its places are those of tokens"
        if self.before != "attention":
            place = site.before_mlp
            kind = StepBefore if self.placement == "residual" else _StepStream
            place.replace(block, kind(self, place.layer(block)))
        if self.before == "mlp":
            return block
        if self.placement == "inplace":
            return StepBefore(self, block)
        return site.replace(block, StepBefore(self, site.layer(block)))

    @property
    def moved(self) -> slice:
        """The tokens whose channels move."""
        return slice(0, 1) if self.tokens == "class" else slice(None)

    @staticmethod
    def _put(out: Tensor, clip: Tensor, offset: int, channels: slice, tokens: slice) -> None:
        """Into some channels of some tokens of each frame those of the frame ``offset`` later, or zeros."""
        there, here = out[:, :, channels, tokens], clip[:, :, channels, tokens]
        if offset > 0:
            there[:, :-1] = here[:, 1:]
            there[:, -1] = 0
        else:
            there[:, 1:] = here[:, :-1]
            there[:, 0] = 0


class _ShiftStream(ShiftBefore):
    """Shift tokens for the shortcut around ``net`` too: in their own memory, which the block has just written."""

    def __init__(self, strategy: TokenShift, net: nn.Module, num_segments: int) -> None:
        super().__init__(strategy, net, num_segments)
        self.moved = strategy.moved

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, L, C] -> what ``net`` makes of the frames, which are overwritten."""
        moved = frames[:, self.moved]
        moved.copy_(self.shifted(moved))
        return self.net(frames)  # type: ignore[no-any-return]


class _StepStream(StepBefore):
    """``_ShiftStream``, frame by frame, with the same keys."""

    def step(self, frame: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """[S, L, C], overwritten, then ``net``."""
        shifted, kept = self.stepped(frame, past)
        return self.net(frame.copy_(shifted)), kept
