"""The protobuf messages of Groww's live feed.

Source: the Groww SDK's descriptors, growwapi 1.5.0. Enums travel as numbers: STATUSES and the tables behind it read
those of an order's message. (A position's message has other numbers for exchanges.)
"""

from __future__ import annotations

from typing import Any, Final

from brokers.protobuf import messages

PACKAGE = "stocksData.response"
FILE = "trademaster/groww_feed.proto"

SCHEMA: Final = {
    "BookProto": "1 double price, 2 double qty",
    "StocksLivePriceProto": (
        "1 double tsInMillis, 2 double open, 3 double high, 4 double low, 5 double close, 6 double volume, "
        "7 double value, 8 double bidQty, 9 double offerQty, 10 double avgPrice, 11 double highPriceRange, "
        "12 double lowPriceRange, 13 double ltp, 14 double openInterest, 15 double lowTradeRange, "
        "16 double highTradeRange"
    ),
    "StocksMarketDepthProto": ("1 double tsInMillis, 2 map:int32:BookProto buyBook, 3 map:int32:BookProto sellBook"),
    "StocksLiveIndicesProto": "1 double tsInMillis, 2 double value",
    "StocksSocketResponseProtoDto": (
        "1 string symbol, 2 int32 segment, 3 int32 exchange, 4 one:StocksLivePriceProto stockLivePrice, "
        "5 one:StocksMarketDepthProto stocksMarketDepth, 6 one:StocksLiveIndicesProto stocksLiveIndices"
    ),
    "StageAndTimeStamp": "1 double timeStampFromMidNight, 2 string stageName",
    "OrderDetailUpdateDto": (
        "1 int32 qty, 2 int64 price, 3 int64 triggerPrice, 4 int32 filledQty, 5 int32 remainingQty, "
        "6 int64 avgFillPrice, 7 string growwOrderId, 8 string exchangeOrderId, 9 int32 orderStatus, "
        "10 int32 duration, 11 int32 exchange, 12 int32 segment, 13 int32 product, 14 int32 orderType, "
        "15 int32 buySell, 16 string remark, 22 string contractId, 23 string guiOrderId"
    ),
    "OrderDetailsBroadCastDto": (
        "1 list:StageAndTimeStamp stageAndTimeStamp, 2 OrderDetailUpdateDto orderDetailUpdateDto"
    ),
    "SymbolInfoProto": "4 string contractId",
    "ExchangePosition": "1 double creditQty, 2 double creditPrice, 3 double debitQty, 4 double debitPrice",
    "PositionInfoProto": "1 string symbolIsin, 2 ExchangePosition BSE, 3 ExchangePosition NSE",
    "PositionDetailProto": "1 SymbolInfoProto symbolData, 2 PositionInfoProto positionInfo",
}

_messages = messages(PACKAGE, FILE, SCHEMA)
StocksSocketResponse: Any = _messages["StocksSocketResponseProtoDto"]
OrderDetailsBroadCast: Any = _messages["OrderDetailsBroadCastDto"]
PositionDetail: Any = _messages["PositionDetailProto"]

# By number, from 0; the words are those of the calls, but for the side's.
STATUSES = (
    "NEW", "ACKED", "TRIGGER_PENDING", "APPROVED", "REJECTED", "FAILED", "EXECUTED", "DELIVERY_AWAITED", "CANCELLED",
    "CANCELLATION_REQUESTED", "MODIFICATION_REQUESTED", "COMPLETED",
)  # fmt: skip
DURATIONS = ("IOC", "DAY", "GTD", "GTC", "EOS")
EXCHANGES = ("BSE", "NSE", "MCX", "MCXSX", "NCDEX", "US")
PRODUCTS = ("CNC", "MIS", "CO", "BO", "NRML", "ARB", "MTF")
ORDER_TYPES = ("MARKET", "LIMIT", "SL", "SL_M")
SIDES = ("BUY", "SELL")
