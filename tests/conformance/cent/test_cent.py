"""Every method of the server's HTTP API through its official Python client, `cent`, unmodified.

The same tests run in memory, on Redis, and with two nodes on one Redis, where calls go to one node and
clients are on the other.
"""

import asyncio
import itertools
import time
import unittest

import cent
from support import Api, Client, Node, Redis

NAMES = itertools.count()


class Methods:
    """The tests; a class beside this says on which servers."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.redis = Redis() if cls.on_redis else None
        cls.nodes = [Node(cls.redis) for _ in range(cls.count)]

    @classmethod
    def tearDownClass(cls) -> None:
        for node in cls.nodes:
            node.stop()
        if cls.redis:
            cls.redis.stop()

    async def asyncSetUp(self) -> None:
        self.api = Api(self.nodes[0], self.is_async)
        self.addAsyncCleanup(self.api.close)
        self.user = f"user-{next(NAMES)}"
        self.channel = f"chat:{next(NAMES)}"

    async def client(self, user: "str | None" = None) -> Client:
        client = await Client.connect(self.nodes[-1], user or self.user)
        self.addAsyncCleanup(client.close)
        return client

    async def reader(self, channel: "str | None" = None) -> Client:
        client = await self.client(f"reader-{next(NAMES)}")
        result = await client.call("subscribe", {"channel": channel or self.channel})
        self.assertIn("subscribe", result)
        return client

    async def fails(self, code: int, call) -> str:
        with self.assertRaises(cent.CentApiResponseError) as caught:
            await call
        self.assertEqual(caught.exception.code, code)
        return caught.exception.message

    async def test_a_published_message_arrives_with_its_tags(self) -> None:
        reader = await self.reader()
        request = cent.PublishRequest(channel=self.channel, data={"n": 1}, tags={"kind": "news"})
        first = await self.api.publish(request)
        second = await self.api.publish(cent.PublishRequest(channel=self.channel, data=["two"]))
        self.assertEqual([first.offset, second.offset], [1, 2])
        self.assertTrue(first.epoch and first.epoch == second.epoch)
        pub = (await reader.push("pub", 2), reader.pushes("pub")[0])[1]["pub"]
        self.assertEqual((pub["data"], pub["tags"], pub["offset"]), ({"n": 1}, {"kind": "news"}, 1))
        self.assertNotIn("info", pub)

    async def test_a_key_makes_a_repetition_harmless(self) -> None:
        request = cent.PublishRequest(channel=self.channel, data=1, idempotency_key="once")
        first, again = await self.api.publish(request), await self.api.publish(request)
        self.assertEqual((first.offset, first.epoch), (again.offset, again.epoch))
        history = await self.api.history(cent.HistoryRequest(channel=self.channel, limit=10))
        self.assertEqual(len(history.publications), 1)

    async def test_a_message_that_skips_history_is_told_and_not_kept(self) -> None:
        reader = await self.reader()
        await self.api.publish(cent.PublishRequest(channel=self.channel, data="kept"))
        skipped = await self.api.publish(
            cent.PublishRequest(channel=self.channel, data="told", skip_history=True)
        )
        self.assertEqual((skipped.offset, skipped.epoch), (0, ""))
        await self.api.publish(cent.PublishRequest(channel=self.channel, data="kept too"))
        await reader.push("pub", 3)
        self.assertEqual([one["pub"]["data"] for one in reader.pushes("pub")], ["kept", "told", "kept too"])
        history = await self.api.history(cent.HistoryRequest(channel=self.channel, limit=10))
        self.assertEqual([one.data for one in history.publications], ["kept", "kept too"])
        self.assertEqual(history.offset, 2)

    async def test_data_may_come_in_base64(self) -> None:
        await self.api.publish(cent.PublishRequest(channel=self.channel, data=None, b64data="eyJuIjoxfQ=="))
        history = await self.api.history(cent.HistoryRequest(channel=self.channel, limit=1))
        self.assertEqual(history.publications[0].data, {"n": 1})
        bad = cent.PublishRequest(channel=self.channel, data=None, b64data="////")
        message = await self.fails(107, self.api.publish(bad))
        self.assertIn("binary ones are not supported", message)
        client = await self.client()
        await self.api.subscribe(
            cent.SubscribeRequest(user=self.user, channel=self.channel, b64info="WzFd", b64data="WzJd")
        )
        self.assertEqual((await client.push("subscribe"))["subscribe"]["data"], [2])
        present = await self.api.presence(cent.PresenceRequest(channel=self.channel))
        self.assertEqual(present.presence[client.id].chan_info, [1])

    async def test_a_broadcast_tells_what_became_of_each_channel(self) -> None:
        other = f"chat:{next(NAMES)}"
        readers = [await self.reader(), await self.reader(other)]
        channels = [self.channel, "nowhere:a", other, ""]
        result = await self.api.broadcast(cent.BroadcastRequest(channels=channels, data=7, tags={"a": "b"}))
        codes = [response.error and response.error.code for response in result.responses]
        self.assertEqual(codes, [None, 102, None, 107])
        self.assertEqual([result.responses[at].result.offset for at in (0, 2)], [1, 1])
        for reader in readers:
            pub = (await reader.push("pub"))["pub"]
            self.assertEqual((pub["data"], pub["tags"]), (7, {"a": "b"}))
        await self.fails(107, self.api.broadcast(cent.BroadcastRequest(channels=[], data=7)))

    async def test_a_user_is_subscribed_by_the_server(self) -> None:
        client = await self.client()
        request = cent.SubscribeRequest(
            user=self.user, channel=self.channel, info={"role": "guest"}, data={"topic": "cats"}
        )
        await self.api.subscribe(request)
        push = await client.push("subscribe")
        self.assertEqual((push["channel"], push["subscribe"]["data"]), (self.channel, {"topic": "cats"}))
        await self.api.publish(cent.PublishRequest(channel=self.channel, data=1))
        await client.push("pub")
        present = await self.api.presence(cent.PresenceRequest(channel=self.channel))
        entry = present.presence[client.id]
        self.assertEqual((entry.user, entry.chan_info), (self.user, {"role": "guest"}))
        self.assertEqual(entry.conn_info, {"name": self.user.title()})

    async def test_a_subscription_brings_what_was_missed(self) -> None:
        since = await self.api.publish(cent.PublishRequest(channel=self.channel, data=1))
        for number in (2, 3):
            await self.api.publish(cent.PublishRequest(channel=self.channel, data=number))
        client = await self.client()
        position = cent.StreamPosition(offset=since.offset, epoch=since.epoch)
        await self.api.subscribe(
            cent.SubscribeRequest(user=self.user, channel=self.channel, recover_since=position)
        )
        await client.push("pub", 2)
        self.assertEqual([one["pub"]["data"] for one in client.pushes("pub")], [2, 3])

    async def test_options_of_a_subscription_are_overridden(self) -> None:
        client = await self.client()
        override = cent.ChannelOptionsOverride(
            presence=cent.BoolValue(value=False),
            join_leave=cent.BoolValue(value=False),
            force_recovery=cent.BoolValue(value=False),
        )
        await self.api.subscribe(
            cent.SubscribeRequest(user=self.user, channel=self.channel, override=override)
        )
        push = await client.push("subscribe")
        self.assertNotIn("recoverable", push["subscribe"])
        stats = await self.api.presence_stats(cent.PresenceStatsRequest(channel=self.channel))
        self.assertEqual(stats.num_clients, 0)

    async def test_only_the_client_that_is_named_is_subscribed(self) -> None:
        named, other = await self.client(), await self.client()
        await self.api.subscribe(
            cent.SubscribeRequest(user=self.user, channel=self.channel, client=named.id)
        )
        await named.push("subscribe")
        present = await self.api.presence(cent.PresenceRequest(channel=self.channel))
        self.assertEqual(list(present.presence), [named.id])
        self.assertEqual(other.pushes("subscribe"), [])

    async def test_a_subscription_is_ended(self) -> None:
        clients = [await self.client(), await self.client()]
        for client in clients:
            await client.call("subscribe", {"channel": self.channel})
        await self.api.unsubscribe(
            cent.UnsubscribeRequest(user=self.user, channel=self.channel, client=clients[0].id)
        )
        push = await clients[0].push("unsubscribe")
        self.assertEqual((push["channel"], push["unsubscribe"]["code"]), (self.channel, 2000))
        self.assertEqual(clients[1].pushes("unsubscribe"), [])
        await self.api.unsubscribe(cent.UnsubscribeRequest(user=self.user, channel=self.channel))
        await clients[1].push("unsubscribe")

    async def test_connections_are_ended(self) -> None:
        kept, named, custom = [await self.client() for _ in range(3)]
        await self.api.disconnect(cent.DisconnectRequest(user=self.user, client=named.id))
        self.assertEqual(await named.end(), 3503)
        with_code = cent.Disconnect(code=4500, reason="enough")
        await self.api.disconnect(
            cent.DisconnectRequest(user=self.user, whitelist=[kept.id], disconnect=with_code)
        )
        self.assertEqual(await custom.end(), 4500)
        await kept.call("ping", {})
        # Nobody can tell from the answer whether there is such a user.
        nobody = await self.api.disconnect(cent.DisconnectRequest(user="nobody"))
        self.assertEqual(nobody.model_dump(), {})
        wrong = cent.DisconnectRequest(user=self.user, disconnect=cent.Disconnect(code=12))
        await self.fails(107, self.api.disconnect(wrong))

    async def test_connections_are_refreshed_and_expired(self) -> None:
        client = await self.client()
        await self.api.refresh(cent.RefreshRequest(user=self.user, expire_at=int(time.time()) + 600))
        push = await client.push("refresh")
        self.assertTrue(push["refresh"]["expires"] and 590 < push["refresh"]["ttl"] <= 600)
        await self.api.refresh(cent.RefreshRequest(user=self.user, client="another", expired=True))
        await client.call("ping", {})
        await self.api.refresh(cent.RefreshRequest(user=self.user, expired=True))
        self.assertEqual(await client.end(), 3005)

    async def test_what_is_told_of_a_user_is_changed(self) -> None:
        reader, client = await self.reader(), await self.reader()
        told = []
        # Of a whole user, and of one connection by its id.
        for number, whom in enumerate([{"user": client.user}, {"user": "", "client": client.id}]):
            await self.api.refresh(cent.RefreshRequest(**whom, info={"n": number}))
            await client.push("refresh", number + 1)
            await client.call("publish", {"channel": self.channel, "data": number})
            await reader.push("pub", number + 1)
            told.append(reader.pushes("pub")[number]["pub"]["info"]["conn_info"])
            await self.presence_of(client, {"n": number})
        self.assertEqual(told, [{"n": 0}, {"n": 1}])
        present = await self.api.presence(cent.PresenceRequest(channel=self.channel))
        self.assertNotEqual(present.presence[reader.id].conn_info, {"n": 1})

    async def presence_of(self, client: Client, info) -> None:
        """The presence follows what a connection was told."""
        deadline = time.monotonic() + 10
        while True:
            present = await self.api.presence(cent.PresenceRequest(channel=self.channel))
            if present.presence[client.id].conn_info == info:
                return
            self.assertLess(time.monotonic(), deadline, present)
            await asyncio.sleep(0.01)

    async def test_presence_and_its_numbers(self) -> None:
        readers = [await self.reader() for _ in range(3)]
        present = await self.api.presence(cent.PresenceRequest(channel=self.channel))
        self.assertEqual(set(present.presence), {reader.id for reader in readers})
        stats = await self.api.presence_stats(cent.PresenceStatsRequest(channel=self.channel))
        self.assertEqual((stats.num_clients, stats.num_users), (3, 3))
        await self.fails(108, self.api.presence(cent.PresenceRequest(channel="plain:a")))
        await self.fails(102, self.api.presence_stats(cent.PresenceStatsRequest(channel="nowhere:a")))

    async def test_history_is_read_page_by_page(self) -> None:
        for number in range(5):
            await self.api.publish(
                cent.PublishRequest(channel=self.channel, data=number, tags={"n": str(number)})
            )
        place = await self.api.history(cent.HistoryRequest(channel=self.channel))
        self.assertEqual((place.publications, place.offset), ([], 5))
        page = await self.api.history(cent.HistoryRequest(channel=self.channel, limit=2))
        self.assertEqual([(one.offset, one.data) for one in page.publications], [(1, 0), (2, 1)])
        self.assertEqual(page.publications[1].tags, {"n": "1"})
        since = cent.StreamPosition(offset=2, epoch=page.epoch)
        page = await self.api.history(cent.HistoryRequest(channel=self.channel, limit=-1, since=since))
        self.assertEqual([one.data for one in page.publications], [2, 3, 4])
        request = cent.HistoryRequest(channel=self.channel, limit=2, reverse=True)
        self.assertEqual([one.data for one in (await self.api.history(request)).publications], [4, 3])
        lost = cent.StreamPosition(offset=2, epoch="another")
        await self.fails(112, self.api.history(cent.HistoryRequest(channel=self.channel, since=lost)))
        await self.fails(108, self.api.history(cent.HistoryRequest(channel="plain:a")))

    async def test_a_client_that_published_is_named_in_history(self) -> None:
        client = await self.client()
        await client.call("publish", {"channel": self.channel, "data": "hello"})
        page = await self.api.history(cent.HistoryRequest(channel=self.channel, limit=1))
        info = page.publications[0].info
        self.assertEqual((info.user, info.client), (self.user, client.id))

    async def test_offsets_go_on_behind_a_history_that_was_removed(self) -> None:
        reader = await self.reader()
        first = await self.api.publish(cent.PublishRequest(channel=self.channel, data=1))
        await self.api.history_remove(cent.HistoryRemoveRequest(channel=self.channel))
        page = await self.api.history(cent.HistoryRequest(channel=self.channel, limit=10))
        self.assertEqual(page.publications, [])
        second = await self.api.publish(cent.PublishRequest(channel=self.channel, data=2))
        self.assertNotEqual((first.epoch, first.offset), (second.epoch, second.offset))
        self.assertEqual((await reader.push("pub", 2))["pub"]["data"], 2)
        await self.fails(108, self.api.history_remove(cent.HistoryRemoveRequest(channel="plain:a")))

    async def test_channels_are_counted_over_all_nodes(self) -> None:
        readers = [await self.reader() for _ in range(2)]
        here = await Client.connect(self.nodes[0], self.user)
        self.addAsyncCleanup(here.close)
        await here.call("subscribe", {"channel": self.channel})
        await here.call("subscribe", {"channel": "plain:a"})
        result = await self.api.channels(cent.ChannelsRequest(pattern="chat:*"))
        self.assertEqual(result.channels[self.channel].num_clients, len(readers) + 1)
        self.assertNotIn("plain:a", result.channels)
        self.assertIn("plain:a", (await self.api.channels(cent.ChannelsRequest())).channels)
        await self.fails(107, self.api.channels(cent.ChannelsRequest(pattern="chat:[")))

    async def test_every_node_says_how_it_is(self) -> None:
        clients = [await self.reader() for _ in range(2)]
        nodes = (await self.api.info(cent.InfoRequest())).nodes
        self.assertEqual(len(nodes), len(self.nodes))
        self.assertEqual(len({node.uid for node in nodes}), len(nodes))
        self.assertGreaterEqual(sum(node.num_clients for node in nodes), len(clients))
        self.assertGreaterEqual(sum(node.num_users for node in nodes), len(clients))
        self.assertGreaterEqual(sum(node.num_subs for node in nodes), len(clients))
        self.assertTrue(all(node.name and node.version for node in nodes))

    async def test_a_batch_is_carried_out_in_order(self) -> None:
        requests = [cent.PublishRequest(channel=self.channel, data=number) for number in range(50)]
        requests += [
            cent.HistoryRequest(channel=self.channel, limit=-1),
            cent.HistoryRemoveRequest(channel=self.channel),
            cent.PublishRequest(channel=self.channel, data="last"),
            cent.PresenceStatsRequest(channel=self.channel),
            cent.PresenceRequest(channel=self.channel),
            cent.BroadcastRequest(channels=[self.channel], data="all"),
            cent.ChannelsRequest(),
            cent.InfoRequest(),
            cent.SubscribeRequest(user=self.user, channel=self.channel),
            cent.UnsubscribeRequest(user=self.user, channel=self.channel),
            cent.RefreshRequest(user=self.user),
            cent.DisconnectRequest(user=self.user),
        ]
        replies = (await self.api.batch(cent.BatchRequest(requests=requests))).replies
        self.assertEqual(len(replies), len(requests))
        self.assertEqual([reply.offset for reply in replies[:50]], list(range(1, 51)))
        self.assertEqual([one.data for one in replies[50].publications], list(range(50)))
        self.assertEqual(replies[52].offset, 51)

    async def test_a_batch_is_carried_out_at_the_same_time(self) -> None:
        requests = [cent.PublishRequest(channel=self.channel, data=number) for number in range(100)]
        replies = (await self.api.batch(cent.BatchRequest(requests=requests, parallel=True))).replies
        self.assertEqual(sorted(reply.offset for reply in replies), list(range(1, 101)))

    async def test_what_is_wrong_is_said(self) -> None:
        await self.fails(102, self.api.publish(cent.PublishRequest(channel="nowhere:a", data=1)))
        message = await self.fails(107, self.api.publish(cent.PublishRequest(channel="", data=1)))
        self.assertIn("1 to 255", message)
        long = cent.PublishRequest(channel=self.channel, data="x" * 70_000)
        self.assertIn("client.message_size_limit", await self.fails(106, self.api.publish(long)))
        request = cent.PublishRequest.model_construct(channel=self.channel, data=1, tags={"a": 1})
        self.assertIn("tags.a", await self.fails(107, self.api.publish(request)))

    async def test_methods_that_are_not_there_are_not_found(self) -> None:
        await self.fails(104, self.api.get_user_status(cent.GetUserStatusRequest(users=["ada"])))
        await self.fails(104, self.api.block_user(cent.BlockUserRequest(user="ada")))

    async def test_a_wrong_key_opens_nothing(self) -> None:
        for key in ("", "a wrong key", "a key of the test"):
            api = Api(self.nodes[0], self.is_async, key)
            self.addAsyncCleanup(api.close)
            with self.assertRaises(cent.CentUnauthorizedError):
                await api.publish(cent.PublishRequest(channel=self.channel, data=1))
        self.assertEqual(
            (await self.api.history(cent.HistoryRequest(channel=self.channel))).offset, 0
        )

    async def test_many_calls_at_a_time(self) -> None:
        calls = (
            self.api.publish(cent.PublishRequest(channel=self.channel, data=number)) for number in range(60)
        )
        results = await asyncio.gather(*calls)
        self.assertEqual(sorted(result.offset for result in results), list(range(1, 61)))


class InMemory(Methods, unittest.IsolatedAsyncioTestCase):
    """One node in memory, the synchronous client."""

    on_redis, count, is_async = False, 1, False


class OnRedis(Methods, unittest.IsolatedAsyncioTestCase):
    """One node on Redis, the asynchronous client."""

    on_redis, count, is_async = True, 1, True


class TwoNodes(Methods, unittest.IsolatedAsyncioTestCase):
    """Calls go to one node, clients are on the other."""

    on_redis, count, is_async = True, 2, True
