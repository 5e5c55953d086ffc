# SPDX-License-Identifier: Apache-2.0
"""The table on the terminal, and the pages that are kept."""
import json

from table import others


def _target(row):
    if not row["sign"]:
        return "-"
    return "%s %g %s" % (row["sign"], row["target"], row["unit"])


def _value(row):
    if "value" not in row:
        return "-"
    return "%.2f" % row["value"] if row["unit"].startswith("x ") else ""


def _cells(row):
    return [row["text"], _target(row), row.get("figure", "-"),
            row.get("against") or "", _value(row),
            row["verdict"].upper() if row["verdict"] in ("miss", "failed")
            else row["verdict"]] + ([row["why"]] if "why" in row else [])


def line(row):
    cells = _cells(row)
    return "%-72s %-22s %-26s %-34s %5s  %s" % tuple(
        cells[:5] + [" ".join(cells[5:])])


def header():
    return "%-72s %-22s %-26s %-34s %5s  %s" % (
        "case", "must reach", "ours", "against", "ratio", "")


def summary(rows):
    n = {v: sum(r["verdict"] == v for r in rows)
         for v in ("pass", "miss", "failed", "skipped", "info")}
    return "%(pass)d reached, %(miss)d missed, %(failed)d failed, " \
        "%(skipped)d skipped, %(info)d for information" % n


def _markdown_rows(rows):
    lines = ["| case | must reach | ours | against | ratio | verdict |",
             "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        cells = _cells(row)
        cells[5] = " ".join(cells[5:])
        lines.append("| %s |" % " | ".join(cells[:6]))
    return lines


def markdown(result):
    host = result["host"]
    lines = ["# %s, %s" % (result["what"], host["date"][:10]), "",
             "Commit %s, %s rounds of %s s%s. %s" % (
                 result["commit"], result["rounds"], result["round_s"],
                 ", a quick look" if result["quick"] else "",
                 summary(result["rows"]) + "."),
             "", "| host | |", "| --- | --- |",
             *["| %s | %s |" % (key.replace("_", " "), value)
               for key, value in host.items()], ""]
    lines += _markdown_rows(result["rows"])
    if "peers" in result:
        lines += ["", "## Others", "", *others.page(result["peers"])]
    return "\n".join(lines) + "\n"


BEGIN, END = "<!-- table -->\n", "<!-- end of table -->"


def has_marks(path):
    return path.exists() and END in path.read_text(
        encoding="utf-8").partition(BEGIN)[2]


def into(result, path):
    """Puts the table between the two marks of a page."""
    before, rest = path.read_text(encoding="utf-8").split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    host = result["host"]
    text = "%s, %d cores, kernel %s, %s, commit %s. %s.\n\n%s\n" % (
        host["cpu"], host["cores"], host["kernel"], host["date"][:10],
        result["commit"], summary(result["rows"]),
        "\n".join(_markdown_rows(result["rows"])))
    if "peers" in result:
        text += "\n" + "\n".join(others.page(result["peers"])) + "\n"
    path.write_text(before + BEGIN + text + END + after, encoding="utf-8")


def save(result, stem):
    stem.parent.mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".json", json.dumps(result, indent=1) + "\n"),
                         (".md", markdown(result))):
        stem.with_name(stem.name + suffix).write_text(text, encoding="utf-8")
