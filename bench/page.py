"""Writes measured figures into a page: what stands between `<!-- bench PART -->` and `<!-- bench end -->` is replaced."""

import re


def replace_parts(path, by_part):
    """`by_part`: lines of each part that was measured; other parts stay."""
    with open(path, encoding="utf-8") as f:
        old = f.read().splitlines()
    out, skip = [], False
    for line in old:
        begins = re.fullmatch(r"<!-- bench (\w+) -->", line)
        if begins and begins.group(1) == "end":
            skip = False
        if not skip:
            out.append(line)
        if begins and begins.group(1) in by_part:
            out += ["", *by_part[begins.group(1)], ""]
            skip = True
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out) + "\n")
