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
