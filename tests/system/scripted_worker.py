"""A worker without torch that runs the code of its job."""

from bench.system import workers


def answer(job: workers.Event, emit: workers.Emit) -> None:
    exec(job["code"], {"emit": emit})


if __name__ == "__main__":
    workers.serve(answer)
