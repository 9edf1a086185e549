"""What the checksums of data files cost a scan of TPC-H lineitem: with them, and with them taken out."""

from benchmarks.harness import Bench, Row, median

SCANS = {
    "whole table": None,
    "two columns": ["l_orderkey", "l_comment"],
}


def run(bench: Bench) -> None:
    source = bench.lineitem(0.2 if bench.quick else 1)
    with bench.workers("atio") as workers:
        if "atio" not in workers:
            return
        worker, root = workers["atio"], bench.fresh("integrity")
        worker.call("write", root=root, source=source)
        for what, columns in SCANS.items():
            read = {
                name: lambda _, c=columns, on=on: worker.call("scan", root=root, columns=c, checked=on)
                for name, on in (("checked", True), ("unchecked", False))
            }
            bench.interleave(1, read)  # a first, cold one of each
            laps = bench.interleave(bench.pick(15, 7), read)
            checked, unchecked = median(laps, "checked"), median(laps, "unchecked")
            bench.report.rows.append(Row(f"scan, {what}", checked, "s", "without checks", unchecked, 1.05))
