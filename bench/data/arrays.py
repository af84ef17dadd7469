"""Real images that packages ship, and which of them serve training, validation or the test.

``digits``: scikit-learn's handwritten digits as sprites; ``photographs``: textures from its two photographs;
``splits``: no image in two parts.
"""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Labels = NDArray[np.int64]
Indices = NDArray[np.intp]
