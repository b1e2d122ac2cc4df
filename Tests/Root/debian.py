"""Debian roots: one made by debootstrap, and a small one made of the packages that are installed here, which needs no network. A script
(debian.sh) runs in two copies, natively by chroot(8) and by `vitrine run --root`, as a user without privileges."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent / "debian.sh"
# What the small root has, and whatever these need.
PACKAGES = ["base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "diffutils", "dpkg", "findutils", "grep", "gzip",
            "hostname", "libc-bin", "login", "mawk", "perl-base", "sed", "tar", "util-linux"]
NOBODY = 65534


def output(words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def needed(names):
    """The installed packages that `names` depend on, and they themselves."""
    rows = output(["dpkg-query", "-W", "-f", "${Package}\t${db:Status-Abbrev}\t${Pre-Depends}, ${Depends}\n"]).splitlines()
    installed = {}
    for row in rows:
        name, status, wanted = row.split("\t")
        if status.startswith("ii"):
            installed[name] = re.findall(r"(?:^|,)\s*([a-z0-9][a-z0-9+.-]*)", wanted)
    found, waiting = set(), [name for name in names if name in installed]
    while waiting:
        name = waiting.pop()
        if name not in found and name in installed:
            found.add(name)
            waiting += installed[name]
    return sorted(found)


def small(root):
    """A root of installed packages: their files, their configuration, and dpkg's records of them."""
    packages = needed(PACKAGES)
    for folder in ("dev/shm", "dev/pts", "proc", "sys", "tmp", "etc", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log", "var/cache"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink("/" + name):
            (root / "usr" / name).mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to("usr/" + name)
    paths = sorted(set(output(["dpkg-query", "-L", *packages]).splitlines()) | {"/bin/sh", "/etc/alternatives"})
    paths = [path for path in paths if os.path.lexists(path) and path not in ("/.", "/bin", "/sbin", "/lib", "/lib64")
             and not path.startswith(("/usr/share/locale", "/usr/share/doc", "/usr/share/man", "/dev", "/proc", "/sys"))]
    pack = subprocess.Popen(["tar", "cf", "-", "--no-recursion", "--ignore-failed-read", "-P", "-T", "-"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    unpack = subprocess.Popen(["tar", "xf", "-", "-C", root, "--keep-directory-symlink", "--no-same-owner"], stdin=pack.stdout,
                              stderr=subprocess.DEVNULL)
    pack.stdin.write("".join(path + "\n" for path in paths).encode())
    pack.stdin.close()
    pack.wait()
    unpack.wait()
    information = root / "var/lib/dpkg"
    (information / "status").write_text("\n".join(output(["dpkg-query", "-s", name]) for name in packages))
    (information / "available").write_text("")
    for name in packages:
        for file in Path("/var/lib/dpkg/info").glob(name + "[.:]*"):
            if file.suffix in (".list", ".md5sums", ".conffiles") and re.fullmatch(re.escape(name) + r"(:\w+)?", file.stem):
                shutil.copy(file, information / "info")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/nonexistent:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\ntty:x:5:\nnogroup:x:65534:\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (root / "root").mkdir(exist_ok=True)


def whole(root):
    """A root by debootstrap, from the mirror that this machine's apt uses."""
    suite = re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())[1]
    mirrors = output(["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {suite}"]).splitlines()
    subprocess.run(["debootstrap", "--variant=minbase", "--include=python3,gcc,libc6-dev,make", suite, root, mirrors[0]], check=True)
    for path in (root / "dev").iterdir():
        if not path.is_dir():
            path.unlink()


def native(root, words):
    """chroot(8) with the devices that `--root` offers, and /proc."""
    script = f"cd {root}\nmount --rbind /proc proc\n"
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        script += f"touch dev/{name}\nmount --bind /dev/{name} dev/{name}\n"
    script += "for n in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do ln -sfn /proc/self/${n#*:} dev/${n%:*}; done\n"
    return ["unshare", "-m", "bash", "-ec", script + "exec chroot . " + " ".join(words)]


def compare(tests, everything):
    """Runs the script natively and in Vitrine, as somebody without privileges."""
    user, own = [], os.geteuid()
    if own == 0:
        user, own = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"], NOBODY
    superuser = [*user, "unshare", "-r"]
    if tests.run([*superuser, "unshare", "-m", "mount", "--rbind", "/proc", "/proc"]).returncode:
        print("skipped debian: user namespaces are not permitted here")
        return
    if everything and (os.geteuid() != 0 or not shutil.which("debootstrap")):
        print("skipped debian: debootstrap is not installed, or this user may not run it")
        return
    # Half a gigabyte does not belong into memory, and debootstrap wants to make device files.
    place = Path(tempfile.mkdtemp(prefix="vitrine-debian-", dir="/var/tmp" if everything else tests.base))
    try:
        compare_in(place, tests, everything, user, own, superuser)
    finally:
        if not tests.options.keep:
            shutil.rmtree(place, ignore_errors=True)


def compare_in(place, tests, everything, user, own, superuser):
    os.chmod(tests.base, 0o755)
    os.chmod(place, 0o755)
    vitrine = place / "vitrine"
    shutil.copy(tests.vitrine[0], vitrine)
    (whole if everything else small)(place / "made")
    shutil.copy(SCRIPT, place / "made/debian.sh")
    (place / "made/tmp").chmod(0o1777)
    # Two copies: what was made has other sizes of directories and other holes in files.
    for name in ("native", "engine"):
        subprocess.run(["cp", "-a", "made", name], cwd=place, check=True)
    if user:
        subprocess.run(["chown", "-Rh", f"{own}:{own}", place], check=True)
    # In this order, because installing packages leaves other times behind.
    for name, before in (("debian plain", user), ("debian", superuser)):
        words = ["/bin/bash", "/debian.sh", *name.split()[1:]]
        expected = tests.run([*superuser, *native(place / "native", words)], 300)
        found = tests.run([*before, vitrine, *tests.vitrine[1:], "--root", place / "engine", *words], 600)
        tests.report(name, tests.differences(expected, found))
        if tests.options.keep:
            (place / (name.replace(" ", "-") + ".txt")).write_bytes(expected.stdout)
        print(f"{name}: {tests.compared} lines compared with chroot(8)")
