// System calls made directly: results, bad pointers, bad flags, what belongs to Vitrine. Nothing here may crash.
import GuestMemory
import LinuxABI
import Testing

@testable import Linux

extension ProcessTests {
  @Suite struct SystemCallTests {
    private let bad: [UInt64] = [1, 0xfff, 0x7000_0000, 1 << 46, 1 << 47, 1 << 63, .max, .max - 4095]

    @Test func everySignatureParses() {
      let table = SystemCallTable()
      var defined = 0
      for call in table.calls.compactMap({ $0 }) {
        defined += 1
        let signature = Signature(call.signature)
        #expect(signature.valid, "\(call.name): \(call.signature)")
        #expect(signature.arguments.count <= 6)
        for type in signature.arguments {
          if let count = type.count { #expect(count < signature.arguments.count) }
          if type.kind == .structure, type.access != .read {
            #expect(
              Structures.size(type.name) > 0, "\(call.name): \(String(decoding: type.name, as: UTF8.self))")
          }
          if type.kind == .flags, type.name != Array("statxflags".utf8) {
            let set = String(decoding: type.name, as: UTF8.self)
            #expect(FlagNames.flags(set, 0xffff_ffff)?.contains("_") == true, "\(call.name): %\(set)")
          }
        }
      }
      #expect(defined > 360)
    }

    @Test func registersAfterACall() throws {
      let harness = try CallHarness()
      harness.registers[.r12] = 12
      #expect(harness.call(39) > 0)
      #expect(harness.registers[.rcx] == CallHarness.code + 2)
      #expect(harness.registers[.r11] == 0x202)
      #expect(harness.registers[.r12] == 12)
      #expect(harness.call(9999) == -Errno.ENOSYS)
      #expect(harness.call(.max) == -Errno.ENOSYS)
    }

    /// The kernel looks at the lower half of a number alone, and so does whoever compares calls.
    @Test func inputsOfAWideNumber() throws {
      let harness = try CallHarness()
      let inputs = ([0, 1 << 32] as [UInt64]).map { number in
        harness.registers[.rax] = number
        return CallReader().read(harness.cpu, harness.memory)
      }
      #expect(inputs[0] == inputs[1])
    }

    /// Every declared call with hostile pointers in every argument. Calls that end, stop or change the test process itself
    /// are left out.
    @Test func hostilePointers() throws {
      let harness = try CallHarness()
      // fchmod and fchown would change the file behind descriptor 0: for root /dev/null, and for everybody on the machine.
      let excluded: Set<Int> = [
        91, 93,
        29, 64, 65, 68, 69, 70, 220, 238, 240, 256, 300,
        3, 13, 14, 15, 23, 32, 33, 34, 35, 36, 37, 38, 56, 57, 58, 59, 60, 61, 62, 72, 95, 105, 106, 109, 112,
        113,
        114, 116, 117, 119, 122, 123, 126, 127, 128, 129, 130, 141, 142, 144, 151, 157, 158, 160, 161, 162,
        163,
        164,
        165, 166, 169, 170, 171, 179, 200, 203, 218, 227, 230, 231, 232, 234, 247, 251, 270, 271, 272, 281,
        292,
        297,
        302, 305, 306, 308, 314, 322, 424, 436, 441,
      ]
      for call in SystemCallTable().calls.compactMap({ $0 }) where !excluded.contains(call.number) {
        for pointer in bad {
          for descriptor in [UInt64(99), .max] {
            harness.outcome(
              UInt64(call.number), [descriptor, pointer, pointer, pointer, pointer, pointer])
            harness.outcome(
              UInt64(call.number), [pointer, pointer, pointer, 0, 0, 0])
          }
        }
      }
      #expect(harness.memory.load(UInt64.self, at: CallHarness.scratch) != nil)
    }

    @Test func badPointersAreEFAULT() throws {
      let harness = try CallHarness()
      for pointer in bad {
        #expect(harness.call(63, pointer) == -Errno.EFAULT)
        #expect(harness.call(228, 0, pointer) == -Errno.EFAULT)
        #expect(harness.call(2, pointer, 0) == -Errno.EFAULT)
        #expect(harness.call(13, 10, pointer, 0, 8) == -Errno.EFAULT)
        #expect(harness.call(14, 0, pointer, 0, 8) == -Errno.EFAULT)
        #expect(harness.call(20, 1, pointer, 1) == -Errno.EFAULT)
        #expect(harness.call(158, 0x1003, pointer) == -Errno.EFAULT)
        #expect(harness.call(59, pointer, 0, 0) == -Errno.EFAULT)
      }
      // A read-only destination.
      #expect(harness.call(63, CallHarness.code) == -Errno.EFAULT)
    }

