// Sets of flags, for `FlagNames`. Sources: the uapi headers of Linux 6.x for x86-64.

extension FlagNames {
  static let openNames: StaticString = """
    0x40 O_CREAT
    0x80 O_EXCL
    0x100 O_NOCTTY
    0x200 O_TRUNC
    0x400 O_APPEND
    0x800 O_NONBLOCK
    0x101000 O_SYNC
    0x1000 O_DSYNC
    0x2000 O_ASYNC
    0x4000 O_DIRECT
    0x8000 O_LARGEFILE
    0x20000 O_NOFOLLOW
    0x40000 O_NOATIME
    0x80000 O_CLOEXEC
    0x200000 O_PATH
    0x410000 O_TMPFILE
    0x10000 O_DIRECTORY
    """

  static let pipeNames: StaticString = """
    0x4000 O_DIRECT
    0x800 O_NONBLOCK
    0x80000 O_CLOEXEC
    """

  static let epollNames: StaticString = """
    0x80000 EPOLL_CLOEXEC
    """

  static let eventfdNames: StaticString = """
    0x1 EFD_SEMAPHORE
    0x80000 EFD_CLOEXEC
    0x800 EFD_NONBLOCK
    """

  static let timerfdNames: StaticString = """
    0x80000 TFD_CLOEXEC
    0x800 TFD_NONBLOCK
    """

  static let signalfdNames: StaticString = """
    0x80000 SFD_CLOEXEC
    0x800 SFD_NONBLOCK
    """

  static let inotifyinitNames: StaticString = """
    0x80000 IN_CLOEXEC
    0x800 IN_NONBLOCK
    """

  static let atNames: StaticString = """
    0x100 AT_SYMLINK_NOFOLLOW
    0x400 AT_SYMLINK_FOLLOW
    0x800 AT_NO_AUTOMOUNT
    0x1000 AT_EMPTY_PATH
    """

  static let faccessatNames: StaticString = """
    0x100 AT_SYMLINK_NOFOLLOW
    0x200 AT_EACCESS
    0x1000 AT_EMPTY_PATH
    """

  static let unlinkatNames: StaticString = """
    0x200 AT_REMOVEDIR
    """

  static let protNames: StaticString = """
    0x1 PROT_READ
    0x2 PROT_WRITE
    0x4 PROT_EXEC
    0x8 PROT_SEM
    0x1000000 PROT_GROWSDOWN
    0x2000000 PROT_GROWSUP
    """

  static let mapNames: StaticString = """
    0x10 MAP_FIXED
    0x20 MAP_ANONYMOUS
    0x40 MAP_32BIT
    0x4000 MAP_NORESERVE
    0x8000 MAP_POPULATE
    0x10000 MAP_NONBLOCK
    0x100 MAP_GROWSDOWN
    0x800 MAP_DENYWRITE
    0x1000 MAP_EXECUTABLE
    0x2000 MAP_LOCKED
    0x20000 MAP_STACK
    0x40000 MAP_HUGETLB
    0x80000 MAP_SYNC
    0x100000 MAP_FIXED_NOREPLACE
    """

  static let mremapNames: StaticString = """
    1 MREMAP_MAYMOVE
    2 MREMAP_FIXED
    4 MREMAP_DONTUNMAP
    """

  static let msyncNames: StaticString = """
    1 MS_ASYNC
    2 MS_INVALIDATE
    4 MS_SYNC
    """

  static let mlockallNames: StaticString = """
    1 MCL_CURRENT
    2 MCL_FUTURE
    4 MCL_ONFAULT
    """

  static let accessNames: StaticString = """
    4 R_OK
    2 W_OK
    1 X_OK
    """

  static let flockNames: StaticString = """
    4 LOCK_NB
    1 LOCK_SH
    2 LOCK_EX
    8 LOCK_UN
    """

  static let waitNames: StaticString = """
    1 WNOHANG
    2 WSTOPPED
    4 WEXITED
    8 WCONTINUED
    0x1000000 WNOWAIT
    0x40000000 __WALL
    0x80000000 __WCLONE
    0x20000000 __WNOTHREAD
    """

  static let wait4Names: StaticString = """
    1 WNOHANG
    2 WSTOPPED
    8 WCONTINUED
    0x40000000 __WALL
    0x80000000 __WCLONE
    0x20000000 __WNOTHREAD
    """

