"""Lines of a TOML file: where a key stands, for whoever must mend it. Pure."""

from collections import Counter


def line_of(text: str, keys: list[str]) -> int | None:
    """The line on which a key stands, its table's heading if the key itself is not there."""
    heading_line, table, wanted = None, "", ".".join(keys)
    before: Counter[str] = Counter()  # of the tables of one name, [[rule]]
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            table = stripped.strip("[] ").split("#")[0].strip("[] ")
            if stripped.startswith("[["):
                before[table] += 1
                table = f"{table}.{before[table] - 1}"
            if keys and table in (keys[0], ".".join(keys[:2])):
                heading_line = number
            if table == wanted:
                return number
        elif "=" in stripped and not stripped.startswith("#"):
            key = stripped.split("=")[0].strip().strip('"')
            full = f"{table}.{key}" if table else key
            # Inside a free table, such as agent.variables, the mistake is deeper than the key.
            if wanted == full or ("." in full and wanted.startswith(f"{full}.")):
                return number
    return heading_line
