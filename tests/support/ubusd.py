"""A stand-in for OpenWrt's ubusd with hostapd behind it, speaking the real protocol.

``Bus`` decides (no socket, no clock), ``Ubusd`` serves it on a unix socket. What it does and in which order follows openwrt/ubus
``ubusd_proto.c``, ``ubusd_obj.c``, ``ubusd_event.c`` and ``ubusd_acl.c``: HELLO first; DATA before STATUS, both with the request's sequence
number; a lookup of what the access list hides is OK without an object; SUBSCRIBE is NOT_FOUND where it forbids; UNSUBSCRIBE
and ``ubus.object.remove`` when an object goes; more than 1 MiB waiting for a client is dropped in silence.
"""

from __future__ import annotations

import selectors
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.sources import ubus
from agent.sources.blobmsg import attribute, decode_table, encode_table, read_attributes
from agent.sources.ubus import Message, MessageReader, encode_message, number

QUEUE_BYTES = 1 << 20
FIRST_ID = 0xB0000001
"""Object ids are 32-bit numbers of chance; half of them have the top bit set."""


@dataclass
class Access:
    """What the access list lets the clients do; root, who may everything, is the default."""

    sees_hostapd: bool = True
    may_subscribe: bool = True
    may_listen: bool = True
    methods: tuple[str, ...] = ("get_status", "get_clients")


@dataclass
class Thing:
    """An object of the bus: hostapd's, or one that a client added."""

    number: int
    path: str = ""
    client: int | None = None
    """None: hostapd, which lives in this stand-in."""
    subscribers: list[int] = field(default_factory=list)
    frequency: int = 2437
    clients: dict[str, dict[str, Any]] = field(default_factory=dict)
    hangs: bool = False
    calls: list[str] = field(default_factory=list)