  static let cloneNames: StaticString = """
    0x100 CLONE_VM
    0x200 CLONE_FS
    0x400 CLONE_FILES
    0x800 CLONE_SIGHAND
    0x1000 CLONE_PIDFD
    0x2000 CLONE_PTRACE
    0x4000 CLONE_VFORK
    0x8000 CLONE_PARENT
    0x10000 CLONE_THREAD
    0x20000 CLONE_NEWNS
    0x40000 CLONE_SYSVSEM
    0x80000 CLONE_SETTLS
    0x100000 CLONE_PARENT_SETTID
    0x200000 CLONE_CHILD_CLEARTID
    0x800000 CLONE_UNTRACED
    0x1000000 CLONE_CHILD_SETTID
    0x2000000 CLONE_NEWCGROUP
    0x4000000 CLONE_NEWUTS
    0x8000000 CLONE_NEWIPC
    0x10000000 CLONE_NEWUSER
    0x20000000 CLONE_NEWPID
    0x40000000 CLONE_NEWNET
    0x80000000 CLONE_IO
    """

  static let sigactionNames: StaticString = """
    0x4000000 SA_RESTORER
    0x8000000 SA_ONSTACK
    0x10000000 SA_RESTART
    0x40000000 SA_NODEFER
    0x80000000 SA_RESETHAND
    4 SA_SIGINFO
    1 SA_NOCLDSTOP
    2 SA_NOCLDWAIT
    """

  static let getrandomNames: StaticString = """
    1 GRND_NONBLOCK
    2 GRND_RANDOM
    4 GRND_INSECURE
    """

  static let memfdNames: StaticString = """
    1 MFD_CLOEXEC
    2 MFD_ALLOW_SEALING
    4 MFD_HUGETLB
    """

  static let seccompFlagNames: StaticString = """
    1 SECCOMP_FILTER_FLAG_TSYNC
    2 SECCOMP_FILTER_FLAG_LOG
    4 SECCOMP_FILTER_FLAG_SPEC_ALLOW
    8 SECCOMP_FILTER_FLAG_NEW_LISTENER
    0x10 SECCOMP_FILTER_FLAG_TSYNC_ESRCH
    0x20 SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    """

  static let closerangeNames: StaticString = """
    2 CLOSE_RANGE_UNSHARE
    4 CLOSE_RANGE_CLOEXEC
    """

  static let spliceNames: StaticString = """
    1 SPLICE_F_MOVE
    2 SPLICE_F_NONBLOCK
    4 SPLICE_F_MORE
    8 SPLICE_F_GIFT
    """

  static let fallocateNames: StaticString = """
    1 FALLOC_FL_KEEP_SIZE
    2 FALLOC_FL_PUNCH_HOLE
    4 FALLOC_FL_NO_HIDE_STALE
    8 FALLOC_FL_COLLAPSE_RANGE
    0x10 FALLOC_FL_ZERO_RANGE
    0x20 FALLOC_FL_INSERT_RANGE
    0x40 FALLOC_FL_UNSHARE_RANGE
    """

  static let rwfNames: StaticString = """
    1 RWF_HIPRI
    2 RWF_DSYNC
    4 RWF_SYNC
    8 RWF_NOWAIT
    0x10 RWF_APPEND
    """

  static let renameNames: StaticString = """
    1 RENAME_NOREPLACE
    2 RENAME_EXCHANGE
    4 RENAME_WHITEOUT
    """

  static let statxmaskNames: StaticString = """
    0xfff STATX_ALL
    0x7ff STATX_BASIC_STATS
    1 STATX_TYPE
    2 STATX_MODE
    4 STATX_NLINK
    8 STATX_UID
    0x10 STATX_GID
    0x20 STATX_ATIME
    0x40 STATX_MTIME
    0x80 STATX_CTIME
    0x100 STATX_INO
    0x200 STATX_SIZE
    0x400 STATX_BLOCKS
    0x800 STATX_BTIME
    0x1000 STATX_MNT_ID
    0x2000 STATX_DIOALIGN
    """

  static let pollNames: StaticString = """
    1 POLLIN
    2 POLLPRI
    4 POLLOUT
    0x40 POLLRDNORM
    0x80 POLLRDBAND
    0x100 POLLWRNORM
    0x200 POLLWRBAND
    0x400 POLLMSG
    0x2000 POLLRDHUP
    8 POLLERR
    0x10 POLLHUP
    0x20 POLLNVAL
    """

