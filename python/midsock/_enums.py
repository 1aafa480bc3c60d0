"""The enumerations of the package. Their numbers are those of columns and of the native half."""

from enum import IntEnum
from typing import Self


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


class Verdict(IntEnum):
    """What becomes of a packet between two ports; of several, the highest wins."""

    FORWARD = 0
    """It goes out of the other port, as do packets that nobody has an opinion about."""
    DROP = 1
    """This packet is dropped."""
    DROP_FLOW = 2
    """This packet and all later ones of its flow are dropped."""
    RESET = 3
    """Both ends are sent a RST; this packet and later ones of the flow are dropped."""

    def __str__(self) -> str:
        """Its name in lower case."""
        return self.name.lower()


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


class Severity(IntEnum):
    """How much there is to worry about: `anomaly.severity`. The least is the lowest."""

    INFO = 0
    """Permitted and usual, but good to know; also what the capture lacks, or what a setting asked for."""
    NOTICE = 1
    """Permitted but unusual, or faulty without harm."""
    WARNING = 2
    """Against a standard: a fault, or an attempt to be misunderstood."""
    ATTACK = 3
    """What one sends who injects, hides from sensors or exhausts them; faults may look the same."""

    def __str__(self) -> str:
        """Its name in lower case."""
        return self.name.lower()


