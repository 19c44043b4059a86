"""The rest of the exchanges' lists: made-up shares and option chains around instruments.csv, for masters of real size.

Deterministic, and in the file's own columns. Companies, ISINs (their check digit is right) and numbers are invented;
chains stand on the file's shares, on invented ones, and on the indices. Nothing in here trades: there are no prices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import count, islice, pairwise, product

from brokers.simulation.instruments import Listing, listings, load_instruments

FIRST = (
    *("Aditi", "Bhavani", "Chetak", "Deccan", "Eklavya", "Falgun", "Ganga", "Himgiri", "Indus", "Jagriti", "Kaveri"),
    *("Lakshya", "Malwa", "Narmada", "Omkar", "Pragati", "Quetzal", "Rajdhani", "Sahyadri", "Tapti", "Udaan", "Varuna"),
    *("Wardha", "Yamuna", "Zenith", "Aravali", "Brahma", "Chambal", "Devgiri", "Everest", "Firoza", "Godavari"),
    *("Haldi", "Ishan", "Jaldhara", "Konark", "Lohit", "Mayur", "Nilgiri", "Orchha", "Palash", "Ratna", "Satpura"),
    *("Teesta", "Utkal", "Vindhya", "Warana", "Yash", "Zanskar", "Amber", "Betwa", "Chenab", "Damodar", "Elora"),
    *("Gomti", "Hampi", "Jhelum", "Kosi", "Luni", "Mahi", "Netra", "Panna", "Ravi", "Shipra", "Tungabhadra"),
)
SECOND = (
    *("Agro", "Alloys", "Auto", "Bearings", "Biotech", "Cables", "Capital", "Castings", "Cement", "Ceramics"),
    *("Chemicals", "Cotton", "Dairy", "Drugs", "Dyes", "Electric", "Engineering", "Estates", "Exports", "Fabrics"),
    *("Fasteners", "Feeds", "Fertilisers", "Finance", "Foods", "Forgings", "Gases", "Gears", "Glass", "Granites"),
    *("Hospitals", "Hotels", "Infra", "Insurance", "Jewels", "Jute", "Leather", "Logistics", "Marine", "Media"),
    *("Metals", "Mills", "Minerals", "Motors", "Networks", "Oils", "Organics", "Packaging", "Paints", "Papers"),
    *("Pharma", "Pipes", "Plastics", "Polymers", "Ports", "Power", "Projects", "Pumps", "Retail", "Rubber"),
    *("Salts", "Seeds", "Silk", "Solar", "Spices", "Steel", "Sugar", "Systems", "Tea", "Telecom", "Textiles", "Tyres"),
)
# underlying, exchange, level, step of strikes, lot, freeze quantity
INDICES = (
    ("NIFTY", "NFO", 25_000, 50, 65, 1800),
    ("BANKNIFTY", "NFO", 56_000, 100, 30, 600),
    ("SENSEX", "BFO", 82_000, 100, 20, 1000),
    ("FINNIFTY", "NFO", 26_500, 50, 60, 1800),
    ("MIDCPNIFTY", "NFO", 13_200, 25, 120, 2800),
)
KITE_SEGMENTS = {"NSE": 1, "NFO": 2, "BSE": 4, "BFO": 5}
IIFL_WORDS = {"NFO": "NSEFO", "BFO": "BSEFO"}
MONTHS_OF_WEEKLIES = "123456789OND"
FIRST_EXPIRY = date(2026, 12, 1)
# Above every number of the file.
NSE_TOKENS, BSE_CODES, CONTRACT_TOKENS = 700_000, 600_000, 2_000_000
BSE_EVERY = 4  # three of four made-up shares are at BSE too


@dataclass(frozen=True, slots=True)
class Size:
    shares: int
    index_strikes: int
    index_expiries: int
    stocks: int
    stock_strikes: int
    stock_expiries: int


DEMO = Size(shares=400, index_strikes=61, index_expiries=3, stocks=20, stock_strikes=21, stock_expiries=3)
FULL = Size(shares=4000, index_strikes=201, index_expiries=12, stocks=260, stock_strikes=81, stock_expiries=4)


def all_listings(size: Size) -> Iterator[Listing]:
    """What a master lists: the file's, then the made-up ones, about 5,000 for DEMO and 200,000 for FULL."""
    yield from load_instruments()
    yield from made_up_demo() if size is DEMO else _made_up(size)


@cache
def made_up_demo() -> tuple[Listing, ...]:
    return tuple(_made_up(DEMO))


