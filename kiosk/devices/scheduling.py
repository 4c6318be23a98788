"""Asks the kernel to let a sound thread go first. Nothing else depends on the answer."""

import logging
import os

log = logging.getLogger(__name__)

# Above everything ordinary; below the sound server and the kernel's own threads.
PRIORITY = 20


def go_first(name: str) -> bool:
    """SCHED_FIFO for the calling thread; one line of the log says whether it was granted."""
    # What the thread starts (it starts nothing) would be an ordinary process again.
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    try:
        os.sched_setscheduler(0, policy, os.sched_param(PRIORITY))
    except OSError as error:
        log.info(
            "the %s thread has no priority over other programs (%s), and sound may crackle on a "
            "busy machine: give the service LimitRTPRIO=%d, or the user a line "
            '"USER - rtprio %d" in /etc/security/limits.conf',
            name,
            error.strerror,
            PRIORITY,
            PRIORITY,
        )
        return False
    log.info("the %s thread goes first (SCHED_FIFO, priority %d)", name, PRIORITY)
    return True
