# SPDX-License-Identifier: Apache-2.0
"""Rate limits: embedded, and shared through a real redis-server."""
import json
import signal
import time

import pytest

import manifests as m
from wire import connect, request, wait_until


def objects(port, origin_port, policies, stores=(), paths=("/",)):
    return [m.gateway([m.listener("http", port)]),
            *[m.http_route(f"r{i}", [m.rule(p, ["one"])]) for i, p in enumerate(paths)],
            *m.service("one", origin_port), *policies, *stores]


def statuses(port, count, target="/", **more):
    with connect(port) as s:
        return [request(port, target, sock=s, **more).status for _ in range(count)]


def test_instance_limit(gateways, origins):
    gateway, origin = gateways(), origins()
    gateway.write(objects(gateway.port, origin.port, [m.limit("l", "r0", 10)]))
    gateway.start()
    got = statuses(gateway.port, 15)
    assert got == [200] * 10 + [429] * 5
    response = request(gateway.port, "/")
    assert response.status == 429 and int(response.get("retry-after")) >= 1
    assert response.get("content-type") == "application/problem+json"
    assert "limit" in response.get("ratelimit-policy") and response.get("ratelimit")
    assert json.loads(response.body)["status"] == 429
    record = gateway.log(response_code=429)
    assert record["response_flags"] == "RL" and record["rl_policy"] == "test/l"
    assert len(origin.data.split(b"GET / ")) - 1 == 10


def test_limit_survives_a_reload(gateways, origins):
    gateway, origin = gateways(), origins()
    policy = m.limit("l", "r0", 5)
    gateway.write(objects(gateway.port, origin.port, [policy]))
    gateway.start()
    assert statuses(gateway.port, 5) == [200] * 5
    gateway.apply(objects(gateway.port, origin.port, [policy], paths=("/", "/other")))
    assert statuses(gateway.port, 1) == [429]
    assert statuses(gateway.port, 1, "/other") == [200]


def test_header_key_and_shadow(gateways, origins):
    gateway, origin = gateways(), origins()
    by_header = m.limit("by-header", "r0", 2, key=[{"header": {"name": "x-tenant"}}])
    shadow = m.limit("shadow", "r1", 1, mode="Shadow")
    gateway.write(objects(gateway.port, origin.port, [by_header, shadow], paths=("/h", "/s")))
    gateway.start()
    for tenant in ("a", "b"):
        got = statuses(gateway.port, 3, "/h", fields=[("X-Tenant", tenant)])
        assert got == [200, 200, 429]
    assert statuses(gateway.port, 3, "/s") == [200] * 3


def shared(gateways, origins, redis, requests, **rule):
    """Two gateways, one limit."""
    pair = [gateways(), gateways()]
    origin = origins()
    policy = m.limit("l", "r0", requests, store="s", **rule)
    for gateway in pair:
        gateway.write(objects(gateway.port, origin.port, [policy],
                              [m.store("s", redis.endpoint)], paths=("/",)))
        gateway.start()
    return pair


def connected(gateway):
    wait_until(lambda: gateway.metric("ringgate_ratelimit_store_connects_total") >= 1,
               "a connection to the store")


def test_global_limit_is_shared(gateways, origins, redis):
    first, second = shared(gateways, origins, redis, 20)
    got = []
    for _ in range(15):
        got += statuses(first.port, 1) + statuses(second.port, 1)
    # The very first requests may find no connection yet and be decided locally.
    assert 20 <= got.count(200) <= 24 and got.count(429) == 30 - got.count(200)
    assert got[-4:] == [429] * 4
    keys = redis.ask("KEYS", "*")
    assert keys.startswith(b"*") and keys != b"*0\r\n" and b"127.0.0.1" not in keys


def test_rate_over_time(gateways, origins, redis):
    """50/s with a burst of 50, offered more by both for 4 s: between 97 and 100 percent pass."""
    first, second = shared(gateways, origins, redis, 50, period="1s")
    for gateway in (first, second):
        statuses(gateway.port, 3)
        connected(gateway)
    time.sleep(1.2)  # the bucket is full again

    def late():
        return sum(g.metric("ringgate_ratelimit_store_errors_total") for g in (first, second))

    before = late()
    passed, offered = 0, 0
    with connect(first.port) as a, connect(second.port) as b:
        begin = time.monotonic()
        while time.monotonic() - begin < 4:
            for gateway, s in ((first, a), (second, b)):
                passed += request(gateway.port, "/", sock=s).status == 200
                offered += 1
            time.sleep(0.005)
        elapsed = time.monotonic() - begin
    allowed = 50 + 50 * elapsed
    if offered < 1.2 * allowed:
        pytest.skip(f"this machine offered only {offered} requests in {elapsed:.1f} s")
    # On a busy machine an answer may miss its 5 ms; such a request is decided locally.
    most = allowed + 1 + late() - before
    assert 0.97 * allowed - 1 <= passed <= most, (passed, allowed, most, offered)


