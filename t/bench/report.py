# SPDX-License-Identifier: Apache-2.0
"""Results as JSON, as Markdown tables and as SVG bars."""
import json
import statistics

BAR, ROW, LEFT, RIGHT = 420, 26, 130, 170


def median(values):
    return statistics.median(values) if values else None


def number(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def spread(values):
    return f"{number(median(values))} ({number(min(values))} to {number(max(values))})"


def summary(rounds, baseline):
    """What the table shows of a peer; rounds: {peer: [one dict a round]}."""
    rows = {}
    for name, own in rounds.items():
        ratios = [r["us"] / b["us"] for r, b in zip(own, rounds.get(baseline, ()))]
        us = median([r["us"] for r in own])
        user = statistics.fmean(r["user"] for r in own)
        rows[name] = {"us": us, "us_min": min(r["us"] for r in own),
                      "us_max": max(r["us"] for r in own), "user_us": us * user,
                      "system_us": us * (1 - user), "ratio": median(ratios), "ratios": ratios,
                      "per_second": median([r["per_second"] for r in own]),
                      "failed": sum(r["failed"] for r in own),
                      "foreign": statistics.fmean(r["foreign"] for r in own)}
    return rows


def table(scenario, result):
    rows = sorted(result["peers"].items(), key=lambda item: item[1]["us"])
    lines = [f"### {scenario.name}: {scenario.title}", "",
             f"| peer | us CPU a {scenario.unit} | user | system | of {scenario.baseline}, same "
             "round | a second | system calls | p50 us | p99 us | MiB | failed |",
             "|---|" + "---:|" * 10]
    for name, r in rows:
        ratio = spread(r["ratios"]) if r["ratios"] else "-"
        cells = [name, f"**{number(r['us'])}** ({number(r['us_min'])} to {number(r['us_max'])})",
                 number(r["user_us"]), number(r["system_us"]), ratio, number(r["per_second"]),
                 number(r.get("syscalls")), number(r.get("p50")), number(r.get("p99")),
                 number(r.get("mib")), str(r["failed"])]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [f"<!-- {name}: {why} -->" for name, why in result["skipped"].items()]
    return lines + [""]


def simple_table(title, head, rows, skipped):
    lines = [f"### {title}", "", "| peer | " + " | ".join(head) + " |",
             "|---|" + "---:|" * len(head)]
    lines += ["| " + " | ".join([name, *map(number, values)]) + " |"
              for name, values in rows.items()]
    return lines + [f"<!-- {name}: {why} -->" for name, why in skipped.items()] + [""]


def markdown(results, scenarios):
    lines = ["# Benchmark", ""]
    lines += [f"- {key}: {value}" for key, value in results["machine"].items()]
    versions = ", ".join(f"{k} {v}" for k, v in sorted(results["versions"].items()))
    lines += [f"- peers: {versions}", f"- {results['method']}", ""]
    for scenario in scenarios:
        if scenario.name in results["scenarios"]:
            lines += table(scenario, results["scenarios"][scenario.name])
    for name, one in results["others"].items():
        lines += simple_table(f"{name}: {one['title']}", one["head"], one["rows"],
                              one["skipped"])
    return "\n".join(lines)


def bars(scenario, result):
    """One SVG: user and system time of each peer."""
    rows = sorted(result["peers"].items(), key=lambda item: item[1]["us"])
    longest = max(r["us"] for _, r in rows)
    height = ROW * len(rows) + 44
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + BAR + RIGHT}" '
           f'height="{height}" font-family="sans-serif" font-size="13">',
           f'<text x="8" y="20" font-weight="bold">{scenario.name}: {scenario.title}; us CPU a '
           f"{scenario.unit} (dark: user)</text>"]
    for i, (name, r) in enumerate(rows):
        y = 34 + i * ROW
        user, system = (BAR * r[k] / longest for k in ("user_us", "system_us"))
        color = ("#0b5394", "#9fc5e8") if name.startswith("ringgate") else ("#666", "#ccc")
        ratio = f", {r['ratio']:.2f} of {scenario.baseline}" if r["ratio"] else ""
        out += [f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{name}</text>',
                f'<rect x="{LEFT}" y="{y}" width="{user:.1f}" height="18" fill="{color[0]}"/>',
                f'<rect x="{LEFT + user:.1f}" y="{y}" width="{system:.1f}" height="18" '
                f'fill="{color[1]}"/>',
                f'<text x="{LEFT + user + system + 6:.1f}" y="{y + 14}">{number(r["us"])}{ratio}'
                "</text>"]
    return "\n".join([*out, "</svg>", ""])


def write(folder, results, scenarios):
    """results.json, results.md and a picture for each scenario."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "results.md").write_text(markdown(results, scenarios))
    for scenario in scenarios:
        result = results["scenarios"].get(scenario.name)
        if result and result["peers"]:
            (folder / f"{scenario.name}.svg").write_text(bars(scenario, result))
