"""What the pre-trained weights that all arms of a seed share depend on."""

from bench import data, models
from bench.measure import training
from bench.measure.training import checkpoint
from bench.spec.settings import Recipe

_DEPENDS_ON = ("train_share", "validation_share", "weight_decay", "bf16", "size", "device")  # and all pretrain_* fields


def checkpoint_key(recipe: Recipe, dataset: str, data_version: str, backbone: str, seed: int) -> str:
    """A hash of recipe, data, network, seed, code and library versions; backbone: the 2-D network pre-trained."""
    settings = recipe.model_dump(mode="json")
    relevant = {name: settings[name] for name in settings if name in _DEPENDS_ON or name.startswith("pretrain_")}
    return checkpoint.key_of([relevant, dataset, data_version, backbone, seed], (training, models, data))
