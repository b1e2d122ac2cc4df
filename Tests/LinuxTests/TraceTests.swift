// Traces against golden lines, which were printed by strace 6.1.
import GuestMemory
import LinuxABI
import Testing

@testable import Linux

extension ProcessTests {
  @Suite struct TraceTests {
    private func lines(_ body: (CallHarness) throws -> Void) throws -> [String] {
      let harness = try CallHarness(traced: true)
      try body(harness)
      return harness.trace.split(separator: "\n").map(String.init)
    }

    @Test func paddingErrorsAndFlags() throws {
      let seen = try lines { harness in
        let missing = harness.text("/nonexistent/x")
        harness.call(2, missing, 0x80000)
        harness.call(257, UInt64(bitPattern: -100), missing, 0x441, 0o644)
        harness.call(21, missing, 5)
        harness.call(21, missing, 0)
        harness.call(3, 0x7fff_ffff)
        harness.call(12, 0)
        harness.call(95, 0o22)
        harness.call(8, 0x7fff_ffff, 0, 2)
      }
      #expect(
        seen.prefix(6) == [
          #"open("/nonexistent/x", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)"#,
          #"openat(AT_FDCWD, "/nonexistent/x", O_WRONLY|O_CREAT|O_APPEND, 0644) = -1 ENOENT (No such file or directory)"#,
          #"access("/nonexistent/x", R_OK|X_OK)     = -1 ENOENT (No such file or directory)"#,
          #"access("/nonexistent/x", F_OK)          = -1 ENOENT (No such file or directory)"#,
          #"close(2147483647)                       = -1 EBADF (Bad file descriptor)"#,
          #"brk(NULL)                               = NULL"#,
        ])
      #expect(seen[6].hasPrefix("umask(022)                              = 0"))
      #expect(seen[7] == "lseek(2147483647, 0, SEEK_END)          = -1 EBADF (Bad file descriptor)")
    }

