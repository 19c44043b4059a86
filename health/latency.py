"""Response times counted in buckets, so that the percentiles of any span can be put together from its hours.

Bucket n holds the times from BOUNDS[n-1] up to, but not including, BOUNDS[n] milliseconds; bucket 0 what is below one
millisecond, the last what is above a minute. A percentile is the middle of its bucket, on the scale of ratios: it is
off by at most the square root of RATIO, some 7 per cent.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, takewhile
from math import ceil, sqrt

RATIO = 1.15
LONGEST_MS = 60_000.0
BOUNDS: tuple[float, ...] = tuple(
    takewhile(lambda bound: bound < LONGEST_MS * RATIO, accumulate([1.0] + [RATIO] * 200, lambda low, by: low * by))
)


def percentile(latencies: Mapping[int, int], share: float) -> int | None:
    """The response time in ms that `share` of the counted ones (0 to 1) do not exceed; None of none.

    By nearest rank: of four times, the second is the median.
    """
    rank = ceil(sum(latencies.values()) * share)
    if not rank:
        return None
    counted = 0
    for bucket in sorted(latencies):
        counted += latencies[bucket]
        if counted >= rank:
            return middle(bucket)
    return None


def middle(bucket: int) -> int:
    """A time that stands for all in the bucket."""
    if bucket == 0:
        return 0
    if bucket >= len(BOUNDS):
        return round(BOUNDS[-1])
    return round(sqrt(BOUNDS[bucket - 1] * BOUNDS[bucket]))
