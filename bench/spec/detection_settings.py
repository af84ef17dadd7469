from bench.spec.training import ClutteredDigitsData, Detection, DetectionRecipe  # noqa
