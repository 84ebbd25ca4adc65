"""The best that any dispatcher could do with so many pushes, had it known the whole stream beforehand.

The pushes go out where tokens arrive, and each carries all that came since the one before.
A token waits from its arrival to its push; the cost is the sum over the characters.
The optimum over all partitions into k pushes is exact, in whole microseconds:
the cost of a run of tokens satisfies the quadrangle inequality, so that the optimal cost is convex in k,
a price on each push (Lagrange's, or "aliens' trick") replaces the count,
and for one price the best partition is found in one pass over the lower envelope of straight lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

MICRO = 1_000_000


def least_waiting(arrivals: Sequence[tuple[float, int]], pushes: int) -> float:
    """The least sum of waiting, in seconds times characters, of any partition into so many pushes.

    Args:
        arrivals: When how many characters arrived, in order of time.
        pushes: How many pushes there may be, at least one.
    """
    times: list[int] = []
    weights: list[int] = []
    for at, characters in arrivals:
        micro = round(at * MICRO)
        if times and times[-1] == micro:
            weights[-1] += characters
        elif characters:
            times.append(micro)
            weights.append(characters)
    if pushes >= len(times):
        return 0.0
    before = [0, *accumulate(weights)]
    moments = [0, *accumulate(weight * at for weight, at in zip(weights, times, strict=True))]

    # The lowest price at which no more pushes are worth it; between two prices the optimum is a straight line in k.
    low, high = 0, before[-1] * (times[-1] - times[0]) + 1
    while low < high:
        price = (low + high) // 2
        if _cheapest(times, before, moments, price)[1] <= pushes:
            high = price
        else:
            low = price + 1
    return (_cheapest(times, before, moments, low)[0] - low * pushes) / MICRO


def _cheapest(times: list[int], before: list[int], moments: list[int], price: int) -> tuple[int, int]:
    """The least cost when each push has a price, and with how few pushes.

    cost[j] = price - moments[j] + time[j] * before[j] + min over i of (cost[i] + moments[i] - before[i] * time[j]):
    lines in time[j], whose slopes only fall and whose arguments only grow.
    """
    slopes, heights, counts = [0], [0], [0]
    first = 0
    cost = count = 0
    for j, at in enumerate(times, 1):
        last = len(slopes) - 1
        while first < last:
            here = heights[first] + slopes[first] * at
            there = heights[first + 1] + slopes[first + 1] * at
            if there < here or (there == here and counts[first + 1] <= counts[first]):
                first += 1
            else:
                break
        cost = price - moments[j] + at * before[j] + heights[first] + slopes[first] * at
        count = counts[first] + 1
        slope, height = -before[j], cost + moments[j]
        while len(slopes) - first >= 2:
            # The last line is of no use if the new one crosses the one before it no later; kept where all three meet.
            left = (height - heights[-2]) * (slopes[-2] - slopes[-1])
            right = (heights[-1] - heights[-2]) * (slopes[-2] - slope)
            if left < right:
                slopes.pop(), heights.pop(), counts.pop()
            else:
                break
        slopes.append(slope), heights.append(height), counts.append(count)
    return cost, count
