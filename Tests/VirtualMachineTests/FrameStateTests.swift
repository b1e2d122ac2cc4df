// Signal frames with extended state: size and words as the kernel writes them, everything restored by rt_sigreturn(2),
// and what a guest that forges its frame gets.

import CHost
import Engine
import GuestMemory
import Linux
import Testing

@testable import VirtualMachine

@Suite(.serialized) struct FrameStateTests {
  private static let handler: UInt64 = 0x40_0100
  private static let stackTop: UInt64 = 0x80_0000

  /// A process with a handler for SIGSEGV, and a CPU with noise in its vector and opmask registers.
  private final class Machine {
    let memory: AddressSpace
    let process: LinuxProcess
    let cpu: UnsafeMutablePointer<vt_cpu_state>

    init(components: UInt64) throws {
      memory = try AddressSpace()
      try memory.mapAnonymous(at: 0x40_0000, size: 4096, permissions: [.read, .write])
      try memory.mapAnonymous(at: stackTop - 65536, size: 65536, permissions: [.read, .write])
      process = LinuxProcess(memory: memory, host: Host(), options: ProcessOptions())
      process.extendedState = FrameState.access
      let raw = UnsafeMutableRawPointer.allocate(byteCount: MemoryLayout<vt_cpu_state>.size, alignment: 64)
      cpu = raw.bindMemory(to: vt_cpu_state.self, capacity: 1)
      vt_cpu_state.initialize(cpu)
      cpu.pointee.xcr0 = components
      for index in registers.indices { registers[index] = UInt8(truncatingIfNeeded: index &* 7 | 1) }
      cpu.pointee.general.4 = stackTop - 4096
      // rt_sigaction(SIGSEGV, {handler, SA_SIGINFO | SA_RESTORER, restorer, 0}, NULL, 8)
      let action: [UInt64] = [handler, 4 | 0x0400_0000, 0x40_0200, 0]
      #expect(action.withUnsafeBytes { memory.copyOut($0, to: GuestAddress(0x40_0000)) })
      call(13, 11, 0x40_0000, 0, 8)
      #expect(cpu.pointee.general.0 == 0)
    }

    deinit {
      vt_signal_attach(nil)
      cpu.deallocate()
    }

    var registers: UnsafeMutableRawBufferPointer {
      UnsafeMutableRawBufferPointer(
        start: UnsafeMutableRawPointer(cpu) + Int(VT_OFFSET_VECTOR), count: Int(VT_SIZE_VECTOR))
    }

    func call(_ number: UInt64, _ rdi: UInt64 = 0, _ rsi: UInt64 = 0, _ rdx: UInt64 = 0, _ r10: UInt64 = 0) {
      cpu.pointee.general.0 = number
      cpu.pointee.general.7 = rdi
      cpu.pointee.general.6 = rsi
      cpu.pointee.general.2 = rdx
      cpu.pointee.general.10 = r10
      _ = process.systemCall(cpu)
    }

    /// Delivers a page fault; returns the address of the frame's extended state.
    func fault() throws -> UInt64 {
      let fault = GuestFault(.pageFault, address: 0x7000_0000, write: true)
      #expect(process.deliver(fault: fault, cpu) == .resume)
      #expect(cpu.pointee.rip == handler)
      // RDX: the ucontext; the pointer to the state is at 224 in it.
      return try #require(memory.load(UInt64.self, at: cpu.pointee.general.2 + 224))
    }

    /// As the handler's RET and the restorer.
    func signalReturn() {
      cpu.pointee.general.4 += 8
      cpu.pointee.general.0 = 15
      _ = process.systemCall(cpu)
    }
  }

  @Test(arguments: [(3, 576), (7, 832), (0xe7, 2688)] as [(UInt64, UInt64)])
  func frameHoldsEverything(components: UInt64, size: UInt64) throws {
    let machine = try Machine(components: components)
    let before = [UInt8](machine.registers)
    let state = try machine.fault()
    #expect(state % 64 == 0)
    let memory = machine.memory
    // struct _fpx_sw_bytes: magic1, extended_size, xfeatures, xstate_size; magic2 behind the area.
    #expect(memory.load(UInt32.self, at: state + 464) == 0x4650_5853)
    #expect(memory.load(UInt32.self, at: state + 468) == UInt32(size) + 4)
    #expect(memory.load(UInt64.self, at: state + 472) == components)
    #expect(memory.load(UInt32.self, at: state + 480) == UInt32(size))
    #expect(memory.load(UInt32.self, at: state + size) == 0x4650_5845)
    #expect(memory.load(UInt64.self, at: state + 512) == components & ~1)
    if components == 0xe7 {
      #expect(memory.load(UInt64.self, at: state + 1088 + 16) == machine.cpu.pointee.mask.2)
    }
    machine.registers.initializeMemory(as: UInt8.self, repeating: 0xff)
    machine.signalReturn()
    for index in before.indices {
      #expect(machine.registers[index] == (isSaved(index, components) ? before[index] : 0xff))
    }
  }

  private func isSaved(_ index: Int, _ components: UInt64) -> Bool {
    if components & 0x20 != 0 { return true }
    return index < 16 * 64 && index % 64 < (components & 4 != 0 ? 32 : 16)
  }

  /// Components that the frame's words leave out, and all but the legacy region when they are damaged, return to their
  /// initial state.
  @Test(arguments: [(472, 3), (472, 0xc7), (464, 0), (480, 600), (480, 4000)] as [(UInt64, UInt32)])
  func forgedWords(offset: UInt64, value: UInt32) throws {
    let machine = try Machine(components: 0xe7)
    let before = [UInt8](machine.registers)
    let state = try machine.fault()
    try #require(withUnsafeBytes(of: value) { machine.memory.copyOut($0, to: GuestAddress(state + offset)) })
    machine.signalReturn()
    let kept: UInt32 = offset == 472 ? value : 3
    for index in before.indices {
      let (number, byte) = (index / 64, index % 64)
      let component: UInt32 = number == 32 ? 5 : number >= 16 ? 7 : byte < 16 ? 1 : byte < 32 ? 2 : 6
      #expect(machine.registers[index] == (kept >> component & 1 != 0 ? before[index] : 0))
    }
  }

  @Test func handlerChangesRegisters() throws {
    let machine = try Machine(components: 0xe7)
    let state = try machine.fault()
    let value: UInt64 = 0x0123_4567_89ab_cdef
    for offset in [1088 + 7 * 8, 1664 + 15 * 64 + 56] as [UInt64] {
      try #require(
        withUnsafeBytes(of: value) { machine.memory.copyOut($0, to: GuestAddress(state + offset)) })
    }
    machine.signalReturn()
    #expect(machine.cpu.pointee.mask.7 == value)
    #expect(machine.registers.load(fromByteOffset: 31 * 64 + 56, as: UInt64.self) == value)
  }
}
