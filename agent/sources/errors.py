"""What can be wrong with a source of frames: the owner's or the capture's fault.

    SourceError
    +-- SourceUnknown      no source of that name
    +-- CaptureMissing     the file is not there or may not be read
    +-- NotACapture        the bytes are no pcap or pcapng capture
    +-- CaptureEmpty       a file of no bytes
    +-- LinkTypeUnknown    a capture of something else than 802.11
    +-- InterfaceMissing   no network interface of that name
    +-- NotAMonitor        the interface is there and not in monitor mode
    +-- NotPermitted       the process may not open packet sockets
    +-- UbusError          no talking to hostapd over ubus
        +-- UbusMissing    there is no ubusd at the socket
        +-- UbusDenied     its access list does not let us at hostapd
        +-- UbusGone       the connection ended
        +-- UbusMalformed  the bytes are not ubus's protocol

A capture that breaks off is not an error while it is read: all whole frames are used, and the source tells afterwards
(``troubles``).
"""

from __future__ import annotations


class SourceError(Exception):
    """A source cannot give frames. The message says what, got, allowed, next step."""


class SourceUnknown(SourceError):
    """The configuration names a source that does not exist."""


class CaptureMissing(SourceError):
    """The capture is not there or may not be read."""


class NotACapture(SourceError):
    """The file begins like no capture that we read."""


class CaptureEmpty(SourceError):
    """The file has no bytes at all."""


class LinkTypeUnknown(SourceError):
    """The capture holds something else than 802.11 frames."""


class InterfaceMissing(SourceError):
    """There is no network interface of that name."""


class NotAMonitor(SourceError):
    """The interface is there and not in monitor mode."""


class NotPermitted(SourceError):
    """The process may not open packet sockets."""


class UbusError(SourceError):
    """hostapd cannot be heard over ubus."""


class UbusMissing(UbusError):
    """Nobody listens at the socket of ubusd, or it may not be opened."""


class UbusDenied(UbusError):
    """ubusd is there, and its access list hides hostapd from this user."""


class UbusGone(UbusError):
    """ubusd ended the connection, or stopped to take what we send."""


class UbusMalformed(UbusError):
    """What came over the socket is not ubus's protocol."""
