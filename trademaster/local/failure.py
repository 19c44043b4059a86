"""The one error of this package: a line that the person at the terminal can act on."""

DISK_FULL = "the disk is full"


class ServiceFailed(Exception):
    """Something of this machine did not start. The message is one line, says why, and never holds a secret."""


def explain(output: str) -> str:
    """The reason in a tool's error output, as half a sentence."""
    if "no space left on device" in output.lower():
        return DISK_FULL
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    serious = [line for line in lines if any(word in line.lower() for word in ("fatal", "panic", "error"))]
    return (serious or lines or ["no message"])[-1].rstrip(".")