class Bus:
    """ubusd's side of the protocol. ``handle`` and the verbs of hostapd give (client, message) to deliver, in order."""

    def __init__(self, access: Access | None = None) -> None:
        self.access = access or Access()
        self.things: dict[int, Thing] = {}
        self.patterns: dict[int, str] = {}
        self.answers: list[tuple[int, int, int]] = []
        """(sequence, status, object) of every STATUS that a subscriber sent."""
        self._next = FIRST_ID
        self._sequence = 0

    # --- hostapd's verbs --------------------------------------------------------------------------------------------

    def add_hostapd(self, interface: str, frequency: int = 2437) -> list[tuple[int, Message]]:
        """hostapd begins to serve a BSS."""
        thing = self._add(f"hostapd.{interface}", None)
        thing.frequency = frequency
        return self._object_event("ubus.object.add", thing)

    def remove_hostapd(self, interface: str) -> list[tuple[int, Message]]:
        """hostapd stops to serve it."""
        thing = self.hostapd(interface)
        del self.things[thing.number]
        out = []
        for subscriber in thing.subscribers:
            content = attribute(ubus.ATTR_OBJID, number(subscriber)) + attribute(ubus.ATTR_TARGET, number(thing.number))
            out.append((self._owner(subscriber), Message(ubus.UNSUBSCRIBE, 0, 0, content)))
        return out + self._object_event("ubus.object.remove", thing)

    def hostapd(self, interface: str) -> Thing:
        """The object of a BSS."""
        return next(thing for thing in self.things.values() if thing.path == f"hostapd.{interface}")

    def notify(
        self, interface: str, event: str, fields: dict[str, Any], *, wants_answer: bool = False
    ) -> list[tuple[int, Message]]:
        """hostapd tells its subscribers. ``wants_answer``: somebody set notify_response."""
        out = []
        self._sequence = (self._sequence + 1) % 0x10000
        for subscriber in self.hostapd(interface).subscribers:
            content = b"" if wants_answer else attribute(ubus.ATTR_NO_REPLY, b"\1")
            content += attribute(ubus.ATTR_OBJID, number(subscriber)) + attribute(
                ubus.ATTR_METHOD, event.encode() + b"\0"
            )
            content += attribute(ubus.ATTR_USER, b"root\0") + attribute(ubus.ATTR_GROUP, b"root\0")
            content += attribute(ubus.ATTR_DATA, encode_table(fields))
            out.append((self._owner(subscriber), Message(ubus.INVOKE, self._sequence, 0xC0FFEE, content)))
        return out

    # --- clients ----------------------------------------------------------------------------------------------------

    def hello(self, client: int) -> Message:
        """What ubusd says first."""
        return Message(ubus.HELLO, 0, 0x10000 + client, b"")

    def forget(self, client: int) -> None:
        """A client's connection ended: its objects go."""
        for thing in [thing for thing in self.things.values() if thing.client == client]:
            self._remove(thing)

    def handle(self, client: int, message: Message) -> list[tuple[int, Message]]:
        """One message of a client."""
        attributes = read_attributes(message.attributes)
        if message.kind == ubus.STATUS:
            code, thing = ubus.number_of(attributes, ubus.ATTR_STATUS), ubus.number_of(attributes, ubus.ATTR_OBJID)
            self.answers.append((message.sequence, code or 0, thing or 0))
            return []
        handler = {
            ubus.ADD_OBJECT: self._add_object,
            ubus.REMOVE_OBJECT: self._remove_object,
            ubus.LOOKUP: self._lookup,
            ubus.SUBSCRIBE: self._subscribe,
            ubus.INVOKE: self._invoke,
        }[message.kind]
        code, data = handler(client, attributes)
        out = [(client, Message(ubus.DATA, message.sequence, message.peer, content)) for content in data]
        if code is not None:
            out.append(
                (
                    client,
                    Message(ubus.STATUS, message.sequence, message.peer, attribute(ubus.ATTR_STATUS, number(code))),
                )
            )
        return out

    def _add_object(self, client: int, attributes: dict[int, bytes]) -> tuple[int, list[bytes]]:
        return ubus.OK, [attribute(ubus.ATTR_OBJID, number(self._add("", client).number))]

    def _remove_object(self, client: int, attributes: dict[int, bytes]) -> tuple[int, list[bytes]]:
        thing = self.things.get(ubus.number_of(attributes, ubus.ATTR_OBJID) or 0)
        if thing is None or thing.client != client:
            return ubus.NOT_FOUND, []
        self._remove(thing)
        return ubus.OK, [attribute(ubus.ATTR_OBJID, number(thing.number))]

    def _lookup(self, client: int, attributes: dict[int, bytes]) -> tuple[int, list[bytes]]:
        pattern = ubus.text_of(attributes, ubus.ATTR_OBJPATH)
        begins = pattern.removesuffix("*")
        named = [
            t for t in self.things.values() if t.path == pattern or (begins != pattern and t.path.startswith(begins))
        ]
        found = sorted((t.path, t) for t in named if t.path)
        if not found:
            return ubus.NOT_FOUND, []
        return ubus.OK, [self._described(thing) for _, thing in found if self.access.sees_hostapd]

    def _subscribe(self, client: int, attributes: dict[int, bytes]) -> tuple[int, list[bytes]]:
        subscriber = ubus.number_of(attributes, ubus.ATTR_OBJID) or 0
        target = self.things.get(ubus.number_of(attributes, ubus.ATTR_TARGET) or 0)
        if target is None or subscriber not in self.things or not self.access.may_subscribe:
            return ubus.NOT_FOUND, []
        target.subscribers.insert(0, subscriber)
        return ubus.OK, []

    def _invoke(self, client: int, attributes: dict[int, bytes]) -> tuple[int | None, list[bytes]]:
        object_id, method = ubus.number_of(attributes, ubus.ATTR_OBJID) or 0, ubus.text_of(attributes, ubus.ATTR_METHOD)
        if object_id == ubus.EVENT_OBJECT:
            return self._register(decode_table(attributes[ubus.ATTR_DATA]))
        thing = self.things.get(object_id)
        if thing is None:
            return ubus.NOT_FOUND, []
        if method not in self.access.methods:
            return ubus.PERMISSION_DENIED, []
        thing.calls.append(method)
        if thing.hangs:
            return None, []
        answer: dict[str, Any] = {"status": "ENABLED", "freq": thing.frequency, "phy": "phy0"}
        if method == "get_clients":
            answer = {"freq": thing.frequency, "clients": thing.clients}
        return ubus.OK, [
            attribute(ubus.ATTR_OBJID, number(object_id)) + attribute(ubus.ATTR_DATA, encode_table(answer))
        ]

    def _register(self, wish: dict[str, Any]) -> tuple[int, list[bytes]]:
        if not self.access.may_listen:
            return ubus.PERMISSION_DENIED, []
        self.patterns[wish["object"] & 0xFFFFFFFF] = wish["pattern"]
        return ubus.OK, []

    def _add(self, path: str, client: int | None) -> Thing:
        thing = Thing(self._next, path, client)
        self.things[thing.number] = thing
        self._next += 1
        return thing

    def _remove(self, thing: Thing) -> None:
        self.things.pop(thing.number, None)
        self.patterns.pop(thing.number, None)
        for other in self.things.values():
            if thing.number in other.subscribers:
                other.subscribers.remove(thing.number)

    def _owner(self, object_id: int) -> int:
        return self.things[object_id].client or 0

    def _described(self, thing: Thing) -> bytes:
        signature = encode_table({"reload": {}, "get_clients": {}, "del_client": {"addr": 3, "deauth": 7}})
        return (
            attribute(ubus.ATTR_OBJPATH, thing.path.encode() + b"\0")
            + attribute(ubus.ATTR_OBJID, number(thing.number))
            + attribute(ubus.ATTR_OBJTYPE, number(0x7A7A7A7A))
            + attribute(ubus.ATTR_SIGNATURE, signature)
        )

    def _object_event(self, event: str, thing: Thing) -> list[tuple[int, Message]]:
        out = []
        for listener, pattern in self.patterns.items():
            if pattern == event:
                content = attribute(ubus.ATTR_OBJID, number(listener)) + attribute(
                    ubus.ATTR_METHOD, event.encode() + b"\0"
                )
                content += attribute(ubus.ATTR_DATA, encode_table({"id": thing.number, "path": thing.path}))
                out.append((self._owner(listener), Message(ubus.INVOKE, 1, 0, content)))
        return out