  static let epolleventsNames: StaticString = """
    1 EPOLLIN
    2 EPOLLPRI
    4 EPOLLOUT
    0x40 EPOLLRDNORM
    0x80 EPOLLRDBAND
    0x100 EPOLLWRNORM
    0x200 EPOLLWRBAND
    0x400 EPOLLMSG
    8 EPOLLERR
    0x10 EPOLLHUP
    0x2000 EPOLLRDHUP
    0x10000000 EPOLLEXCLUSIVE
    0x20000000 EPOLLWAKEUP
    0x40000000 EPOLLONESHOT
    0x80000000 EPOLLET
    """

  static let msgNames: StaticString = """
    1 MSG_OOB
    2 MSG_PEEK
    4 MSG_DONTROUTE
    8 MSG_CTRUNC
    0x10 MSG_PROBE
    0x20 MSG_TRUNC
    0x40 MSG_DONTWAIT
    0x80 MSG_EOR
    0x100 MSG_WAITALL
    0x200 MSG_FIN
    0x4000 MSG_NOSIGNAL
    0x8000 MSG_MORE
    0x10000 MSG_WAITFORONE
    0x40000000 MSG_CMSG_CLOEXEC
    """

  static let socktypeflagsNames: StaticString = """
    0x80000 SOCK_CLOEXEC
    0x800 SOCK_NONBLOCK
    """

  static let timerNames: StaticString = """
    1 TIMER_ABSTIME
    """

  static let tfdtimerNames: StaticString = """
    1 TFD_TIMER_ABSTIME
    2 TFD_TIMER_CANCEL_ON_SET
    """

  static let inotifyNames: StaticString = """
    1 IN_ACCESS
    2 IN_MODIFY
    4 IN_ATTRIB
    8 IN_CLOSE_WRITE
    0x10 IN_CLOSE_NOWRITE
    0x20 IN_OPEN
    0x40 IN_MOVED_FROM
    0x80 IN_MOVED_TO
    0x100 IN_CREATE
    0x200 IN_DELETE
    0x400 IN_DELETE_SELF
    0x800 IN_MOVE_SELF
    0x1000000 IN_ONLYDIR
    0x80000000 IN_ONESHOT
    """

  static let stackflagsNames: StaticString = """
    1 SS_ONSTACK
    2 SS_DISABLE
    0x80000000 SS_AUTODISARM
    """

  static let statfsflagsNames: StaticString = """
    0x20 ST_VALID
    1 ST_RDONLY
    2 ST_NOSUID
    4 ST_NODEV
    8 ST_NOEXEC
    0x10 ST_SYNCHRONOUS
    0x40 ST_MANDLOCK
    0x400 ST_NOATIME
    0x800 ST_NODIRATIME
    0x1000 ST_RELATIME
    0x2000 ST_NOSYMFOLLOW
    """

  static let iflagNames: StaticString = """
    1 IGNBRK
    2 BRKINT
    4 IGNPAR
    8 PARMRK
    0x10 INPCK
    0x20 ISTRIP
    0x40 INLCR
    0x80 IGNCR
    0x100 ICRNL
    0x200 IUCLC
    0x400 IXON
    0x800 IXANY
    0x1000 IXOFF
    0x2000 IMAXBEL
    0x4000 IUTF8
    """

  static let oflagNames: StaticString = """
    1 OPOST
    2 OLCUC
    4 ONLCR
    8 OCRNL
    0x10 ONOCR
    0x20 ONLRET
    0x40 OFILL
    0x80 OFDEL
    """

  static let cflagNames: StaticString = """
    0x40 CSTOPB
    0x80 CREAD
    0x100 PARENB
    0x200 PARODD
    0x400 HUPCL
    0x800 CLOCAL
    0x80000000 CRTSCTS
    """

  static let lflagNames: StaticString = """
    1 ISIG
    2 ICANON
    4 XCASE
    8 ECHO
    0x10 ECHOE
    0x20 ECHOK
    0x40 ECHONL
    0x80 NOFLSH
    0x100 TOSTOP
    0x8000 IEXTEN
    0x200 ECHOCTL
    0x400 ECHOPRT
    0x800 ECHOKE
    0x1000 FLUSHO
    0x4000 PENDIN
    0x10000 EXTPROC
    """
}
