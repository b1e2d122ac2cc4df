#!/usr/bin/env python3
"""Translated code that is kept between runs (`vitrine run --store FOLDER`, Sources/Translator/Store): nobody can tell whether there
is a store but by the time. Real programs (programs.py), the folder (folders.py), damaged files (damage.py), guests that damage them and code that is
another one next time (hostile.py), many processes at once (crowds.py), limits and namespaces (limits.py). Where a check
needs what the machine does not have, that is said. The last line is `N passed, M failed`.

    Tests/Store/run.py                       all
    Tests/Store/run.py damage gcc            checks whose name contains one of the words
    Tests/Store/run.py --damage 500 --seed 7 damage     more damaged files, other ones
"""

import ctypes
import sys

import crowds
import damage
import folders
import hostile
import limits
import programs
from harness import Harness, tasks


def has_keyring():
    """keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, create): without this keyring nothing is kept."""
    return ctypes.CDLL(None).syscall(250, 0, -4, 1) > 0


def main():
    options = tasks.parser(__doc__, 60, damaged="files", kept="what checks make").parse_args()
    vitrine = tasks.prepare()
    if not has_keyring():
        print("skipped all: there is no user keyring, so that nothing is kept\n0 passed, 0 failed")
        return 0
    with tasks.scratch(options, "store") as folder:
        harness = Harness(vitrine, folder)
        checks = [check for module in (programs, folders, hostile, crowds, limits) for check in module.tasks(harness)]
        checks += damage.tasks(harness, options.damage, options.seed)
        return tasks.run(checks, options)


sys.exit(main())