    @Test func memory() throws {
      let seen = try lines { harness in
        harness.call(9, 0x1000_0000, 8192, 3, 0x32, .max, 0)
        harness.call(10, 0x1000_0000, 4096, 0)
        harness.call(28, 0x1000_0000, 4096, 4)
        harness.call(11, 0x1000_0000, 8192)
      }
      #expect(
        seen == [
          "mmap(0x10000000, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS, -1, 0) = 0x10000000",
          "mprotect(0x10000000, 4096, PROT_NONE)   = 0",
          "madvise(0x10000000, 4096, MADV_DONTNEED) = 0",
          "munmap(0x10000000, 8192)                = 0",
        ])
    }

    @Test func stringsAndVectors() throws {
      let seen = try lines { harness in
        harness.call(293, CallHarness.scratch, 0)
        guard let read = harness.memory.load(UInt32.self, at: CallHarness.scratch),
          let write = harness.memory.load(UInt32.self, at: CallHarness.scratch + 4)
        else { return }
        let text = harness.text("hello\n\u{1}\u{1b}x\"1", at: 256)
        let vector = harness.words([text, 5, text + 5, 6], at: 512)
        harness.call(20, UInt64(write), vector, 2)
        harness.call(0, UInt64(read), CallHarness.scratch + 1024, 100)
        harness.text(String(repeating: "a", count: 48) + "\n", at: 256)
        harness.call(1, UInt64(write), text, 49)
        let poll = harness.words([UInt64(read) | 1 << 32], at: 600)
        harness.call(7, poll, 1, .max)
        harness.call(3, UInt64(read))
        harness.call(3, UInt64(write))
      }
      #expect(seen[0].hasPrefix("pipe2(["))
      #expect(
        seen[1].contains(#", [{iov_base="hello", iov_len=5}, {iov_base="\n\1\33x\"1", iov_len=6}], 2) = 11"#))
      #expect(seen[2].contains(#""hello\n\1\33x\"1", 100)"#))
      #expect(seen[3].contains(#""aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"..., 49) = 49"#))
      #expect(seen[4].contains("events=POLLIN}], 1, -1)") && seen[4].hasSuffix("revents=POLLIN}])"))
    }

    @Test func signals() throws {
      let seen = try lines { harness in
        let action = harness.words([0x40_0100, 0x1400_0000, 0x40_0200, 2], at: 0)
        harness.call(13, 10, action, 0, 8)
        harness.call(13, 10, 0, CallHarness.scratch + 64, 8)
        let set = harness.words([~0 & ~(3 << 31)], at: 128)
        harness.call(14, 0, set, 0, 8)
        harness.process.setMask(0)
        let fault = GuestFault(.pageFault, address: 0)
        _ = harness.process.deliver(fault: fault, harness.cpu)
      }
      let action =
        "{sa_handler=0x400100, sa_mask=[INT], sa_flags=SA_RESTORER|SA_RESTART, sa_restorer=0x400200}"
      #expect(
        seen == [
          "rt_sigaction(SIGUSR1, \(action), NULL, 8) = 0",
          "rt_sigaction(SIGUSR1, NULL, \(action), 8) = 0",
          "rt_sigprocmask(SIG_BLOCK, ~[RTMIN RT_1], NULL, 8) = 0",
          "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=NULL} ---",
          "+++ killed by SIGSEGV +++",
        ])
    }

    @Test func messages() throws {
      let seen = try lines { harness in
        let place = CallHarness.scratch
        let word = { (offset: UInt64) in UInt64(harness.memory.load(UInt32.self, at: place + offset) ?? 0) }
        harness.call(53, 1, 1, 0, place)
        let (first, second) = (word(0), word(4))
        // A header with one buffer of three bytes, and a control message with one descriptor.
        let header = harness.words([0, 0, place + 256, 1, place + 320, 24, 0], at: 128)
        harness.words([place + 384, 3], at: 256)
        harness.words([20, 1 | 1 << 32, first], at: 320)
        harness.words([16], at: 8)
        harness.call(51, first, place + 64, place + 8)
        harness.call(46, first, header, 0x40)
        harness.words([place + 512, 110, place + 256, 1, place + 320, 24, 0], at: 128)
        harness.call(47, second, header, 0x4000_0000)
        let received = word(336)
        harness.call(47, second, header, 0x40)
        for descriptor in [first, second, received] { harness.call(3, descriptor) }
      }
      #expect(
        seen[2].hasSuffix(
          #"{msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="\0\0\0", iov_len=3}], msg_iovlen=1, "#
            + "msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=["
            + seen[2].dropFirst("sendmsg(".count).prefix { $0 != "," }
            + "]}], msg_controllen=24, msg_flags=0}, MSG_DONTWAIT) = 3"))
      #expect(seen[1].contains(", {sa_family=AF_UNIX}, [16 => 2])"))
      #expect(seen[3].contains("{msg_name=0x100200, msg_namelen=110 => 0, msg_iov=[{iov_base="))
      #expect(seen[3].hasSuffix("msg_controllen=24, msg_flags=MSG_CMSG_CLOEXEC}, MSG_CMSG_CLOEXEC) = 3"))
      #expect(
        seen[4].hasSuffix(
          "{msg_namelen=0}, MSG_DONTWAIT) = -1 EAGAIN (Resource temporarily unavailable)"))
    }

    @Test func operationsOfAFutex() throws {
      let word = CallHarness.scratch
      let seen = try lines { harness in
        harness.call(202, word, 10, 1, 0, 0, 5)
        harness.call(202, word, 3, 1, 1, word + 64)
        harness.call(202, word, 5 | 128, 1, 1, word + 64, 0x9100_2003)
        harness.call(202, word, 9, 7, 0, 0, 0xffff_ffff)
        harness.call(202, word, 8)
      }
      #expect(
        seen.prefix(4) == [
          "futex(0x100000, FUTEX_WAKE_BITSET, 1, 0x5) = 0",
          "futex(0x100000, FUTEX_REQUEUE, 1, 1, 0x100040) = 0",
          "futex(0x100000, FUTEX_WAKE_OP_PRIVATE, 1, 1, 0x100040, FUTEX_OP_OPARG_SHIFT<<28|FUTEX_OP_ADD<<28"
            + "|0x2<<12|FUTEX_OP_CMP_NE<<24|0x3) = 0",
          "futex(0x100000, FUTEX_WAIT_BITSET, 7, NULL, FUTEX_BITSET_MATCH_ANY) = -1 EAGAIN "
            + "(Resource temporarily unavailable)",
        ])
      #expect(seen[4].hasPrefix("futex(0x100000, FUTEX_TRYLOCK_PI)"))
    }

    @Test func datesTicksAndAddresses() {
      #expect(TraceText.date(1_600_000_000, nanoseconds: 123_456_789) == "2020-09-13T12:26:40.123456789+0000")
      #expect(TraceText.date(951_782_400, nanoseconds: 0) == "2000-02-29T00:00:00+0000")
      #expect(TraceText.date(-1, nanoseconds: 0) == "1969-12-31T23:59:59+0000")
      #expect(TraceText.date(.max, nanoseconds: 0) == nil)
      #expect(TraceText.ticks(0) == "0" && TraceText.ticks(150) == "150 /* 1.50 s */")
      let address: [UInt8] =
        [10, 0, 0x1f, 0x90, 0, 0, 0, 5, 0x20, 1, 0xd, 0xb8] + [UInt8](repeating: 0, count: 11)
      #expect(
        TraceStructures.internetAddress6(address + [1, 2, 0, 0, 0])
          == "{sa_family=AF_INET6, sin6_port=htons(8080), sin6_flowinfo=htonl(5), "
          + #"inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=2}"#)
    }

    @Test func ending() throws {
      let seen = try lines { harness in
        harness.call(999)
        harness.outcome(231, [3])
      }
      #expect(seen[0].hasPrefix("syscall_0x3e7(0, 0, 0, 0, 0, 0)"))
      #expect(
        seen.suffix(2) == [
          "exit_group(3)                           = ?",
          "+++ exited with 3 +++",
        ])
    }
  }
}