class Ubusd:
    """Serves a bus on a socket, in a thread, until it is stopped. The verbs of ``Bus`` are called through ``act``."""

    def __init__(self, path: Path, bus: Bus | None = None) -> None:
        self.path = path
        self.bus = bus or Bus()
        self.dropped = 0
        self._lock = threading.RLock()
        self._sockets: dict[int, socket.socket] = {}
        self._waiting: dict[int, bytearray] = {}
        self._readers: dict[int, MessageReader] = {}
        self._made = 0
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, 0)
        self._stopping = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def act(self, verb: str, *arguments: Any, **options: Any) -> None:
        """Call a verb of the bus and deliver what it gives."""
        with self._lock:
            self._tell(getattr(self.bus, verb)(*arguments, **options))

    def _tell(self, deliveries: list[tuple[int, Message]]) -> None:
        for client, message in deliveries:
            self._deliver(client, encode_message(message))

    def stop(self) -> None:
        """ubusd dies: every connection ends, and the socket's name goes."""
        self._stopping = True
        self._thread.join(5)
        with self._lock:
            for connection in (*self._sockets.values(), self._listener):
                connection.close()
            self._selector.close()
        self.path.unlink(missing_ok=True)

    def _work(self) -> None:
        while not self._stopping:
            for key, events in self._selector.select(0.02):
                with self._lock:
                    if key.data == 0:
                        self._accept()
                    elif events & selectors.EVENT_READ:
                        self._read(key.data)
            with self._lock:
                for client in list(self._waiting):
                    self._flush(client)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        self._made += 1
        client = self._made
        self._sockets[client], self._waiting[client] = connection, bytearray()
        self._readers[client] = MessageReader()
        self._selector.register(connection, selectors.EVENT_READ, client)
        self._deliver(client, encode_message(self.bus.hello(client)))

    def _read(self, client: int) -> None:
        try:
            data = self._sockets[client].recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(self._sockets[client])
            self._sockets.pop(client).close()
            del self._waiting[client], self._readers[client]
            self.bus.forget(client)
            return
        for message in self._readers[client].feed(data):
            self._tell(self.bus.handle(client, message))

    def _deliver(self, client: int, data: bytes) -> None:
        if client not in self._waiting:
            return
        if len(self._waiting[client]) + len(data) > QUEUE_BYTES:
            self.dropped += 1
            return
        self._waiting[client] += data
        self._flush(client)

    def _flush(self, client: int) -> None:
        waiting = self._waiting[client]
        try:
            while waiting:
                del waiting[: self._sockets[client].send(waiting)]
        except OSError:
            return
