"""What we say to ubusd and when: against a stand-in bus, under a manual clock, without a socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ubusd import Access, Bus

from agent.sources import ubus
from agent.sources.blobmsg import decode_table, read_attributes
from agent.sources.errors import UbusError
from agent.sources.hostapd_session import (
    LOOKUP_AFTER_LOSS_S,
    LOOKUP_EVERY_WITHOUT_EVENTS_S,
    PRESENCE_EVERY_S,
    REQUEST_LIFE_S,
    STATUS_EVERY_S,
    STATUS_PATIENCE_S,
    Session,
)
from agent.sources.ubus import Message

CHECKOUT = Path(__file__).parents[3]
PROBE = {"address": "02:00:00:00:00:01", "signal": -60, "freq": 2437}


class Line:
    """A session and a bus, joined by a clock that only the test moves."""

    def __init__(self, bus: Bus, *, wants_probes: bool = True) -> None:
        self.bus = bus
        self.now_s = 1000.0
        self.news: list[str] = []
        self.sent: list[Message] = []
        self.session = Session(lambda interface: wants_probes, lambda event, **values: self.news.append(event))
        self.session.start(self.now_s)
        self.settle()

    def settle(self) -> None:
        """Carry messages both ways until neither has anything to say."""
        while self.session.outgoing:
            outgoing, self.session.outgoing = self.session.outgoing, []
            for message in outgoing:
                self.sent.append(message)
                self.deliver(self.bus.handle(1, message))

    def deliver(self, deliveries: list[tuple[int, Message]]) -> None:
        """ubusd says something."""
        for _, message in deliveries:
            self.session.take(message, self.now_s)
        if deliveries:
            self.settle()

    def wait(self, seconds: float) -> None:
        """Time passes, half a second at a time."""
        for _ in range(round(2 * seconds)):
            self.now_s += 0.5
            self.session.wake(self.now_s)
            self.settle()

    def heard(self) -> list[tuple[str, int]]:
        """The notices since the last call, without the lists of clients."""
        notices, self.session.notices = self.session.notices, []
        return [(notice.event, notice.bss) for notice in notices if notice.event != "get_clients"]

    def called(self, method: str) -> int:
        """How often a method of hostapd was called."""
        return sum(
            1
            for message in self.sent
            if message.kind == ubus.INVOKE
            and ubus.text_of(read_attributes(message.attributes), ubus.ATTR_METHOD) == method
        )


def bus(*interfaces: str, **access: Any) -> Bus:
    """A bus with hostapd serving some networks."""
    made = Bus(Access(**access))
    for interface in interfaces:
        made.add_hostapd(interface)
    return made


def test_every_network_is_subscribed_to_and_says_which_it_is():
    line = Line(bus("wlan0", "wlan0_1"))

    line.deliver(line.bus.notify("wlan0_1", "probe", PROBE))
    line.deliver(line.bus.notify("wlan0", "probe", PROBE))

    assert line.session.is_settled()
    assert line.news == ["hostapd_subscribed"] * 2
    assert line.heard() == [("probe", 1), ("probe", 0)]


def test_objects_that_are_no_network_are_left_alone():
    """The daemon's own object is called hostapd, without a dot."""
    line = Line(bus("wlan0"))
    line.bus._add("hostapd", None)
    line.bus._add("network.wireless", None)
    line.wait(60)

    assert [bss.interface for bss in line.session.bsses.values()] == ["wlan0"]


def test_notify_response_is_never_set_and_nothing_but_what_is_needed_is_called():
    line = Line(bus("wlan0"))
    line.wait(120)

    assert set(line.bus.hostapd("wlan0").calls) == {"get_status", "get_clients"}
    assert {message.kind for message in line.sent} == {ubus.ADD_OBJECT, ubus.LOOKUP, ubus.INVOKE, ubus.SUBSCRIBE}


def test_the_access_list_that_we_ship_allows_what_is_asked():
    """Under exactly these rights a user who is not root hears everything."""
    shipped = json.loads((CHECKOUT / "firmware_hooks" / "openwrt" / "acl.d" / "ivizone.json").read_text())
    line = Line(
        bus(
            "wlan0",
            sees_hostapd="hostapd.*" in shipped["access"],
            may_subscribe="hostapd.*" in shipped["subscribe"],
            may_listen="ubus.object.add" in shipped["listen"],
            methods=tuple(shipped["access"]["hostapd.*"]["methods"]),
        )
    )
    line.wait(120)

    assert (line.news, line.session.hears_additions) == (["hostapd_subscribed"], True)


def test_a_notification_is_answered_only_where_hostapd_waits_for_it():
    """Where usteer or DAWN has set notify_response, every subscriber that does not answer costs hostapd 100 ms."""
    line = Line(bus("wlan0"))
    line.deliver(line.bus.notify("wlan0", "probe", PROBE))
    assert line.bus.answers == []

    line.deliver(line.bus.notify("wlan0", "probe", PROBE, wants_answer=True))

    subscriber = line.bus.hostapd("wlan0").subscribers[0]
    assert line.bus.answers == [(2, ubus.OK, subscriber)]
    assert line.heard() == [("probe", 0), ("probe", 0)]


def test_a_hostapd_that_restarts_is_subscribed_to_again_at_once():
    line = Line(bus("wlan0"))
    line.deliver(line.bus.remove_hostapd("wlan0"))
    assert line.session.channels() == []

    line.deliver(line.bus.add_hostapd("wlan0"))
    line.deliver(line.bus.notify("wlan0", "probe", PROBE))

    assert line.news == ["hostapd_subscribed", "hostapd_lost", "hostapd_subscribed"]
    assert line.heard() == [("probe", 1)]