def _made_up(size: Size) -> Iterator[Listing]:
    known = {listing.key for listing in load_instruments()}
    tokens = count(CONTRACT_TOKENS)
    for row in _shares(size.shares):
        yield from listings(row)
    for underlying, exchange, level, step, lot, freeze in INDICES:
        expiries = weekly_expiries(size.index_expiries)
        for row in _chain(
            underlying, exchange, "INDEX", level, step, lot, freeze, size.index_strikes, expiries, tokens
        ):
            yield from (listing for listing in listings(row) if listing.key not in known)
    for number, underlying in enumerate(islice(_stock_names(), size.stocks)):
        level, lot = 200 + 137 * number % 3000, 100 + 25 * (number % 40)
        expiries = monthly_expiries(size.stock_expiries)
        step = max(1, level // 100)
        for row in _chain(
            underlying, "NFO", "EQUITY", level, step, lot, lot * 40, size.stock_strikes, expiries, tokens
        ):
            yield from (listing for listing in listings(row) if listing.key not in known)


def isin_of(number: int) -> str:
    """A made-up ISIN of an Indian share, with its check digit."""
    body = f"INE{number % 1000:03d}{'ZYXWVUTSRQ'[number // 1000]}01{10 + number % 90}"
    return body + check_digit(body)


def check_digit(body: str) -> str:
    """Luhn's, over the digits of the first eleven signs, letters counting as 10 to 35."""
    digits = "".join(str(int(sign, 36)) for sign in body)
    doubled = (int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def weekly_expiries(number: int) -> list[date]:
    """Tuesdays, beginning with the first of the chains."""
    return [FIRST_EXPIRY + timedelta(weeks=week) for week in range(number)]


def monthly_expiries(number: int) -> list[date]:
    """The last Tuesdays of so many months."""
    tuesdays = weekly_expiries(5 * number + 5)
    last = [day for day, later in pairwise(tuesdays) if day.month != later.month]
    return last[:number]


def _names() -> Iterator[tuple[str, str]]:
    """Symbol and name, each but once: `SAHYATYRES`, `Sahyadri Tyres Ltd.`."""
    taken = {listing.symbol for listing in load_instruments()}
    for second, first in product(SECOND, FIRST):
        symbol = (first[:5] + second[:5]).upper()
        if symbol not in taken:
            taken.add(symbol)
            yield symbol, f"{first} {second} Ltd."


def _stock_names() -> Iterator[str]:
    yield from (item.symbol for item in load_instruments() if (item.exchange, item.kind) == ("NSE", "EQUITY"))
    yield from (symbol for symbol, _ in _names())


def _shares(number: int) -> Iterator[dict[str, str]]:
    for place, (symbol, name) in enumerate(islice(_names(), number)):
        token, code = NSE_TOKENS + place, BSE_CODES + place if place % BSE_EVERY else None
        series, isin = ("BE" if place % 25 == 7 else "EQ"), isin_of(place)
        yield _blank() | {
            "canonical_id": f"EQ:{isin}", "kind": "EQUITY", "symbol": symbol, "name": name, "isin": isin,
            "series": series, "asset_class": "EQUITY", "nse_token": str(token), "bse_code": str(code or ""),
            "kite_token_nse": _kite(token, "NSE"), "kite_token_bse": _kite(code, "BSE") if code else "",
            "kite_symbol": symbol, "angel_symbol": f"{symbol}-{series}", "upstox_key": f"NSE_EQ|{isin}",
            "upstox_symbol": symbol, "fyers_symbol": f"NSE:{symbol}-{series}", "groww_symbol": symbol,
            "iifl_exchange": "NSEEQ", "iifl_id": str(token), "lot_size": "1", "contract_multiplier": "1",
            "tick_size": "by price tier",
        }  # fmt: skip


def _chain(
    underlying: str, exchange: str, asset_class: str, level: int, step: int, lot: int, freeze: int,
    strikes: int, expiries: list[date], tokens: Iterator[int],
) -> Iterator[dict[str, str]]:  # fmt: skip
    """A future and its options, for each expiry."""
    lowest = max(step, level - level % step - step * (strikes // 2))
    last = {(day.year, day.month): day for day in expiries}
    house = exchange[0] + "SE"
    for expiry in expiries:
        is_monthly = expiry == last[expiry.year, expiry.month]
        code = f"{expiry:%y%b}" if is_monthly else f"{expiry:%y}{MONTHS_OF_WEEKLIES[expiry.month - 1]}{expiry:%d}"
        endings = [("", "FUT")] if is_monthly else []
        endings += [(str(lowest + step * place), kind) for place in range(strikes) for kind in ("CE", "PE")]
        for strike, kind in endings:
            token = next(tokens)
            symbol = f"{underlying}{code}{strike}{kind}".upper()
            spoken = f"{strike} {kind}".strip()
            name = f"{underlying} {spoken} {expiry:%d %b %y}".upper()
            yield _blank() | {
                "canonical_id": symbol, "kind": "FUTURE" if kind == "FUT" else "OPTION", "symbol": symbol,
                "name": name, "asset_class": asset_class, "kite_token_nse": _kite(token, exchange),
                "kite_symbol": f"{exchange}:{symbol}", "upstox_key": f"{house}_FO|{token}", "upstox_symbol": name,
                "angel_symbol": f"{underlying}{expiry:%d%b%y}{strike}{kind}".upper(),
                "fyers_symbol": f"{house}:{symbol}", "iifl_exchange": IIFL_WORDS[exchange], "iifl_id": str(token),
                "groww_symbol": "-".join(filter(None, (house, underlying, f"{expiry:%d%b%y}", strike, kind))),
                "underlying": underlying, "expiry": expiry.isoformat(), "strike": strike,
                "option_type": "" if kind == "FUT" else kind, "lot_size": str(lot), "contract_multiplier": "1",
                "tick_size": "0.10" if kind == "FUT" else "0.05", "freeze_qty": str(freeze),
            }  # fmt: skip


def _blank() -> dict[str, str]:
    return dict.fromkeys(next(iter(load_instruments())).row, "")


def _kite(token: int | None, exchange: str) -> str:
    return "" if token is None else str(token * 256 + KITE_SEGMENTS[exchange])
