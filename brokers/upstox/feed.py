"""The protobuf messages of Upstox's market data feed v3, built when this is imported.

Source: Upstox API documentation, "Market Data Feed V3", schema of the newest published `.proto`. Fields that are not in
the table, such as those of the closing auction of September 2026, are skipped when a message is read.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "com.upstox.marketdatafeederv3udapi.rpc.proto"
FILE = "trademaster/upstox_feed_v3.proto"

# Message → its fields: number, type, name. `list` repeats, `map` has texts as keys, `one` is one field of a choice: at
# most one of them is there. Enums travel as int32.
SCHEMA: Final = {
    "LTPC": "1 double ltp, 2 int64 ltt, 3 int64 ltq, 4 double cp",
    "Quote": "1 int64 bidQ, 2 double bidP, 3 int64 askQ, 4 double askP",
    "MarketLevel": "1 list:Quote bidAskQuote",
    "OptionGreeks": "1 double delta, 2 double theta, 3 double gamma, 4 double vega, 5 double rho",
    "OHLC": ("1 string interval, 2 double open, 3 double high, 4 double low, 5 double close, 6 int64 vol, 7 int64 ts"),
    "MarketOHLC": "1 list:OHLC ohlc",
    "MarketFullFeed": (
        "1 LTPC ltpc, 2 MarketLevel marketLevel, 3 OptionGreeks optionGreeks, 4 MarketOHLC marketOHLC, "
        "5 double atp, 6 int64 vtt, 7 double oi, 8 double iv, 9 double tbq, 10 double tsq"
    ),
    "IndexFullFeed": "1 LTPC ltpc, 2 MarketOHLC marketOHLC",
    "FullFeed": "1 one:MarketFullFeed marketFF, 2 one:IndexFullFeed indexFF",
    "FirstLevelWithGreeks": (
        "1 LTPC ltpc, 2 Quote firstDepth, 3 OptionGreeks optionGreeks, 4 int64 vtt, 5 double oi, 6 double iv"
    ),
    "Feed": (
        "1 one:LTPC ltpc, 2 one:FullFeed fullFeed, 3 one:FirstLevelWithGreeks firstLevelWithGreeks, 4 int32 requestMode"
    ),
    "MarketInfo": "1 map:int32 segmentStatus",
    "FeedResponse": "1 int32 type, 2 map:Feed feeds, 3 int64 currentTs, 4 MarketInfo marketInfo",
}
INITIAL_FEED, LIVE_FEED, MARKET_INFO = 0, 1, 2  # FeedResponse.type
LTPC, FULL_D5, OPTION_GREEKS = 0, 1, 2  # Feed.requestMode
NORMAL_OPEN = 2  # MarketInfo.segmentStatus

Field = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    "double": Field.TYPE_DOUBLE,
    "int32": Field.TYPE_INT32,
    "int64": Field.TYPE_INT64,
    "string": Field.TYPE_STRING,
}


def _described() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=FILE, package=PACKAGE, syntax="proto3")
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for line in fields.split(", "):
            _add(message, *line.split(" "))
    return file


def _add(message: descriptor_pb2.DescriptorProto, number: str, kind: str, name: str) -> None:
    """Add a field. A map is a list of pairs that are marked as such."""
    how, _, kind = kind.rpartition(":")
    field = message.field.add(name=name, number=int(number), label=Field.LABEL_OPTIONAL)
    if how == "map":
        pair = message.nested_type.add(name=f"{name[0].upper()}{name[1:]}Entry")
        pair.options.map_entry = True
        _add(pair, "1", "string", "key")
        _add(pair, "2", kind, "value")
        kind = f"{message.name}.{pair.name}"
    if how == "one":
        if not message.oneof_decl:
            message.oneof_decl.add(name="choice")
        field.oneof_index = 0
    if how in ("list", "map"):
        field.label = Field.LABEL_REPEATED
    if kind in SCALARS:
        field.type = SCALARS[kind]
    else:
        field.type, field.type_name = Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"


# A pool of our own: another library may know the same package from its `.proto`.
_pool = descriptor_pool.DescriptorPool()
_pool.Add(_described())
FeedResponse: Any = message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.FeedResponse"))
