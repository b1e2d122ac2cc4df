"""inotify(7): the names of files that are made in a folder, in order. Not of those that are renamed: equal events that follow each
other are one to the kernel, and a store renames to the same name all the time."""

import ctypes
import os
import struct

LIBRARY = ctypes.CDLL(None, use_errno=True)
IN_CREATE, IN_NONBLOCK, IN_CLOEXEC = 0x100, 0o4000, 0o2000000


class Watch:
    def __init__(self, folder):
        self.descriptor = LIBRARY.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
        if self.descriptor < 0 or LIBRARY.inotify_add_watch(self.descriptor, os.fsencode(folder), IN_CREATE) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.descriptor)

    def names(self):
        found = []
        try:
            while data := os.read(self.descriptor, 1 << 16):
                place = 0
                while place < len(data):
                    length = struct.unpack_from("I", data, place + 12)[0]
                    found.append(data[place + 16:place + 16 + length].rstrip(b"\0").decode())
                    place += 16 + length
        except BlockingIOError:
            return found