def test_without_the_right_to_listen_it_is_found_by_asking():
    line = Line(bus("wlan0", may_listen=False))
    line.deliver(line.bus.remove_hostapd("wlan0"))
    line.deliver(line.bus.add_hostapd("wlan0"))
    assert line.session.channels() == []

    line.wait(LOOKUP_EVERY_WITHOUT_EVENTS_S)

    assert line.news == ["hostapd_subscribed", "hostapd_lost", "hostapd_subscribed"]


def test_a_hostapd_that_went_without_a_word_is_noticed():
    """ubusd drops messages where too many wait, the news of an end among them."""
    line = Line(bus("wlan0"))
    line.bus.remove_hostapd("wlan0")
    line.bus.add_hostapd("wlan0")

    line.wait(STATUS_EVERY_S + LOOKUP_AFTER_LOSS_S + 1)

    assert line.news == ["hostapd_subscribed", "hostapd_lost", "hostapd_subscribed"]
    assert len(line.session.bsses) == 1


def test_a_hundred_restarts_leave_nothing_behind():
    line = Line(bus("wlan0"))
    for _ in range(100):
        line.deliver(line.bus.remove_hostapd("wlan0"))
        line.deliver(line.bus.add_hostapd("wlan0"))

    assert len(line.bus.things) == 3, "hostapd's object, our watcher and one subscriber"
    assert (len(line.session.bsses), len(line.session._of_subscriber), len(line.session._requests)) == (1, 1, 0)


def test_no_hostapd_is_told_once_and_then_waited_for():
    line = Line(bus())
    line.wait(120)
    assert (line.news, line.session.is_hidden, line.session.is_settled()) == (["hostapd_missing"], False, True)

    line.deliver(line.bus.add_hostapd("wlan0"))

    assert line.news == ["hostapd_missing", "hostapd_subscribed"]


@pytest.mark.parametrize(
    "access",
    [
        pytest.param({"sees_hostapd": False}, id="no method is allowed, so no object is shown"),
        pytest.param({"may_subscribe": False}, id="subscribing is not allowed"),
    ],
)
def test_what_the_access_list_forbids_is_told_from_what_is_not_there(access: dict[str, bool]):
    line = Line(bus("wlan0", **access))
    line.wait(20)

    assert line.session.is_hidden
    assert line.session.channels() == []


def test_an_object_that_goes_while_it_is_subscribed_to_is_no_refusal():
    line = Line(bus())
    (_, added), *_ = line.bus.add_hostapd("wlan0")
    line.bus.remove_hostapd("wlan0")

    line.session.take(added, line.now_s)
    line.settle()
    line.wait(10)

    assert not line.session.is_hidden
    assert line.session.bsses == {}


def test_who_has_joined_is_asked_twice_a_window_from_the_start():
    line = Line(bus("wlan0"))
    line.bus.hostapd("wlan0").clients = {"02:00:00:00:00:09": {"assoc": True}}
    line.wait(0.5)
    (notice,) = line.session.notices
    assert decode_table(notice.table, depth=3)["clients"] == {"02:00:00:00:00:09": {"assoc": 1}}

    line.wait(4 * PRESENCE_EVERY_S)

    assert len(line.session.notices) == 5


def test_a_hidden_list_of_clients_is_told_once_and_not_asked_again():
    line = Line(bus("wlan0", methods=("get_status",)))
    line.wait(120)

    assert line.news == ["hostapd_subscribed", "hostapd_clients_hidden"]
    assert line.called("get_clients") == 1


def test_a_hostapd_that_hangs_is_not_heard_until_it_answers():
    line = Line(bus("wlan0"))
    line.wait(1)
    assert line.session.channels() == [6]
    line.bus.hostapd("wlan0").hangs = True
    line.wait(STATUS_EVERY_S + STATUS_PATIENCE_S + 1)
    assert (line.session.channels(), line.news[-1]) == ([], "hostapd_silent")

    line.wait(3600)
    assert len(line.session._requests) < 2 * REQUEST_LIFE_S / STATUS_EVERY_S
    line.bus.hostapd("wlan0").hangs = False
    line.wait(30)

    assert (line.session.channels(), line.news) == ([6], ["hostapd_subscribed", "hostapd_silent", "hostapd_answered"])


def test_an_event_is_an_answer_too():
    line = Line(bus("wlan0"))
    line.bus.hostapd("wlan0").hangs = True
    line.wait(STATUS_EVERY_S + STATUS_PATIENCE_S + 1)

    line.deliver(line.bus.notify("wlan0", "probe", PROBE))

    assert line.news[-1] == "hostapd_answered"


def test_channels_follow_hostapd():
    line = Line(bus("wlan0", "wlan0_1"))
    line.bus.add_hostapd("wlan1", 5180)
    line.wait(60)
    assert line.session.channels() == [6, 36]

    line.bus.hostapd("wlan1").frequency = 5500
    line.wait(STATUS_EVERY_S)

    assert line.session.channels() == [6, 100]


def test_a_network_without_probe_requests_is_not_subscribed_to_but_asked_who_joined():
    line = Line(bus("wlan0"), wants_probes=False)
    line.wait(20)

    assert line.bus.hostapd("wlan0").subscribers == []
    assert line.session.is_settled()
    assert line.session.channels() == []
    assert [notice.event for notice in line.session.notices] == ["get_clients"] * 2


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 20), st.integers(0, 3), st.binary(max_size=48)), max_size=12)
)
def test_whatever_ubusd_says_is_taken_or_refused_cleanly(messages: list[tuple[int, int, int, bytes]]):
    line = Line(bus("wlan0"))
    for kind, sequence, peer, content in messages:
        try:
            line.session.take(Message(kind, sequence, peer, content), line.now_s)
            line.session.wake(line.now_s)
        except UbusError:
            return
