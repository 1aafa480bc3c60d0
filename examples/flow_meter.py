"""Meter flows with columns instead of calls: python flow_meter.py CAPTURE. Needs polars.

One row per flow, side and burst with new data comes in batches of 4,096 rows, whatever the number of packets.
"""

import sys

import midsock as ms
import polars as pl

stack = ms.Stack(sys.argv[1])
columns = ["flow.id", "event.side", "event.time", "event.length", "server.port"]
frames = [pl.DataFrame(batch) for batch in stack.batches(ms.ON_CONN_NEW_DATA, columns=columns, size=4096)]
if not frames:
    sys.exit("no data was sent")

flows = (
    pl.concat(frames)
    .group_by("flow.id", "server.port")
    .agg(
        sent=pl.col("event.length").filter(pl.col("event.side") == ms.CLIENT).sum(),
        received=pl.col("event.length").filter(pl.col("event.side") == ms.SERVER).sum(),
        seconds=(pl.col("event.time").max() - pl.col("event.time").min()).cast(pl.Int64) / 1e9,
    )
    .sort("received", "flow.id", descending=[True, False])
)
print(flows.head(10))
print(f"{len(flows)} flows, {flows['sent'].sum()} bytes to servers, {flows['received'].sum()} from them")
