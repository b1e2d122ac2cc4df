// Signals without an engine: frames are built and taken apart, masks and queues behave. The guest's "handler" is an
// address; the test reads the frame that it would see.
import CHost
import GuestMemory
import LinuxABI
import Testing

@testable import Linux

extension ProcessTests {
  @Suite struct SignalTests {
    private let handler: UInt64 = 0x40_0100
    private let restorer: UInt64 = 0x40_0200

    private func install(_ harness: CallHarness, _ signal: UInt64, flags: UInt64 = 4, mask: UInt64 = 0) {
      let action = harness.words([handler, flags | SignalActionFlags.restorer, restorer, mask], at: 2048)
      #expect(harness.call(13, signal, action, 0, 8) == 0)
    }

    @Test func faultReachesTheHandler() throws {
      let harness = try CallHarness()
      install(harness, 11)
      harness.cpu.pointee.rip = 0x40_0010
      harness.registers[.rbx] = 77
      let stack = harness.registers[.rsp]
      let fault = GuestFault(.pageFault, address: 0x7000_0000, write: true)
      #expect(harness.process.deliver(fault: fault, harness.cpu) == .resume)
      #expect(harness.cpu.pointee.rip == handler)
      #expect(harness.registers[.rdi] == 11)
      let frame = harness.registers[.rsp]
      #expect(frame % 16 == 8 && frame < stack - 128)
      let memory = harness.memory
      #expect(memory.load(UInt64.self, at: frame) == restorer)
      #expect(memory.load(UInt32.self, at: harness.registers[.rsi]) == 11)
      #expect(memory.load(UInt32.self, at: harness.registers[.rsi] + 8) == 1)
      #expect(memory.load(UInt64.self, at: harness.registers[.rsi] + 16) == 0x7000_0000)
      let context = harness.registers[.rdx]
      #expect(memory.load(UInt64.self, at: context + 40 + 88) == 77)
      #expect(memory.load(UInt64.self, at: context + 40 + 128) == 0x40_0010)
      #expect(memory.load(UInt64.self, at: context + 40 + 152) == 6)
      #expect(memory.load(UInt64.self, at: context + 40 + 160) == 14)
      #expect(harness.process.thread.mask == 1 << 10)
      // rt_sigreturn, as the restorer does it.
      harness.registers[.rbx] = 0
      harness.registers[.rsp] = frame + 8
      #expect(harness.outcome(15) == .resume)
      #expect(harness.cpu.pointee.rip == 0x40_0010)
      #expect(harness.registers[.rbx] == 77)
      #expect(harness.registers[.rsp] == stack)
      #expect(harness.process.thread.mask == 0)
    }

    @Test func faultWithoutHandlerKills() throws {
      let harness = try CallHarness()
      let fault = GuestFault(.divideError)
      #expect(harness.process.deliver(fault: fault, harness.cpu) == .killed(signal: 8, fault: fault))
    }

    @Test func unwritableStackKills() throws {
      let harness = try CallHarness()
      install(harness, 11)
      harness.registers[.rsp] = 0x1000
      let fault = GuestFault(.pageFault, address: 0)
      #expect(harness.process.deliver(fault: fault, harness.cpu) == .killed(signal: 11, fault: fault))
    }

    @Test func blockedSignalsWait() throws {
      let harness = try CallHarness()
      install(harness, 10)
      let set = harness.words([1 << 9], at: 0)
      #expect(harness.call(14, 0, set, 0, 8) == 0)
      let me = UInt64(harness.call(39))
      #expect(harness.call(234, me, UInt64(harness.call(186)), 10) == 0)
      #expect(harness.cpu.pointee.rip == CallHarness.code + 2)
      #expect(harness.call(127, CallHarness.scratch + 64, 8) == 0)
      #expect(harness.memory.load(UInt64.self, at: CallHarness.scratch + 64) == 1 << 9)
      #expect(harness.call(14, 1, set, 0, 8) == 10 || harness.cpu.pointee.rip == handler)
      #expect(harness.registers[.rdi] == 10)
      #expect(harness.process.thread.mask == 1 << 9)
      // The call's result is in the frame: it was done before the handler began.
      #expect(harness.memory.load(UInt64.self, at: harness.registers[.rdx] + 40 + 104) == 0)
    }

    @Test func alternateStack() throws {
      let harness = try CallHarness()
      install(harness, 10, flags: 4 | SignalActionFlags.onStack)
      let stack = harness.words([CallHarness.scratch + 8192, 0, 16384], at: 0)
      #expect(harness.call(131, stack, 0) == 0)
      harness.call(234, UInt64(harness.call(39)), UInt64(harness.call(186)), 10)
      #expect(harness.registers[.rsp] > CallHarness.scratch + 8192)
      #expect(harness.registers[.rsp] < CallHarness.scratch + 8192 + 16384)
      #expect(harness.call(131, stack, 0) == 0)
      let other = harness.words([CallHarness.scratch + 8192, 0, 8192], at: 0)
      #expect(harness.call(131, other, 0) == -Errno.EPERM)
    }

    @Test func forgedFrames() throws {
      let harness = try CallHarness()
      for stack in [UInt64(0), 8, 0x7000_0000, 1 << 46, .max] {
        let fresh = try CallHarness()
        fresh.registers[.rsp] = stack
        #expect(fresh.outcome(15) == .killed(signal: 11, fault: nil))
      }
      // Garbage that can be read: registers take it, flags are masked.
      for offset in stride(from: UInt64(0), to: 1024, by: 8) {
        _ = harness.memory.store(UInt64.max, at: CallHarness.scratch + offset)
      }
      harness.registers[.rsp] = CallHarness.scratch + 8
      #expect(harness.outcome(15) == .resume)
      #expect(harness.registers.flags & ~0x50fd7 == 0x200 || harness.registers.flags & 0x3000 == 0)
      #expect(harness.cpu.pointee.rip == .max)
      harness.process.setMask(0)
    }
  }
}
