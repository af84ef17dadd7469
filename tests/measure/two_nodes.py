"""A Ray cluster of two nodes in a process of its own: Ray ends the process it lives in when its cluster goes away.

Prints the address; ``lose`` on standard input kills the second node; the end of input ends the cluster.
"""

import os
import sys

os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # read once, when Ray is imported
from ray.cluster_utils import Cluster


def main() -> None:
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = nodes.add_node(num_cpus=1)
    print(f"address {nodes.address}", flush=True)
    for line in sys.stdin:
        if line.strip() == "lose":
            nodes.remove_node(second, allow_graceful=False)
            print("lost", flush=True)
    nodes.shutdown()


if __name__ == "__main__":
    main()
