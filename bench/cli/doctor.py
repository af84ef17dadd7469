"""``doctor``: what this machine can measure, and what will disturb it."""


def command() -> int:
    """Say what this machine can measure, and what will disturb it."""
    from bench.system.doctor import capabilities, diagnose, lines
    from bench.system.environment import describe_machine

    for key, value in describe_machine().items():
        print(f"{key:12} {value}")
    for line in (*capabilities(), *lines(diagnose())):
        print(line)
    return 0
