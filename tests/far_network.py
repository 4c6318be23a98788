"""A host on the far side of a link that loses packets and takes its time: a real network, for TCP.

    unshare --net python ...    # a process in a network namespace of its own, as root

The far host is this process again: what is sent to FAR comes back as from FAR, to NEAR. Whoever
serves on NEAR is reached on FAR.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

NEAR, FAR = "10.99.0.1", "10.99.0.2"

_SET_INTERFACE = 0x400454CA  # TUNSETIFF
_TUN, _NO_PACKET_INFO = 0x0001, 0x1000
_LARGEST = 65_536
_SOURCE, _DESTINATION = slice(12, 16), slice(16, 20)  # in the header of IPv4


@contextmanager
def far_network(loss: float, one_way_s: float, seed: int = 1) -> Iterator[None]:
    """The link is there while the block lasts; `loss` is a share of its packets."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _SET_INTERFACE, struct.pack("16sH", b"far", _TUN | _NO_PACKET_INFO))
    for command in (
        ("link", "set", "lo", "up"),
        ("address", "add", f"{NEAR}/24", "dev", "far"),
        ("link", "set", "far", "up"),
    ):
        subprocess.run(["ip", *command], check=True)
    over = threading.Event()
    carrying = threading.Thread(target=_carry, args=(tun, loss, one_way_s, seed, over))
    carrying.start()
    try:
        yield
    finally:
        over.set()
        carrying.join()
        os.close(tun)


def _carry(tun: int, loss: float, one_way_s: float, seed: int, over: threading.Event) -> None:
    chance = random.Random(seed)
    on_the_way: list[tuple[float, int, bytes]] = []
    number = 0
    while not over.is_set():
        wait_s = on_the_way[0][0] - time.monotonic() if on_the_way else 0.05
        if select.select([tun], [], [], max(0.0, min(wait_s, 0.05)))[0]:
            packet = os.read(tun, _LARGEST)
            if packet[0] >> 4 == 4 and chance.random() >= loss:
                number += 1
                heapq.heappush(on_the_way, (time.monotonic() + one_way_s, number, packet))
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            os.write(tun, _returned(heapq.heappop(on_the_way)[2]))


def _returned(packet: bytes) -> bytes:
    """The sums over both addresses stay true when these change places."""
    swapped = bytearray(packet)
    swapped[_SOURCE], swapped[_DESTINATION] = packet[_DESTINATION], packet[_SOURCE]
    return bytes(swapped)
