"""The mains go, at any moment; afterwards the kiosk serves, with one whole release and a token that
is known.

What a cut leaves of the disk is in `tests/machines/disks.py`: what was flushed, and of the rest
each write or not, by chance. The backend is another machine and has power all along: a device token
that it has replaced stays replaced. An update is played once, and the power goes at many moments of
what it wrote, for nothing that the backend knows changes by it. The chance is seeded, and the seed
is printed: KIOSK_VM_SEED=N takes it again.
"""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.boot.releases import other_version
from tests.machines.asking import release, until
from tests.machines.disks import Cut
from tests.vm.installation import Place

pytestmark = [pytest.mark.timeout(4 * 3600)]

_VERSIONS = ("0.1.0", "0.2.0")
_UPDATE = f"ansible-playbook update.yml --limit lobby -e kiosk_version={_VERSIONS[1]}"
_DATABASE = "/var/lib/kiosk-backend/kiosk-backend.db"
_READY_S = 240.0
# How long each goes on before the cut, at most.
_IDLE_S, _VISIT_S, _ROTATION_S = 8.0, 20.0, 2.0
# Of what an update writes: its libraries are being unpacked.
_IN_THE_MIDDLE = 0.4

# The release that is named, and its program; each marked when all of it was there.
_NAME = """
set -eu
cd /opt/kiosk
test -s current/.whole
test -s programs/$(cat current/.whole)/.whole
basename $(readlink current)
"""
_TRY = "cd /opt/kiosk/current && bin/kiosk check --config config.toml && bin/kiosk --version"
_DIGEST = (
    "cd /opt/kiosk/programs/{version}-* && find . -type f ! -name '*.pyc' ! -name .whole -print0"
    " | sort -z | xargs -0 sha1sum | sha1sum"
)
_IN_BOOKS = f"""
import sqlite3
with sqlite3.connect("{_DATABASE}", timeout=10) as books:
    for row in books.execute({{statement!r}}):
        print(*row)
"""
_AGES_AGO = "2000-01-01 00:00:00.000000"


Activity = Callable[[Place, random.Random], None]


def idle(_: Place, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, _IDLE_S))


def visit(place: Place, chance: random.Random) -> None:
    place.kiosk.ask("press")
    time.sleep(chance.uniform(0, _VISIT_S))


def rotation(place: Place, chance: random.Random) -> None:
    """The backend finds the token old and gives another; the cut is about when it is written."""
    before = _tokens(place)
    _ask_books(place, f"UPDATE kiosk_credentials SET created_at = '{_AGES_AGO}'")
    # A restart would go on with the lease in hand, and ask for nothing.
    place.kiosk.run("systemctl stop kiosk.service && systemctl start --no-block kiosk.service")
    until(lambda: _tokens(place) - before, _READY_S, "another token")
    time.sleep(chance.uniform(0, _ROTATION_S))


def _tokens(place: Place) -> set[str]:
    return set(_ask_books(place, "SELECT id FROM kiosk_credentials").split())


def _ask_books(place: Place, statement: str) -> str:
    """What the backend's database answers, a line a row."""
    return place.server.run("python3 -", stdin=_IN_BOOKS.format(statement=statement))


# --- what must be so after every cut --------------------------------------------------------------


def examine(place: Place) -> str:
    """The release that runs; fails where its marks are missing, or the kiosk does not serve."""
    kiosk = place.kiosk
    named = kiosk.run(_NAME).strip()

    def serves() -> bool:
        told = kiosk.ask("status")
        return told.get("state") == "idle" and told["unfit"] is None

    until(serves, _READY_S, "a kiosk that could hold a visit")
    assert kiosk.ask("status")["version"] == named.split("-")[0]
    prospect = kiosk.ask("check_lease")
    assert "lease_error" not in prospect, prospect
    assert prospect["ok"] is True
    return named


def digest(place: Place, version: str) -> str:
    """Of all that a program is made of."""
    return place.kiosk.run(_DIGEST.format(version=version), timeout_s=_READY_S).strip()


ACTIVITIES: dict[str, Activity] = {"idle": idle, "visit": visit, "rotation": rotation}


@dataclass
class Story:
    """The seeded chance, and what was whole before the first cut."""

    chance: random.Random
    former: str
    digests: dict[str, str]


@pytest.fixture(scope="module")
def story(place: Place) -> Story:
    seed = int(os.environ.get("KIOSK_VM_SEED") or random.randrange(1 << 32))
    print(f"KIOSK_VM_SEED={seed}")
    other_version(place.control.checkout, _VERSIONS[1])
    former = examine(place)
    return Story(random.Random(seed), former, {_VERSIONS[0]: digest(place, _VERSIONS[0])})


def _examine_after(name: str, cut: Cut, place: Place) -> str:
    began_s = time.monotonic()
    # Leases that were asked for and not used are bounded, and no kiosk starts every minute.
    _ask_books(place, "DELETE FROM buckets")
    booted_s = place.kiosk.boot()
    runs = examine(place)
    print(f"{name}: {cut}; {booted_s:.0f} s to boot, {time.monotonic() - began_s:.0f} s to serve")
    return runs


def _cut_in_daily_life(place: Place, story: Story, times: int) -> None:
    for number in range(times):
        name = list(ACTIVITIES)[number % len(ACTIVITIES)]
        ACTIVITIES[name](place, story.chance)
        cut = place.kiosk.cut(story.chance)
        assert _examine_after(name, cut, place) == story.former


def _cut_in_the_update(place: Place, story: Story, times: int) -> None:
    """At `times` moments of the one update that was kept, spread over all that it wrote."""
    kiosk, seen = place.kiosk, set()
    for number in range(times):
        share = (number + story.chance.random()) / times
        cut = kiosk.cut_in_kept(story.chance, share)
        runs = _examine_after(f"update, {share:.0%}", cut, place)
        version = runs.split("-")[0]
        assert version in _VERSIONS
        assert version == _VERSIONS[1] or runs == story.former
        assert kiosk.run(_TRY, timeout_s=_READY_S).split()[-1] == version
        assert digest(place, version) == story.digests[version]
        seen.add(version)
    print(f"after the cuts in the update it ran {sorted(seen)}")


def _keep_an_update(place: Place, story: Story) -> None:
    """Play the update once, from a boot of its own on, and keep what it wrote."""
    kiosk = place.kiosk
    if _VERSIONS[1] not in story.digests:
        kiosk.poweroff()
        kiosk.boot()
        place.control.played(_UPDATE)
        story.digests[_VERSIONS[1]] = digest(place, _VERSIONS[1])
        kiosk.keep()


@pytest.mark.parametrize("times", [12, pytest.param(60, marks=pytest.mark.slow)])
def test_cut_off_at_rest_in_a_visit_and_at_a_new_token_it_serves_again(
    place: Place, story: Story, times: int
) -> None:
    _cut_in_daily_life(place, story, times)


@pytest.mark.parametrize("times", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_cut_off_in_an_update_it_runs_the_old_release_or_the_new_and_that_whole(
    place: Place, story: Story, times: int
) -> None:
    _keep_an_update(place, story)
    _cut_in_the_update(place, story, times)


def test_an_update_that_was_cut_off_goes_through_the_next_time(place: Place, story: Story) -> None:
    place.kiosk.cut_in_kept(story.chance, _IN_THE_MIDDLE)
    place.kiosk.boot()
    assert release(place.kiosk) == story.former
    place.control.played(_UPDATE)
    assert examine(place).startswith(_VERSIONS[1])
    assert digest(place, _VERSIONS[1]) == story.digests[_VERSIONS[1]]
