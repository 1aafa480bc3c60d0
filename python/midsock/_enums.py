"""The enumerations of the package. Their numbers are those of columns and of the native half."""

from enum import IntEnum


class Side(IntEnum):
    """An end of a flow. A side's data is the bytes which that side sent."""

    CLIENT = 0
    SERVER = 1

    def __str__(self) -> str:
        """`client` or `server`."""
        return self.name.lower()


class Hook(IntEnum):
    """When a handler runs, relative to the TCP update of the packet."""

    PRE_TCP = 0
    """Both endpoints are as they were before the packet."""
    POST_SND = 1
    """The sender has moved, the receiver has not."""
    POST_TCP = 2
    """Both have moved, and the packet's data is readable."""


class Kind(IntEnum):
    """What a monitoring socket watches."""

    STREAM = 0
    RAW = 1


class State(IntEnum):
    """The state of an endpoint (RFC 9293, section 3.3.2)."""

    CLOSED = 0
    LISTEN = 1
    SYN_SENT = 2
    SYN_RECEIVED = 3
    ESTABLISHED = 4
    FIN_WAIT_1 = 5
    FIN_WAIT_2 = 6
    CLOSE_WAIT = 7
    CLOSING = 8
    LAST_ACK = 9
    TIME_WAIT = 10

    def __str__(self) -> str:
        """Its name in the RFC, such as `TIME-WAIT`."""
        return self.name.replace("_", "-")


class EndReason(IntEnum):
    """Why a flow ended."""

    CLOSED = 0
    """Both ends closed."""
    RESET = 1
    """A RST was accepted, or a new connection took over the tuple."""
    TIMEOUT = 2
    """No packet came for as long as its state allows."""
    EVICTED = 3
    """It had to make room."""
    STOPPED = 4
    """The application stopped it."""
    END = 5
    """The input ended."""

    def __str__(self) -> str:
        """Its name in lower case, as in records."""
        return self.name.lower()


class RexmitKind(IntEnum):
    """What was sent again."""

    SYN = 0
    SYNACK = 1
    FIN = 2
    DATA = 3

    def __str__(self) -> str:
        """Its name in lower case, as in records."""
        return self.name.lower()


class Anomaly(IntEnum):
    """A named condition that a well-behaved connection does not show."""

    BAD_CHECKSUM = 0
    """The TCP checksum is wrong, on a side whose checksums are not left to hardware."""
    BAD_IP_CHECKSUM = 1
    """The IPv4 header checksum is wrong."""
    BAD_OPTIONS = 2
    """The options of the TCP header do not parse."""
    BAD_FLAGS = 3
    """SYN with FIN or RST (RFC 9293, section 3.5)."""
    OUT_OF_WINDOW = 4
    """Outside the window that the receiver advertised (RFC 9293, section 3.10.7.4)."""
    INVALID_ACK = 5
    """It acknowledges what its receiver cannot have sent (RFC 5961, section 5.2)."""
    ACK_UNSEEN = 6
    """It acknowledges bytes that were never seen: the capture lacks them."""
    NO_ACK = 7
    """A segment of a synchronized connection without ACK (RFC 9293, section 3.10.7.4)."""
    INEXACT_RST = 8
    """A RST whose sequence number is not exactly the next one (RFC 5961, section 3.2)."""
    SYN_ON_LIVE = 9
    """A SYN inside a live connection (RFC 5961, section 4.2)."""
    SYNACK_WRONG_ACK = 10
    """A SYN/ACK that acknowledges something else than the SYN."""
    SYNACK_DIFFERENT_SEQ = 11
    """A SYN/ACK whose sequence number differs from the first one's."""
    FIN_MOVED = 12
    """A FIN at another sequence number than the first one."""
    DATA_AFTER_FIN = 13
    """Bytes beyond the FIN."""
    DIFFERENT_CONTENT = 14
    """A retransmission or overlap whose bytes differ from those already seen."""
    TRUNCATED = 15
    """The frame was captured shorter than it was."""
    HELD_FULL = 16
    """Out-of-order bytes exceeded their cap: a hole was given up."""
    UNREAD_FULL = 17
    """Unread bytes exceeded their cap: the oldest were dropped."""
    DEPTH_REACHED = 18
    """The stream reached the depth up to which it is wanted."""
    BAD_HEADER = 19
    """The TCP data offset is below 20 bytes or beyond the segment's end (RFC 9293, section 3.1)."""

    def __str__(self) -> str:
        """Its name in lower case, as in records."""
        return self.name.lower()
