"""Shares of work: fair, the same for everybody who looks, and never held by two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from market.leases import Leases, share
from tests.market.redis import emptied

NAMES = st.frozensets(st.text("abcdefgh", min_size=1, max_size=4), max_size=12)


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    async with emptied() as client:
        yield client


@given(keys=NAMES, owners=NAMES.filter(bool))
def test_every_key_has_one_owner_and_nobody_more_than_a_full_share(
    keys: frozenset[str], owners: frozenset[str]
) -> None:
    shares = [share(keys, owners, owner) for owner in owners]
    assert frozenset().union(*shares) == keys
    assert all(not one & other for one, other in combinations(shares, 2))
    assert max(map(len, shares)) <= -(-len(keys) // len(owners))


def test_few_keys_move_when_an_owner_comes() -> None:
    keys = [f"connection-{number}" for number in range(300)]
    before = {key: owner for owner in "abc" for key in share(keys, "abc", owner)}
    after = {key: owner for owner in "abcd" for key in share(keys, "abcd", owner)}
    moved = sum(before[key] != after[key] for key in keys)
    assert 75 <= moved <= 150


def test_without_owners_there_are_no_shares() -> None:
    assert share(["a"], [], "me") == frozenset()


class TestLeases:
    KEYS = ("1", "2", "3", "4", "5", "6")

    async def test_two_processes_have_three_each(self, redis: Redis) -> None:
        one, other = Leases(redis, "test", "one", 5), Leases(redis, "test", "other", 5)
        assert await one.mine(self.KEYS) == set(self.KEYS)
        await other.mine(self.KEYS)
        mine, theirs = await one.mine(self.KEYS), await other.mine(self.KEYS)
        assert (len(mine), len(theirs), mine | theirs) == (3, 3, set(self.KEYS))

    async def test_what_one_holds_the_other_does_not_get(self, redis: Redis) -> None:
        one, other = Leases(redis, "test", "one", 5), Leases(redis, "test", "other", 5)
        assert await one.hold(["1", "2"]) == {"1", "2"}
        assert await other.hold(["2", "3"]) == {"3"}
        await other.release(["2"])  # it is not theirs to give
        assert await one.hold(["1", "2"]) == {"1", "2"}
        await one.release(["2"])
        assert await other.hold(["2"]) == {"2"}

    async def test_the_dead_are_inherited_from(self, redis: Redis) -> None:
        dead, living = Leases(redis, "test", "dead", 0.05), Leases(redis, "test", "living", 5)
        await dead.mine(self.KEYS)
        await dead.hold(self.KEYS)
        assert await living.hold(self.KEYS) == frozenset()
        await asyncio.sleep(0.06)  # Redis' own clock cannot be passed in
        assert await living.mine(self.KEYS) == set(self.KEYS)
        assert await living.hold(self.KEYS) == set(self.KEYS)
        assert await dead.hold(self.KEYS) == frozenset()

    async def test_whoever_leaves_is_not_waited_for(self, redis: Redis) -> None:
        one, other = Leases(redis, "test", "one", 60), Leases(redis, "test", "other", 60)
        await one.mine(self.KEYS)
        await other.mine(self.KEYS)
        held = await one.hold(await one.mine(self.KEYS))
        await one.leave(held)
        assert await other.hold(await other.mine(self.KEYS)) == set(self.KEYS)

    async def test_leases_of_other_things_do_not_meet(self, redis: Redis) -> None:
        assert await Leases(redis, "test", "one", 5).hold(["1"]) == {"1"}
        assert await Leases(redis, "other", "two", 5).hold(["1"]) == {"1"}

    async def test_more_than_one_script_full(self, redis: Redis) -> None:
        keys = [str(number) for number in range(2500)]
        one = Leases(redis, "test", "one", 5)
        assert await one.hold(keys) == set(keys)
        await one.release(keys)
        assert await redis.keys("leases:*") == []
