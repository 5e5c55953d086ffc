# SPDX-License-Identifier: Apache-2.0
"""A row of the table: what is measured, what it must reach, what was seen."""
import dataclasses
import statistics

from table.command import Failed, Skipped


@dataclasses.dataclass
class Plan:
    """How long and how often. Rounds are pairs: ours and the other in turn."""
    rounds: int
    round_s: float
    quick: bool


FULL = Plan(rounds=7, round_s=0.6, quick=False)
QUICK = Plan(rounds=3, round_s=0.2, quick=True)


@dataclasses.dataclass
class Seen:
    """What a row's measurement hands back."""
    figure: str             # ours, for people
    value: float            # what is compared with the target
    against: str = ""       # the other's figure, for people
    detail: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Row:
    name: str               # what --rows matches
    text: str
    sign: str               # ">=", "<=", or "" for information only
    target: float
    unit: str               # of value and target: "x raw", "ns", "%"
    measure: object         # (Tcpx, Plan) -> Seen

    def run(self, tcpx, plan):
        """The row as a flat object, also when it could not be measured."""
        result = {"row": self.name, "text": self.text, "sign": self.sign,
                  "target": self.target, "unit": self.unit}
        try:
            seen = self.measure(tcpx, plan)
        except Skipped as why:
            return dict(result, verdict="skipped", why=str(why))
        except Failed as why:
            return dict(result, verdict="failed", why=str(why))
        return dict(result, figure=seen.figure, value=round(seen.value, 4),
                    against=seen.against, detail=seen.detail,
                    verdict=self._verdict(seen.value))

    def _verdict(self, value):
        if not self.sign:
            return "info"
        held = value >= self.target if self.sign == ">=" else (
            value <= self.target)
        return "pass" if held else "miss"


def speed(gigabytes_per_s):
    return "%.*f GB/s" % (2 if gigabytes_per_s >= 0.1 else 3,
                          gigabytes_per_s)


def micros(value):
    return "%.1f us" % value


def in_turn(measure_a, measure_b, n_pairs):
    """A B, B A, A B ...: the values of both, and the ratio of each pair."""
    values_a, values_b = [], []
    for i in range(n_pairs):
        if i % 2:
            values_b.append(measure_b())
            values_a.append(measure_a())
        else:
            values_a.append(measure_a())
            values_b.append(measure_b())
    ratios = [a / b for a, b in zip(values_a, values_b)]
    return values_a, values_b, ratios


def from_pairs(pairs, what):
    """Seen, from what in_turn() gives for two speeds."""
    ours, others, ratios = pairs
    return Seen(speed(statistics.median(ours)), statistics.median(ratios),
                "%s %s" % (what, speed(statistics.median(others))),
                {"ours": ours, "others": others, "ratios": ratios})
