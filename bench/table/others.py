# SPDX-License-Identifier: Apache-2.0
"""Other programs that do the same, beside ours, in turn with it."""
import pathlib
import statistics

from table.command import Failed, Skipped, run_json
from table.row import micros, speed

PEERS = pathlib.Path(__file__).resolve().parent.parent / "peers"

# The cases, by the names the scripts in peers/ use, and ours.
OURS = {
    "notify 8": ["--notify", "--wait", "spin"],
    **{"%s %s" % (op, text): ["--op", op, *args]
       for op in ("write", "read")
       for text, args in (("64M", ["--size", "64M"]),
                          ("1M", ["--size", "1M"]),
                          ("16384x4K", ["--size", "4K", "--segments",
                                        "16384"]),
                          ("16384x256", ["--size", "256", "--segments",
                                         "16384"]))},
}


def _value(case):
    return case["p50_us"] if case["op"] == "notify" else (
        case["gigabytes_per_s"])


def _ours(tcpx, plan, seen):
    for name, args in OURS.items():
        case = tcpx.case(["--self", *args, "--rounds", "3", "--duration",
                          "%dms" % (plan.round_s * 1000)])
        seen.setdefault(name, []).append(_value(case))


def _other(script, plan):
    argv = [str(script)] + (["--quick"] if plan.quick else [])
    try:
        return run_json(argv, timeout_s=900)
    except (Skipped, Failed) as why:
        return {"name": script.stem, "skipped": str(why)}


def compare(tcpx, plan, say):
    """Ours, another, ours, the next, ours: {ours: .., others: [..]}."""
    ours, others = {}, []
    scripts = sorted(p for p in PEERS.iterdir() if p.stat().st_mode & 0o100)
    _ours(tcpx, plan, ours)
    for script in scripts:
        say("peers: " + script.stem)
        other = _other(script, plan)
        others.append(other)
        if "skipped" not in other:
            _ours(tcpx, plan, ours)
    return {"ours": {name: statistics.median(values)
                     for name, values in ours.items()},
            "others": others}


def _text(name, value):
    if value is None:
        return "-"
    return micros(value) if name.startswith("notify") else speed(value)


def page(result):
    """Lines of a table in Markdown."""
    others = [o for o in result["others"] if "skipped" not in o]
    lines = ["| case | ours | %s |" % " | ".join(o["name"] for o in others)
             if others else "| case | ours |",
             "| --- " * (2 + len(others)) + "|"]
    for name, value in result["ours"].items():
        cells = [name, _text(name, value)]
        cells += [_text(name, o["cases"].get(name)) for o in others]
        lines.append("| %s |" % " | ".join(cells))
    lines += ["", *["%s: %s." % (o["name"], o["skipped"] if "skipped" in o
                                 else o.get("how", "")) for o in
                    result["others"]]]
    return lines
