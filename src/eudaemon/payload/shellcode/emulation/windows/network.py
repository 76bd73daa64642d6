"""WS2_32, URLMON, WININET and WINHTTP: sockets and downloads, none of which leaves this process."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from eudaemon.payload.shellcode.emulation.deeds import Handle, place_of
from eudaemon.payload.url import PORTS

if TYPE_CHECKING:
    from eudaemon.payload.shellcode.emulation.windows.system import Invocation

_CALLER = "192.0.2.1"  # who "connects" to a listening code: TEST-NET-1 of RFC 5737
_SECURE = 0x0080_0000  # INTERNET_FLAG_SECURE, WINHTTP_FLAG_SECURE


def _socket(call: Invocation) -> int:
    return call.deeds.socket(call.arguments[1])


def _connect(call: Invocation) -> int:
    handle, address, length = call.arguments[:3]
    call.deeds.connect(handle, call.machine.read(address, min(length, 28) or 16))
    return 0


def _bind(call: Invocation) -> int:
    handle, address, length = call.arguments[:3]
    call.deeds.bind(handle, call.machine.read(address, min(length, 28) or 16))
    return 0


def _accept(call: Invocation) -> int:
    number = call.deeds.accept(call.arguments[0])
    if call.arguments[1]:
        call.machine.write(call.arguments[1], _sockaddr(_CALLER, 4444))
    return number


def _name(call: Invocation) -> int:
    handle = call.deeds.handles.get(call.arguments[0])
    call.machine.write(call.arguments[1], _sockaddr(_CALLER, handle.port if handle else 0))
    return 0


def _recv(call: Invocation) -> int:
    handle, buffer, count = call.arguments[:3]
    data = call.deeds.brings(handle, buffer, count)
    call.machine.write(buffer, data)
    return len(data)


def _wsa_recv(call: Invocation) -> int:
    # WSABUF: length, and behind it the pointer.
    word = call.machine.cpu.word_bytes
    first = call.arguments[1]
    count = int.from_bytes(call.machine.read(first, 4), "little")
    buffer = call.machine.word(first + word)
    data = call.deeds.brings(call.arguments[0], buffer, count)
    call.machine.write(buffer, data)
    call.machine.write(call.arguments[3], len(data).to_bytes(4, "little"))
    return 0


def _send(call: Invocation) -> int:
    handle, buffer, count = call.arguments[:3]
    call.deeds.writes(handle, call.machine.read(buffer, min(count, 256)))
    return count


def _sendto(call: Invocation) -> int:
    _, buffer, count, _, address, length = call.arguments
    host, port = place_of(call.machine.read(address, min(length, 28)))
    call.deeds.sends(host, port, call.machine.read(buffer, min(count, 256)))
    return count


def _host_by_name(call: Invocation) -> int:
    """Return a `hostent` whose address stands for the name: 198.18.x.y, which `Deeds` turns back."""
    word = call.machine.cpu.word_bytes
    at = call.machine.allocate(0x100)
    if not at:
        return 0
    address = call.deeds.pretend(call.text(0))
    name, listed, first = at + 0x80, at + 0x40, at + 0x60
    call.machine.write(name, call.text(0).encode("latin-1", "replace")[:0x70] + b"\0")
    call.machine.write(first, address)
    call.machine.put_word(listed, first)
    call.machine.put_word(at, name)
    call.machine.write(at + 2 * word, (2).to_bytes(2, "little") + (4).to_bytes(2, "little"))
    call.machine.put_word(at + (12 if word == 4 else 24), listed)
    return at


def _address_info(call: Invocation) -> int:
    """Write an `addrinfo` with one IPv4 address for node and service."""
    word = call.machine.cpu.word_bytes
    at = call.machine.allocate(0x100)
    if not at:
        return 11004
    port = call.text(1)
    where = call.deeds.pretend(call.text(0))
    address = _sockaddr(str(ipaddress.IPv4Address(where)), int(port) if port.isdecimal() and len(port) < 6 else 0)
    call.machine.write(at, b"".join(n.to_bytes(4, "little") for n in (0, 2, 1, 6)) + (16).to_bytes(word, "little"))
    call.machine.put_word(at + 16 + 2 * word, at + 0x80)
    call.machine.write(at + 0x80, address)
    call.machine.put_word(call.arguments[3], at)
    return 0


def _inet_addr(call: Invocation) -> int:
    try:
        return int.from_bytes(ipaddress.IPv4Address(call.text(0)).packed, "little")
    except ValueError:
        return 0xFFFF_FFFF


def _swap_short(call: Invocation) -> int:
    value = call.arguments[0] & 0xFFFF
    return value >> 8 | (value & 0xFF) << 8


def _swap_long(call: Invocation) -> int:
    return int.from_bytes((call.arguments[0] & 0xFFFF_FFFF).to_bytes(4, "little"), "big")


def _close(call: Invocation) -> int:
    call.deeds.handles.pop(call.arguments[0], None)
    return 0


def _url_to_file(call: Invocation) -> int:
    call.deeds.downloads(call.text(1), call.text(2))
    return 0


def _url_to_cache(call: Invocation) -> int:
    path = "C:\\WINDOWS\\TEMP\\cached"
    call.deeds.downloads(call.text(1))
    call.give_text(call.arguments[2], path)
    return 0


def _url_stream(call: Invocation) -> int:
    call.deeds.downloads(call.text(1))
    return 0


def _internet_open(call: Invocation) -> int:
    return call.deeds.open(Handle("session"))


def _open_url(call: Invocation) -> int:
    call.deeds.downloads(call.text(1))
    return call.deeds.open(Handle("url", call.text(1)))


def _internet_connect(call: Invocation) -> int:
    return call.deeds.open(Handle("server", host=call.text(1), port=call.arguments[2] & 0xFFFF))


def _open_request(call: Invocation) -> int:
    server = call.deeds.handles.get(call.arguments[0]) or Handle("server")
    flags = call.arguments[6]
    scheme = "https" if flags & _SECURE or server.port == 443 else "http"
    where = server.host if server.port in (0, PORTS[scheme]) else f"{server.host}:{server.port}"
    path = call.text(2)
    return call.deeds.open(Handle("url", f"{scheme}://{where}{'' if path.startswith('/') else '/'}{path}"))


def _send_request(call: Invocation) -> int:
    handle = call.deeds.handles.get(call.arguments[0])
    if handle is not None and handle.sort == "url":
        call.deeds.downloads(handle.name)
    return 1


def _read_url(call: Invocation) -> int:
    handle, buffer, count, done = call.arguments
    data = call.deeds.brings(handle, buffer, count)
    call.machine.write(buffer, data)
    call.machine.write(done, len(data).to_bytes(4, "little"))
    return 1


def _available(call: Invocation) -> int:
    handle = call.deeds.handles.get(call.arguments[0])
    left = min(handle.left, 0x1000) if handle else 0
    call.machine.write(call.arguments[1], left.to_bytes(4, "little"))
    return 1


def _zero(_: Invocation) -> int:
    return 0


def _sockaddr(host: str, port: int) -> bytes:
    return (2).to_bytes(2, "little") + port.to_bytes(2, "big") + ipaddress.IPv4Address(host).packed + bytes(8)


HANDLERS = {
    "socket": _socket, "WSASocket": _socket, "connect": _connect, "WSAConnect": _connect, "bind": _bind,
    "accept": _accept, "WSAAccept": _accept, "recv": _recv, "recvfrom": _recv, "WSARecv": _wsa_recv, "send": _send,
    "sendto": _sendto, "getpeername": _name, "getsockname": _name, "gethostbyname": _host_by_name,
    "getaddrinfo": _address_info, "inet_addr": _inet_addr, "htons": _swap_short, "ntohs": _swap_short,
    "htonl": _swap_long, "ntohl": _swap_long, "closesocket": _close, "InternetCloseHandle": _close,
    "WinHttpCloseHandle": _close, "URLDownloadToFile": _url_to_file, "URLDownloadToCacheFile": _url_to_cache,
    "URLOpenBlockingStream": _url_stream, "InternetOpen": _internet_open, "WinHttpOpen": _internet_open,
    "InternetOpenUrl": _open_url, "InternetConnect": _internet_connect, "WinHttpConnect": _internet_connect,
    "HttpOpenRequest": _open_request, "WinHttpOpenRequest": _open_request, "HttpSendRequest": _send_request,
    "WinHttpSendRequest": _send_request, "InternetReadFile": _read_url, "WinHttpReadData": _read_url,
    "InternetQueryDataAvailable": _available, "WinHttpQueryDataAvailable": _available, "WSAStartup": _zero,
    "listen": _zero, "WSACleanup": _zero, "setsockopt": _zero, "getsockopt": _zero, "ioctlsocket": _zero,
    "WSAEventSelect": _zero, "WSAGetLastError": _zero, "gethostname": _zero, "shutdown": _zero, "WSAIoctl": _zero,
}  # fmt: skip