    @Test func pipesCarryVectors() throws {
      let harness = try CallHarness()
      #expect(harness.call(293, CallHarness.scratch, 0x80000) == 0)
      let read = UInt64(try #require(harness.memory.load(UInt32.self, at: CallHarness.scratch)))
      let write = UInt64(try #require(harness.memory.load(UInt32.self, at: CallHarness.scratch + 4)))
      let text = harness.text("hello world", at: 256)
      let vector = harness.words([text, 5, text + 5, 6], at: 512)
      #expect(harness.call(20, write, vector, 2) == 11)
      #expect(harness.call(0, read, CallHarness.scratch + 1024, 100) == 11)
      #expect(
        harness.memory.bytes(at: GuestAddress(CallHarness.scratch + 1024), count: 11)
          == Array("hello world".utf8))
      #expect(harness.call(20, write, vector, 1025) == -Errno.EINVAL)
      #expect(harness.call(3, read) == 0)
      #expect(harness.call(3, write) == 0)
    }

    @Test func ownDescriptorsDoNotExist() throws {
      let harness = try CallHarness(traced: true)
      let own = UInt64(try #require(harness.process.descriptors.numbers.first))
      #expect(own >= 100)
      #expect(harness.call(3, own) == -Errno.EBADF)
      #expect(harness.call(1, own, harness.text("x"), 1) == -Errno.EBADF)
      #expect(harness.call(33, own, 50) == -Errno.EBADF)
      #expect(harness.call(33, 1, own) == -Errno.EBADF)
      #expect(harness.call(436, own, own, 0) == 0)
      #expect(harness.call(39) > 0)
      #expect(harness.trace.contains("getpid()"))
      // Nor in the listing of their folder.
      let folder = harness.call(2, harness.text("/proc/self/fd"), 0x90000)
      let room = CallHarness.scratch + 1024
      let size = harness.call(217, UInt64(bitPattern: folder), room, 32768)
      let listing = harness.memory.bytes(at: GuestAddress(room), count: Int(size)) ?? []
      #expect(size > 0)
      #expect(!listing.isEmpty && !listing.contains(sequence: Array("\0\(own)\0".utf8).dropFirst()))
      #expect(listing.contains(sequence: Array("\(folder)\0".utf8)[...]))
      #expect(harness.call(3, UInt64(bitPattern: folder)) == 0)
    }

    @Test func memoryCalls() throws {
      let harness = try CallHarness()
      let area = harness.call(9, 0, 8192, 3, 0x22, .max, 0)
      #expect(area > 0)
      let start = UInt64(area)
      #expect(harness.memory.store(UInt64(1), at: start))
      #expect(harness.call(10, start, 4096, 1) == 0)
      #expect(!harness.memory.store(UInt64(1), at: start))
      #expect(harness.call(11, start, 8192) == 0)
      #expect(harness.call(10, start, 4096, 1) == -Errno.ENOMEM)
      #expect(harness.call(9, 0, 4096, 3, 0x20, .max, 0) == -Errno.EINVAL)
      #expect(harness.call(9, 0, 4096, 3, 0x2, 0x7fff_ffff, 0) == -Errno.EBADF)
      #expect(harness.call(9, 0, 4096, 3, 0x22, .max, 1) == -Errno.EINVAL)
      #expect(harness.call(10, start + 1, 4096, 1) == -Errno.EINVAL)
      #expect(harness.call(158, 0x1002, 0x1234) == 0)
      #expect(harness.cpu.pointee.fs_base == 0x1234)
      #expect(harness.call(158, 0x3001, 0) == -Errno.EINVAL)
      #expect(harness.call(158, 0x1002, 1 << 63) == -Errno.EPERM)
    }

    @Test func endings() throws {
      let harness = try CallHarness()
      #expect(harness.outcome(231, [0x1ff]) == .exited(code: 255))
      let second = try CallHarness()
      #expect(second.outcome(62, [UInt64(second.call(39)), 6]) == .killed(signal: 6, fault: nil))
    }

    @Test func threadsNeedSomebodyWhoRunsThem() throws {
      let harness = try CallHarness()
      #expect(harness.call(56, 0x3d0f00, 0, 0, 0, 0) == -Errno.EAGAIN)
      harness.words([0x3d0f00, 0, 0, 0, 0, 0x10000, 0x1000, 0, 0, 0, 0], at: 0)
      #expect(harness.call(435, CallHarness.scratch, 88) == -Errno.EAGAIN)
    }
  }
}

extension ProcessTests {
  /// The table of refused calls in Docs/linux.md.
  @Suite struct RefusedCallTests {
    /// What the declarations say, as the lines of the table.
    private var table: [String] {
      var reasons: [(reason: String, errno: String, names: [String])] = []
      let process = try? CallHarness()
      for call in SystemCallTable().calls.compactMap({ $0 }) {
        guard let refusal = call.refusal, let process else { continue }
        let number = -(call.handler?(process.process, Arguments(0, 0, 0, 0, 0, 0)) ?? 0)
        let errno = Errno.describe(number)?.name ?? "?"
        let reason = refusal.description
        if let index = reasons.firstIndex(where: { $0.reason == reason && $0.errno == errno }) {
          reasons[index].names.append(call.name.description)
        } else {
          reasons.append((reason, errno, [call.name.description]))
        }
      }
      return reasons.map { "| \($0.names.joined(separator: ", ")) | \($0.errno) | \($0.reason) |" }
    }

    @Test func documentationHasTheTable() throws {
      let page = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 } + "/Docs/linux.md"
      let file = try ExecutableFile(path: Array(page.utf8))
      let text = String(decoding: file.read(at: 0, count: 1 << 20), as: UTF8.self)
      let lines = Set(text.split(separator: "\n").map(String.init))
      let missing = table.filter { !lines.contains($0) }
      #expect(table.count > 10)
      let calls = SystemCallTable().calls.compactMap { $0 }
      let there = calls.filter { $0.refusal == nil }.count
      #expect(
        text.contains("\(calls.count) with those that have a number only, and \(there) of them are there"))
      #expect(missing.isEmpty, "Docs/linux.md lacks these lines:\n\(missing.joined(separator: "\n"))")
    }
  }
}

extension [UInt8] {
  fileprivate func contains(sequence: ArraySlice<UInt8>) -> Bool {
    indices.contains { self[$0...].starts(with: sequence) }
  }
}
