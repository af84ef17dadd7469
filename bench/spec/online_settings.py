from bench.spec.settings import Online, Panels as OnlinePanels  # noqa