class Anomaly(IntEnum):
    """A named condition that a well-behaved peer does not show."""

    severity: Severity
    """How much there is to worry about."""

    # Every member names its severity; the default is for type checkers, to which `Anomaly(4)` calls this.
    def __new__(cls, number: int, severity: Severity = Severity.INFO) -> Self:
        """Make a member: a number, which knows its severity."""
        member = int.__new__(cls, number)
        member._value_ = number
        member.severity = severity
        return member

    BAD_CHECKSUM = 0, Severity.WARNING
    """The TCP checksum is wrong, on a side whose checksums are not left to hardware (RFC 9293, section 3.1).
    """
    BAD_IP_CHECKSUM = 1, Severity.WARNING
    """The IPv4 header checksum is wrong (RFC 791, section 3.1)."""
    BAD_OPTIONS = 2, Severity.WARNING
    """The options of the TCP header do not parse: a length that is impossible for its kind, or beyond the
    header's end (RFC 9293, section 3.2).
    """
    BAD_FLAGS = 3, Severity.ATTACK
    """A combination of control bits that no stack sends (RFC 9293, section 3.5): SYN with FIN or RST."""
    OUT_OF_WINDOW = 4, Severity.WARNING
    """The segment lies outside the window that its receiver advertised (RFC 9293, section 3.10.7.4)."""
    INVALID_ACK = 5, Severity.ATTACK
    """It acknowledges what its receiver cannot have sent, or what lies further back than any window (RFC
    5961, section 5.2).
    """
    ACK_UNSEEN = 6, Severity.INFO
    """It acknowledges bytes that were never seen here: the capture lacks them."""
    NO_ACK = 7, Severity.ATTACK
    """A segment of a synchronized connection without ACK (RFC 9293, section 3.10.7.4)."""
    INEXACT_RST = 8, Severity.ATTACK
    """A RST that its receiver does not take: its sequence number is not the one expected, and is answered by
    a challenge at most (RFC 5961, section 3.2).
    """
    SYN_ON_LIVE = 9, Severity.ATTACK
    """A SYN inside a live connection (RFC 5961, section 4.2)."""
    SYNACK_WRONG_ACK = 10, Severity.ATTACK
    """A SYN/ACK that acknowledges something else than the SYN (RFC 9293, section 3.10.7.3)."""
    SYNACK_DIFFERENT_SEQ = 11, Severity.ATTACK
    """A SYN/ACK whose sequence number differs from that of the first one, or of the SYN that its sender sent
    before.
    """
    FIN_MOVED = 12, Severity.ATTACK
    """A FIN at another sequence number than the first one, or before data that was sent."""
    DATA_AFTER_FIN = 13, Severity.ATTACK
    """Bytes beyond the FIN (RFC 9293, section 3.6)."""
    DIFFERENT_CONTENT = 14, Severity.ATTACK
    """A retransmission or overlap whose bytes differ from those already seen."""
    TRUNCATED = 15, Severity.INFO
    """The frame was captured shorter than it was."""
    HELD_FULL = 16, Severity.NOTICE
    """Out-of-order bytes exceeded their cap: a hole was given up."""
    UNREAD_FULL = 17, Severity.NOTICE
    """Unread bytes exceeded their cap: the oldest were dropped."""
    DEPTH_REACHED = 18, Severity.INFO
    """The stream reached the depth up to which it is wanted."""
    BAD_HEADER = 19, Severity.WARNING
    """The TCP data offset is below 20 bytes or beyond the segment's end (RFC 9293, section 3.1)."""
    SYN_DIFFERENT_SEQ = 20, Severity.NOTICE
    """A SYN with another sequence number than the one before it, while the handshake is under way."""
    SYN_WRONG_DIRECTION = 21, Severity.ATTACK
    """A SYN of the end that has answered the other end's SYN with a SYN/ACK already."""
    SYNACK_WRONG_DIRECTION = 22, Severity.ATTACK
    """A SYN/ACK of the end that opened the connection, which the other end's SYN did not ask for."""
    SYNACK_DIFFERENT_ACK = 23, Severity.ATTACK
    """A SYN/ACK that is sent again with another acknowledgment number."""
    SYN_WITH_DATA = 24, Severity.NOTICE
    """A SYN with data, but without a Fast Open cookie (RFC 9293, section 3.4; RFC 7413)."""
    FAST_OPEN_DATA_IGNORED = 25, Severity.INFO
    """A SYN/ACK that does not acknowledge the data in the SYN: it has to be sent again (RFC 7413, section 3).
    """
    SIMULTANEOUS_OPEN = 26, Severity.INFO
    """Both ends sent a SYN before they received the other's (RFC 9293, section 3.5)."""
    SPLIT_HANDSHAKE = 27, Severity.WARNING
    """A SYN was answered by a SYN, not a SYN/ACK: the handshake of four or five steps, by which a server can
    make sensors take it for the client (Beardsley and Qian, 2010).
    """
    HANDSHAKE_WRONG_SEQ = 28, Severity.ATTACK
    """The segment that should end the handshake does not follow its sender's SYN."""
    HANDSHAKE_WRONG_ACK = 29, Severity.ATTACK
    """The segment that should end the handshake does not acknowledge the other end's SYN (RFC 9293, section
    3.10.7.4): its sender has perhaps never seen that.
    """
    ACK_WRONG_DIRECTION = 30, Severity.NOTICE
    """The end that sent the SYN/ACK goes on before anything acknowledged that."""
    DATA_BEFORE_ESTABLISHED = 31, Severity.ATTACK
    """Data of an end that has not received the other's SYN yet, or before its own was acknowledged: injected,
    or meant for sensors only.
    """
    FIN_BEFORE_ESTABLISHED = 32, Severity.NOTICE
    """A FIN while the handshake is under way (RFC 9293, section 3.10.4)."""
    SYN_FLOOD = 33, Severity.ATTACK
    """Many SYNs with differing sequence numbers for one connection."""
    SYNACK_FLOOD = 34, Severity.NOTICE
    """Many SYN/ACKs that nothing answers: the SYN's source was perhaps forged."""
    FIN_STORM = 35, Severity.ATTACK
    """Many FINs from one side."""
    RST_STORM = 36, Severity.ATTACK
    """Many RSTs from one side."""
    ACK_STORM = 37, Severity.ATTACK
    """Many acknowledgements in a row that bring nothing new, each an answer to one of the other end: the ends
    no longer agree on sequence numbers (Joncheray, 1995; RFC 5961, section 5.3).
    """
    RST_WITH_DATA = 38, Severity.NOTICE
    """A RST with data (RFC 9293, section 3.10.7.4, permits it; no common stack sends it)."""
    SUSPECTED_RST_INJECTION = 39, Severity.ATTACK
    """A RST in the window but not exactly where it is expected, as one who guesses sends it (RFC 5961,
    section 3.2), or one after which its sender went on as if it had sent none.
    """
    AFTER_RESET = 40, Severity.ATTACK
    """Data, SYN/ACK or FIN of a side that has sent a RST."""
    PORT_REUSE = 41, Severity.INFO
    """The connection begins soon after another one of the same addresses and ports ended (RFC 9293, section
    3.6.1; RFC 6191).
    """
    LIVE_PORT_REUSE = 42, Severity.NOTICE
    """The connection took the place of another one of the same addresses and ports that had not ended."""
    OLD_TIMESTAMP = 43, Severity.ATTACK
    """A segment whose timestamp is older than one already received (PAWS: RFC 7323, section 5)."""
    MISSING_TIMESTAMP = 44, Severity.NOTICE
    """A segment without timestamp on a connection that agreed on them (RFC 7323, section 3.2)."""
    ACK_WITHOUT_FLAG = 45, Severity.INFO
    """An acknowledgment number without ACK (RFC 9293, section 3.1)."""
    WINDOW_SHRUNK = 46, Severity.NOTICE
    """An end took back part of the window that it had offered (RFC 9293, section 3.8.6)."""
    BAD_WINDOW_SCALE = 47, Severity.NOTICE
    """A window scale above 14, which counts as 14 (RFC 7323, section 2.3)."""
    URGENT_DATA = 48, Severity.INFO
    """Urgent data (RFC 6093): whether it is part of the stream is the receiver's choice."""
    URGENT_LIMIT = 49, Severity.ATTACK
    """More urgent bytes were taken out of the stream than any program sends."""
    DATA_BEFORE_START = 50, Severity.ATTACK
    """Data before the first byte of the stream, which its SYN tells."""
    GAP_WITHOUT_ACK = 51, Severity.NOTICE
    """Bytes that were never seen were given up though nothing acknowledged them."""
    CLOSED_INCOMPLETE = 52, Severity.NOTICE
    """The connection closed while bytes of its streams were still missing."""
    ONE_SIDED = 53, Severity.INFO
    """One end acknowledges another of which nothing was seen: the packets of the two directions take
    different ways.
    """
    SYNACK_WITHOUT_FLOW = 54, Severity.NOTICE
    """A SYN/ACK of no known flow."""
    FIN_WITHOUT_FLOW = 55, Severity.INFO
    """A FIN of no known flow."""
    RST_WITHOUT_FLOW = 56, Severity.INFO
    """A RST of no known flow."""
    FRAGMENT_OVERLAP = 57, Severity.ATTACK
    """IP fragments of a datagram overlap (RFC 5722, section 4; RFC 8200, section 4.5)."""
    FRAGMENT_DIFFERENT_CONTENT = 58, Severity.ATTACK
    """IP fragments of a datagram overlap, and the bytes differ."""
    FRAGMENT_TOO_LONG = 59, Severity.ATTACK
    """IP fragments reach beyond the 65,535th byte of a datagram (RFC 791; the "ping of death")."""
    FRAGMENT_TINY = 60, Severity.ATTACK
    """An IP fragment too short to hold the transport header, though others follow (RFC 1858, section 3; RFC
    3128; RFC 7112).
    """
    FRAGMENT_TEARDROP = 61, Severity.ATTACK
    """An IP fragment lies wholly inside an earlier one, or ends before it begins ("teardrop")."""
    FRAGMENT_TIMEOUT = 62, Severity.NOTICE
    """Fragments of a datagram were dropped because the others did not come in time (RFC 1122, section 3.3.2;
    RFC 8200, section 4.5).
    """
    TOO_MANY_LAYERS = 63, Severity.ATTACK
    """More layers in a frame than a sound one has."""

    def __str__(self) -> str:
        """Its name in lower case, as in records."""
        return self.name.lower()
