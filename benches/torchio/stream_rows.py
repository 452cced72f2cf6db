"""The table rows of a long stream of patches."""

from dataclasses import dataclass

from rows import HIGHER, LOWER, Row

QUEUE_LENGTH = 40


@dataclass
class Chain:
    """A chain of transforms: the experiment file of runner and the name of the chain in TorchIO."""

    title: str
    experiment: str
    torchio: str
    # How often TorchIO's queue is filled; the first filling is excluded from the steady rate.
    fills: int
    # Whether TorchIO also starts from the original files.
    from_scratch: bool = True


@dataclass
class Measured:
    """The measurements of runner in one repeat."""

    # Seconds to the first batch.
    cold_batch: float
    warm_batch: float
    # Seconds with an empty cache for as many patches as TorchIO makes.
    seconds_from_start: float
    # Patches per second with a warm cache.
    rate: float
    # Peak memory in bytes, by kind.
    cold_peak: dict
    warm_peak: dict


class StreamRows:
    """The rows of one chain."""

    def __init__(self, chain, fills, check_error):
        self.chain = chain
        self.patches = fills * QUEUE_LENGTH
        self.last_fill = f"fill_{fills}"
        self.note = f"`runner check` rejects {chain.experiment}: {check_error}" if check_error else ""
        self.rate = self._row("patches per second, steady", "1/s", HIGHER)
        self.rate_from_start = self._row(f"patches per second, first {self.patches}, cache empty", "1/s", HIGHER)
        self.cold = self._row("first batch, runner's cache empty", "s", LOWER)
        self.warm = self._row("first batch, runner's cache warm", "s", LOWER)
        self.cold_memory = self._memory("empty")
        self.warm_memory = self._memory("warm")

    def _row(self, name, unit, better):
        return Row(self.chain.title, name, unit, better, note=self.note)

    def _memory(self, state):
        kinds = {"rss": "RSS", "pss": "PSS", "pss_without_files": "PSS without mapped files"}
        return {
            kind: self._row(f"peak memory, {text}, runner's cache {state}", "MB", LOWER)
            for kind, text in kinds.items()
        }

    def add_theirs(self, seconds, peak):
        steady = seconds[self.last_fill] - seconds["fill_1"]
        self.rate.torchio.append((self.patches - QUEUE_LENGTH) / steady)
        self.rate_from_start.torchio.append(self.patches / (seconds[self.last_fill] - seconds["imported"]))
        for row in (self.cold, self.warm):
            row.torchio.append(seconds["first_batch"] - seconds["imported"])
        for rows in (self.cold_memory, self.warm_memory):
            add_megabytes(rows, "torchio", peak)

    def add_ours(self, measured):
        self.rate.runner.append(measured.rate)
        self.rate_from_start.runner.append(self.patches / measured.seconds_from_start)
        self.cold.runner.append(measured.cold_batch)
        self.warm.runner.append(measured.warm_batch)
        add_megabytes(self.cold_memory, "runner", measured.cold_peak)
        add_megabytes(self.warm_memory, "runner", measured.warm_peak)

    def all(self):
        """Returns the rows in which both programs start from comparable files."""
        warm = [self.rate, self.warm, *self.warm_memory.values()]
        cold = [self.rate_from_start, self.cold, *self.cold_memory.values()]
        return warm + cold if self.chain.from_scratch else warm


def add_megabytes(rows, side, peak):
    for kind, row in rows.items():
        getattr(row, side).append(peak[kind] / 1e6)
