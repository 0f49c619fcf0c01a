"""What we say to ubusd, and when, so that every hostapd object is subscribed to and watched. Decides only: no IO, no clock.

``start``, ``take`` (a message came) and ``wake`` (time passed) fill two lists that the shell empties: ``outgoing``, messages to
send in order, and ``notices``, what hostapd told. Time is seconds of any clock that runs forwards.

The life of one BSS: LOOKUP or the event ``ubus.object.add`` names its object; we add an object of our own without a path (one for each
BSS, because a notification names the subscriber and, in old releases, nothing else); SUBSCRIBE joins the two. When hostapd
goes, ubusd says UNSUBSCRIBE; when it comes back its object has a new id and the same begins again. Lookups now and then
find what an event did not tell, and ``get_status`` tells a quiet street from a hostapd that hangs.

We are a silent subscriber: ``notify_response`` is never set. Where another program has set it, hostapd waits up to 100 ms for an
answer of every subscriber, so a notification without NO_REPLY is answered at once, with 0, as the ``ubus`` command does.

Sources: openwrt/ubus ``ubusd_proto.c`` (``ubusd_handle_add_watch`` answers NOT_FOUND to whom the access list does not let
subscribe; ``__ubusd_handle_lookup`` answers OK without an object where it hides all of them), ``ubusd_event.c``, ``libubus-obj.c``
(``ubus_process_invoke``); openwrt hostapd ``src/ap/ubus.c`` (``hostapd_ubus_handle_event``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from agent.dot11.channels import CHANNEL_OF_MHZ
from agent.sources import ubus
from agent.sources.blobmsg import attribute, decode_table, read_attributes
from agent.sources.ubus import Message

PREFIX = "hostapd."
LOOKUP_EVERY_S = 30.0
LOOKUP_EVERY_WITHOUT_EVENTS_S = 5.0
"""Where the access list hides ``ubus.object.add``, a hostapd that comes back is found by asking."""
LOOKUP_AFTER_LOSS_S = 2.0
"""A hostapd that restarts is back in about a second, and the event that says so may be lost."""
STATUS_EVERY_S = 5.0
STATUS_PATIENCE_S = 3.0
"""A hostapd that does not answer for so long is not heard. So at most 8 s are booked as listened that were not."""
PRESENCE_EVERY_S = 15.0
"""Half a window, so that each window hears of every joined device at least once."""
STATUS_EVERY_WHILE_SILENT_S = 30.0
REQUEST_LIFE_S = 60.0
"""Longer than the wait before the next ``get_status``, so that a hostapd that comes to itself is noticed by its first answer."""
CHANNEL_UNKNOWN = 0


class Notice(NamedTuple):
    """What one BSS told: the name of the event (or "get_clients"), the bytes of its table, and who told it."""

    event: str
    table: bytes
    bss: int
    """Number of the BSS, the same as long as the session lasts."""


@dataclass(slots=True)
class Bss:
    """One object ``hostapd.<interface>``."""

    object_id: int
    interface: str
    number: int
    wants_probes: bool
    """False where the chipset or the owner forbids to subscribe."""
    subscriber_id: int | None = None
    is_subscribed: bool = False
    refusals: int = 0
    channel: int = CHANNEL_UNKNOWN
    is_silent: bool = False
    asked_s: float | None = None
    """When ``get_status`` was asked and not answered yet."""
    next_status_s: float = 0.0
    next_clients_s: float = 0.0
    lists_clients: bool = True


@dataclass(slots=True)
class _Request:
    """What a sequence number was used for."""

    what: str
    sent_s: float
    bss: Bss | None = None
    found: int = 0


class Session:
    """One connection's worth of talking to ubusd about hostapd.

    ``wants_probes(interface)`` says whether a BSS may be subscribed to. ``news`` is called with an event's name of docs/events.yaml and its
    values whenever something changed that an operator wants to know.
    """

    def __init__(self, wants_probes: Callable[[str], bool], news: Callable[..., None]) -> None:
        self.outgoing: list[Message] = []
        self.notices: list[Notice] = []
        self.bsses: dict[int, Bss] = {}
        self.is_hidden = False
        """True where the access list of ubusd hides hostapd, or does not let us subscribe."""
        self.has_looked = False
        self.hears_additions = False
        self._wants_probes = wants_probes
        self._news = news
        self._requests: dict[int, _Request] = {}
        self._sequence = 0
        self._watcher_id: int | None = None
        self._of_subscriber: dict[int, Bss] = {}
        self._made = 0
        self._next_lookup_s = 0.0
        self._is_missing = False

    def start(self, now_s: float) -> None:
        """The connection is there: ask to be told of new objects, and which there are."""
        self._ask("add_watcher", ubus.ADD_OBJECT, 0, b"", now_s)
        self._look_up(now_s)

    def is_settled(self) -> bool:
        """True when all that there was at the start is subscribed to, refused or hidden."""
        return self.has_looked and all(bss.is_subscribed or not bss.wants_probes for bss in self.bsses.values())

    def channels(self) -> list[int]:
        """Channels on which probe requests are heard now, each once; 0 is "not known"."""
        return sorted({bss.channel for bss in self.bsses.values() if bss.is_subscribed and not bss.is_silent})

    def take(self, message: Message, now_s: float) -> None:
        """A message came. Raises UbusMalformed where its attributes are none."""
        attributes = read_attributes(message.attributes)
        if message.kind == ubus.INVOKE:
            self._called(message, attributes, now_s)
        elif message.kind in (ubus.DATA, ubus.STATUS):
            self._answered(message, attributes, now_s)
        elif message.kind == ubus.UNSUBSCRIBE:
            bss = self.bsses.get(ubus.number_of(attributes, ubus.ATTR_TARGET) or 0)
            if bss is not None:
                self._forget(bss, now_s)

    def wake(self, now_s: float) -> None:
        """Time passed: ask what is to be asked now and then."""
        if now_s >= self._next_lookup_s:
            self._look_up(now_s)
        for bss in self.bsses.values():
            self._watch(bss, now_s)
        for sequence in [n for n, request in self._requests.items() if now_s - request.sent_s > REQUEST_LIFE_S]:
            del self._requests[sequence]

    # --- what comes in ----------------------------------------------------------------------------------------------

    def _called(self, message: Message, attributes: dict[int, bytes], now_s: float) -> None:
        """One of our objects was called: a notification of a BSS, or an event of ubusd."""
        object_id = ubus.number_of(attributes, ubus.ATTR_OBJID) or 0
        if message.peer and attributes.get(ubus.ATTR_NO_REPLY, b"\0")[:1] in (b"", b"\0"):
            answer = ubus.status(ubus.OK, object_id)
            self.outgoing.append(Message(ubus.STATUS, message.sequence, message.peer, answer))
        bss = self._of_subscriber.get(object_id)
        if bss is not None:
            self._is_alive(bss)
            table = attributes.get(ubus.ATTR_DATA, b"")
            self.notices.append(Notice(ubus.text_of(attributes, ubus.ATTR_METHOD), table, bss.number))
            return
        if object_id == self._watcher_id and ubus.text_of(attributes, ubus.ATTR_METHOD) == "ubus.object.add":
            told = decode_table(attributes.get(ubus.ATTR_DATA, b""))
            path, new_id = told.get("path"), told.get("id")
            if isinstance(path, str) and path.startswith(PREFIX) and isinstance(new_id, int):
                self._meet(new_id & 0xFFFFFFFF, path, now_s)

    def _answered(self, message: Message, attributes: dict[int, bytes], now_s: float) -> None:
        """DATA or STATUS of a request of ours."""
        request = self._requests.get(message.sequence)
        if request is None:
            return
        if message.kind == ubus.DATA:
            request.found += 1
            self._data(request, attributes, now_s)
            return
        del self._requests[message.sequence]
        code = ubus.number_of(attributes, ubus.ATTR_STATUS)
        self._ended(request, ubus.OK if code is None else code, now_s)

    def _data(self, request: _Request, attributes: dict[int, bytes], now_s: float) -> None:
        object_id = ubus.number_of(attributes, ubus.ATTR_OBJID)
        bss = request.bss
        if request.what == "lookup" and object_id:
            path = ubus.text_of(attributes, ubus.ATTR_OBJPATH)
            if path.startswith(PREFIX):
                self._meet(object_id, path, now_s)
        elif request.what == "add_watcher" and object_id:
            self._watcher_id = object_id
            wish = {"object": object_id, "pattern": "ubus.object.add"}
            self._ask("listen", ubus.INVOKE, ubus.EVENT_OBJECT, ubus.invoke(ubus.EVENT_OBJECT, "register", wish), now_s)
        elif request.what == "add_subscriber" and object_id and bss is not None:
            bss.subscriber_id = object_id
            self._of_subscriber[object_id] = bss
            self._subscribe(bss, now_s)
        elif request.what == "get_status" and bss is not None:
            frequency = decode_table(attributes.get(ubus.ATTR_DATA, b"")).get("freq")
            bss.channel = CHANNEL_OF_MHZ.get(frequency, bss.channel) if isinstance(frequency, int) else bss.channel
        elif request.what == "get_clients" and bss is not None:
            self.notices.append(Notice("get_clients", attributes.get(ubus.ATTR_DATA, b""), bss.number))

    def _ended(self, request: _Request, code: int, now_s: float) -> None:
        bss = request.bss
        if request.what == "lookup":
            self.has_looked = True
            if not self.bsses:
                self.is_hidden = code == ubus.OK and not request.found
                if not self._is_missing:
                    self._is_missing = True
                    self._news("hostapd_hidden" if self.is_hidden else "hostapd_missing")
        elif request.what == "listen":
            self.hears_additions = code == ubus.OK
            if not self.hears_additions:
                self._next_lookup_s = min(self._next_lookup_s, now_s + LOOKUP_EVERY_WITHOUT_EVENTS_S)
        elif bss is None or self.bsses.get(bss.object_id) is not bss:
            return
        elif request.what == "subscribe":
            self._subscription_ended(bss, code, now_s)
        elif request.what == "get_status":
            bss.asked_s = None
            if code == ubus.NOT_FOUND:
                self._forget(bss, now_s)
            else:
                self._is_alive(bss)
        elif request.what == "get_clients" and code not in (ubus.OK, ubus.NOT_FOUND):
            bss.lists_clients = False
            self._news("hostapd_clients_hidden", interface=bss.interface, status=code)

    def _is_alive(self, bss: Bss) -> None:
        """The BSS said something."""
        if bss.is_silent:
            bss.is_silent = False
            self._news("hostapd_answered", interface=bss.interface)

    def _subscription_ended(self, bss: Bss, code: int, now_s: float) -> None:
        """Subscribed, or not let. NOT_FOUND may also be an object that went meanwhile, so it is asked for once more."""
        if code == ubus.OK:
            bss.is_subscribed = True
            self.is_hidden = False
            self._news("hostapd_subscribed", interface=bss.interface)
            return
        bss.refusals += 1
        if bss.refusals > 1:
            self.is_hidden = True
        self._look_up(now_s)

    # --- what goes out ----------------------------------------------------------------------------------------------

    def _ask(self, what: str, kind: int, peer: int, attributes: bytes, now_s: float, bss: Bss | None = None) -> None:
        self._sequence = self._sequence % 0xFFFF + 1
        self._requests[self._sequence] = _Request(what, now_s, bss)
        self.outgoing.append(Message(kind, self._sequence, peer, attributes))

    def _look_up(self, now_s: float) -> None:
        every_s = LOOKUP_EVERY_S if self.hears_additions else LOOKUP_EVERY_WITHOUT_EVENTS_S
        self._next_lookup_s = now_s + every_s
        self._ask("lookup", ubus.LOOKUP, 0, ubus.lookup(PREFIX + "*"), now_s)

    def _meet(self, object_id: int, path: str, now_s: float) -> None:
        """An object of hostapd's is there: a new one is subscribed to, a refused one once more."""
        known = self.bsses.get(object_id)
        if known is not None:
            if known.refusals == 1 and not known.is_subscribed and known.subscriber_id is not None:
                self._subscribe(known, now_s)
            return
        interface = path[len(PREFIX) :]
        self._is_missing = False
        bss = Bss(object_id, interface, self._made, self._wants_probes(interface))
        self._made += 1
        bss.next_status_s = bss.next_clients_s = now_s
        self.bsses[object_id] = bss
        if bss.wants_probes:
            self._ask("add_subscriber", ubus.ADD_OBJECT, 0, b"", now_s, bss)

    def _subscribe(self, bss: Bss, now_s: float) -> None:
        if bss.subscriber_id is not None:
            asked = ubus.subscribe(bss.subscriber_id, bss.object_id)
            self._ask("subscribe", ubus.SUBSCRIBE, 0, asked, now_s, bss)

    def _forget(self, bss: Bss, now_s: float) -> None:
        """The object is gone. What we made for it goes too, or every restart of hostapd would leave one more in ubusd."""
        self.bsses.pop(bss.object_id, None)
        if bss.subscriber_id is not None:
            self._of_subscriber.pop(bss.subscriber_id, None)
            gone = attribute(ubus.ATTR_OBJID, ubus.number(bss.subscriber_id))
            self._ask("remove_subscriber", ubus.REMOVE_OBJECT, 0, gone, now_s)
        self._next_lookup_s = min(self._next_lookup_s, now_s + LOOKUP_AFTER_LOSS_S)
        self._news("hostapd_lost", interface=bss.interface)

    def _watch(self, bss: Bss, now_s: float) -> None:
        """Ask a BSS how it is and who has joined it, each in its time, and notice that it does not answer."""
        if bss.asked_s is not None and now_s - bss.asked_s > STATUS_PATIENCE_S and not bss.is_silent:
            bss.is_silent = True
            self._news("hostapd_silent", interface=bss.interface, waited_s=STATUS_PATIENCE_S)
        if now_s >= bss.next_status_s and (bss.asked_s is None or bss.is_silent):
            bss.asked_s = now_s
            bss.next_status_s = now_s + (STATUS_EVERY_WHILE_SILENT_S if bss.is_silent else STATUS_EVERY_S)
            self._call(bss, "get_status", now_s)
        if now_s >= bss.next_clients_s and bss.lists_clients and not bss.is_silent:
            bss.next_clients_s = now_s + PRESENCE_EVERY_S
            self._call(bss, "get_clients", now_s)

    def _call(self, bss: Bss, method: str, now_s: float) -> None:
        self._ask(method, ubus.INVOKE, bss.object_id, ubus.invoke(bss.object_id, method, {}), now_s, bss)
