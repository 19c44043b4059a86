"""The protobuf messages of Upstox's market data feed v3, built when this is imported.

Source: Upstox API documentation, "Market Data Feed V3", schema of the newest published `.proto`. Fields that are not in
the table, such as those of the closing auction of September 2026, are skipped when a message is read.
"""

from __future__ import annotations

from typing import Any, Final

from brokers.protobuf import messages

PACKAGE = "com.upstox.marketdatafeederv3udapi.rpc.proto"
FILE = "trademaster/upstox_feed_v3.proto"

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
    "MarketInfo": "1 map:string:int32 segmentStatus",
    "FeedResponse": "1 int32 type, 2 map:string:Feed feeds, 3 int64 currentTs, 4 MarketInfo marketInfo",
}
INITIAL_FEED, LIVE_FEED, MARKET_INFO = 0, 1, 2  # FeedResponse.type
LTPC, FULL_D5, OPTION_GREEKS = 0, 1, 2  # Feed.requestMode
NORMAL_OPEN = 2  # MarketInfo.segmentStatus

FeedResponse: Any = messages(PACKAGE, FILE, SCHEMA)["FeedResponse"]
