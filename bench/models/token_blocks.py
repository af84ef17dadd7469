"""Where a vision transformer takes a strategy: in its encoder's blocks, which are known by their types.

Tracing finds residual branches by their convolutions, of which these blocks have none. Known are the blocks of
torchvision's ViT, and of timm's with the normalisation in front (ViT, DeiT, DeiT III, and what else is built of them).
Blocks of windows, as Swin's, hold their tokens as maps of rows and columns and are not among them.
"""

import sys
from collections.abc import Iterator

from torch import nn
from torchvision.models.vision_transformer import EncoderBlock, VisionTransformer

from bench.sites import TokenSite


def token_sites(root: nn.Module) -> dict[str, TokenSite]:
    """{path in ``root`` of a transformer's block: its site}, in the order of the modules."""
    return {path: site for start, module in root.named_modules() for path, site in _within(start, module)}


def _within(start: str, module: nn.Module) -> Iterator[tuple[str, TokenSite]]:
    timms = sys.modules.get("timm.models.vision_transformer")  # whoever has a network of timm's has imported it
    if isinstance(module, VisionTransformer):
        edge = module.image_size // module.patch_size
        site = TokenSite("norm1", "ln_1", "ln_2", "self_attention", 1, (edge, edge))
        kind: type[nn.Module] = EncoderBlock
    elif timms is not None and isinstance(module, timms.VisionTransformer):
        varies = module.dynamic_img_size or module.patch_embed.grid_size is None
        grid = None if varies else tuple(module.patch_embed.grid_size)
        first = module.has_class_token  # else registers may stand in front
        site = TokenSite("norm1", "norm1", "norm2", "attn", module.num_prefix_tokens, grid, first)
        kind = timms.Block
    else:
        return
    for path, block in module.named_modules(prefix=start):
        if type(block) is kind:
            yield path, site
