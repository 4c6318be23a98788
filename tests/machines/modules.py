"""What a virtual machine's kernel lacks: a simulated GPIO header, and the word that it is a Pi's.

Debian's kernels come without gpio-sim. It is built, with the interrupts it simulates, from Debian's
own sources, in a tree with the headers of just that kernel; that tree is removed again, the modules
are kept in the user's cache.
"""

import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.machines.trees import cache_dir, tree

_BUILD_TIMEOUT_S = 300
_BOARD = Path(__file__).with_name("board.c")
_SOURCES = ("drivers/gpio/gpio-sim.c", "drivers/gpio/gpiolib.h", "kernel/irq/irq_sim.c")
_KBUILD = "obj-m := gpio-sim.o board.o\ngpio-sim-y := chip.o irq_sim.o\n"
# As a module of its own, irq_sim may use only what the kernel exports.
_CHANGES = (
    (r"^EXPORT_SYMBOL.*$", ""),
    (r"handle_simple_irq\(irq_to_desc\(irqnum\)\);", "generic_handle_irq_safe(irqnum);"),
)

_INITRAMFS = "MODULES=list\nBUSYBOX=auto\nCOMPRESS=gzip\n"
_INITRAMFS_MODULES = "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n"


def kernel_of(root: Path) -> str:
    """The version of the one kernel that is installed in a tree."""
    (version,) = (each.name for each in (root / "lib/modules").iterdir())
    return version


def header_modules(kernel: str) -> list[Path]:
    """gpio-sim.ko and board.ko for this kernel, built now if they are not there yet (80 s)."""
    digest = hashlib.sha256(_BOARD.read_bytes() + repr(_CHANGES).encode()).hexdigest()[:8]
    kept = cache_dir().parent / "modules" / f"{kernel}-{digest}"
    if not kept.exists():
        release = ".".join(kernel.split(".")[:2])
        needed = (f"linux-headers-{kernel}", f"linux-source-{release}", "gcc", "make", "xz-utils")
        workshop = tree("bookworm", needed)
        part = kept.with_name(f"{kept.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _build(workshop, kernel, release, part)
        part.rename(kept)
        shutil.rmtree(workshop)
    return sorted(kept.glob("*.ko"))


def _build(workshop: Path, kernel: str, release: str, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=workshop / "tmp") as name:
        work = Path(name)
        archive = workshop / f"usr/src/linux-source-{release}.tar.xz"
        members = [f"linux-source-{release}/{each}" for each in _SOURCES]
        subprocess.run(
            ["tar", "-xf", archive, "-C", work, "--strip-components=3", *members],
            check=True,
            timeout=_BUILD_TIMEOUT_S,
        )
        (work / "gpio-sim.c").rename(work / "chip.c")
        text = (work / "irq_sim.c").read_text("utf-8")
        for pattern, new in _CHANGES:
            text, count = re.subn(pattern, new, text, flags=re.MULTILINE)
            assert count, pattern
        (work / "irq_sim.c").write_text(text, "utf-8")
        (work / "Kbuild").write_text(_KBUILD, "ascii")
        shutil.copy2(_BOARD, work)
        inside = f"/tmp/{work.name}"
        make = ["make", "-s", "-C", f"/lib/modules/{kernel}/build", f"M={inside}", "modules"]
        subprocess.run(["chroot", workshop, *make], check=True, timeout=_BUILD_TIMEOUT_S)
        for module in work.glob("*.ko"):
            shutil.copy2(module, target)


def small_initrd(root: Path, target: Path) -> None:
    """An initramfs for a virtual machine's disk and nothing else: it is unpacked four times faster
    than the one for every machine."""
    with tempfile.TemporaryDirectory(dir=root / "tmp") as name:
        work = Path(name)
        for part in ("conf.d", "scripts", "hooks", "modules.d"):
            (work / part).mkdir()
        (work / "initramfs.conf").write_text(_INITRAMFS, "ascii")
        (work / "modules").write_text(_INITRAMFS_MODULES, "ascii")
        inside = f"/tmp/{work.name}"
        make = ["mkinitramfs", "-d", inside, "-o", f"{inside}/initrd", kernel_of(root)]
        subprocess.run(["chroot", root, *make], check=True, timeout=_BUILD_TIMEOUT_S)
        shutil.copy2(work / "initrd", target)