@pytest.mark.parametrize("policy, during", [
    ("Local", {200, 429}), ("Open", {200}), ("Closed", {503})])
def test_store_killed_and_back(gateways, origins, redis, policy, during):
    gateway, origin = gateways(), origins()
    rule = m.limit("l", "r0", 5, store="s", onStoreFailure=policy)
    gateway.write(objects(gateway.port, origin.port, [rule], [m.store("s", redis.endpoint)]))
    gateway.start()
    statuses(gateway.port, 2)
    connected(gateway)
    wait_until(lambda: 429 in statuses(gateway.port, 8), "the shared limit")
    redis.kill()
    got = statuses(gateway.port, 12)
    assert set(got) <= during, got
    if policy == "Closed":
        assert gateway.log(response_code=503)["response_flags"] == "RLSE"
    if policy == "Local":
        assert 429 in got or 429 in statuses(gateway.port, 12)
    redis.start()  # empty: the bucket is full again, and the script must be loaded anew
    # A bucket in the store again means that decisions are made there again.
    wait_until(lambda: statuses(gateway.port, 1) and redis.ask("DBSIZE") == b":1\r\n",
               "decisions by the new store")
    wait_until(lambda: 429 in statuses(gateway.port, 8), "the shared limit")


def test_store_paused(gateways, origins, redis):
    gateway, origin = gateways(), origins()
    rule = m.limit("l", "r0", 1000, store="s")
    gateway.write(objects(gateway.port, origin.port, [rule], [m.store("s", redis.endpoint)]))
    gateway.start()
    statuses(gateway.port, 2)
    connected(gateway)
    redis.process.send_signal(signal.SIGSTOP)
    try:
        begin = time.monotonic()
        assert statuses(gateway.port, 200) == [200] * 200
        # No request waits beyond the deadline of 5 ms, most do not wait at all (breaker).
        assert time.monotonic() - begin < 5
    finally:
        redis.process.send_signal(signal.SIGCONT)
    errors = gateway.metric("ringgate_ratelimit_store_errors_total")
    assert errors > 0
    wait_until(lambda: settled_decision(gateway), "decisions by the store")


def settled_decision(gateway):
    """A request that the store decided: no new store error."""
    before = gateway.metric("ringgate_ratelimit_store_errors_total")
    state = [line for line in gateway.get("/metrics")[1].splitlines()
             if line.startswith("ringgate_ratelimit_store_state") and line.endswith(" 1")]
    assert statuses(gateway.port, 1) == [200]
    return gateway.metric("ringgate_ratelimit_store_errors_total") == before and any(
        "open" not in line.replace("half_open", "").replace("half-open", "") for line in state)


def test_store_flushed(gateways, origins, redis):
    gateway, origin = gateways(), origins()
    rule = m.limit("l", "r0", 5, store="s")
    gateway.write(objects(gateway.port, origin.port, [rule], [m.store("s", redis.endpoint)]))
    gateway.start()
    statuses(gateway.port, 2)
    connected(gateway)
    wait_until(lambda: 429 in statuses(gateway.port, 8), "the limit")
    assert redis.ask("FLUSHALL") == b"+OK\r\n" and redis.ask("SCRIPT", "FLUSH") == b"+OK\r\n"
    got = statuses(gateway.port, 8)
    assert set(got) <= {200, 429} and 200 in got
    wait_until(lambda: redis.ask("DBSIZE") == b":1\r\n" or not statuses(gateway.port, 1),
               "the bucket")


def test_store_that_is_not_there(gateways, origins):
    gateway, origin = gateways(), origins()
    rule = m.limit("l", "r0", 5, store="s")
    gateway.write(objects(gateway.port, origin.port, [rule],
                          [m.store("s", f"unix:{gateway.folder}/no.sock")]))
    gateway.start()
    got = statuses(gateway.port, 12)
    assert set(got) <= {200, 429} and 429 in got
